"""Names of our macros: ``trickle__x`` overrides dbt's ``x``, so it must be meant to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import dbt.include.global_project
import dbt.include.postgres

import dbt.include.trickle

OVERRIDES = {
    "alter_relation_comment",
    "drop_relation",
    "drop_schema",
    "get_catalog",
    "get_catalog_relations",
    "get_drop_sql",
    "get_relation_last_modified",
    "get_rename_sql",
    "get_show_indexes_sql",
}


def macros(package: str) -> Iterable[str]:
    for path in Path(package).rglob("*.sql"):
        yield from re.findall(r"{%-?\s*macro\s+(\w+)\s*\(", path.read_text())


def test_only_what_is_meant_is_overridden() -> None:
    ours = set(macros(dbt.include.trickle.PACKAGE_PATH))
    found = {name.removeprefix("trickle__") for name in ours if name.startswith("trickle__")}
    assert found == OVERRIDES
    theirs = set(macros(dbt.include.global_project.PACKAGE_PATH))
    theirs |= set(macros(dbt.include.postgres.PACKAGE_PATH))
    assert theirs | {name.removeprefix("postgres__") for name in theirs} >= OVERRIDES
    assert not ours & theirs


def test_every_other_macro_carries_our_name() -> None:
    assert set(macros(dbt.include.trickle.PACKAGE_PATH)) == {
        name for name in macros(dbt.include.trickle.PACKAGE_PATH) if name.startswith("trickle_")
    }
