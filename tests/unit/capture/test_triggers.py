from __future__ import annotations

from dataclasses import replace

from tests.unit.capture.test_source import MEMBER, SOURCE
from trickle_runtime.capture import triggers
from trickle_runtime.capture.triggers import Capture
from trickle_runtime.config import Schemas

CAPTURE = Capture(Schemas(), SOURCE, "statement", 3, SOURCE.columns)


def test_a_function_has_its_version_in_its_name():
    texts = triggers.functions(CAPTURE)
    assert [text.split("(")[0].split(".")[-1] for text in texts] == [
        '"capture_20000_3_insert"',
        '"capture_20000_3_update"',
        '"capture_20000_3_delete"',
        '"capture_20000_3_truncate"',
    ]
    assert all("CREATE FUNCTION" in text and "OR REPLACE" not in text for text in texts)


def test_search_path_is_pinned_with_temporary_objects_last():
    for text in triggers.functions(CAPTURE):
        assert "SECURITY DEFINER\nSET search_path = pg_catalog, pgtrickle_changes, pg_temp" in text


def test_triggers_are_always_enabled_only_by_the_owner():
    assert not [text for text in triggers.triggers(CAPTURE) if "ENABLE ALWAYS" in text]
    owned = replace(SOURCE, members=(replace(MEMBER, owned=True),))
    texts = triggers.triggers(replace(CAPTURE, source=owned))
    assert len([text for text in texts if "ENABLE ALWAYS" in text]) == 4


def test_row_triggers_of_a_partitioned_table_are_on_the_root():
    leaf = replace(MEMBER, relid=20001, name="s.p1")
    source = replace(SOURCE, kind="p", members=(MEMBER, leaf))
    texts = triggers.triggers(replace(CAPTURE, source=source, mode="row"))
    assert [text for text in texts if "FOR EACH ROW" in text and "s.p1" in text] == []
    assert [text.split(" ON ")[1].split(" ")[0] for text in texts if "TRUNCATE" in text] == [
        "s.t",
        "s.p1",
    ]


def test_the_prefix_is_in_every_name():
    capture = replace(CAPTURE, schemas=Schemas("other"))
    text = "".join(triggers.functions(capture) + triggers.triggers(capture))
    assert "pgtrickle" not in text
    assert '"other_20000_insert"' in text
