from __future__ import annotations

from dataclasses import dataclass

import pytest

from trickle_runtime import errors
from trickle_runtime.catalog import migrate
from trickle_runtime.catalog.models import StreamTable, from_row
from trickle_runtime.catalog.store import Store
from trickle_runtime.config import Schemas


def test_files_are_numbered_without_gaps():
    found = migrate.migrations()
    assert [migration.number for migration in found] == list(range(1, len(found) + 1))
    assert found[0].file == "catalog/migrations/0001_initial.sql"


@dataclass(frozen=True)
class Model:
    columns: tuple[int, ...] | None
    plan: list[int]


def test_from_row_ignores_what_it_does_not_know():
    assert from_row(Model, {"columns": [1], "plan": [2], "new": 3}) == Model((1,), [2])
    assert from_row(Model, {"columns": None, "plan": []}) == Model(None, [])


def test_only_columns_of_a_stream_table_may_be_set():
    class Unused:
        def execute(self, sql, params=None):
            raise AssertionError(sql)

    store = Store(Unused(), Schemas())
    for name in ("updated_at", "created_at", "no_such_column"):
        with pytest.raises(errors.InternalError, match=name):
            store.update(1, **{name: 1})


def test_relation_is_quoted():
    values = dict.fromkeys(StreamTable.__dataclass_fields__)
    table = StreamTable(**values | {"pgt_schema": "my schema", "pgt_name": 'a"b'})
    assert table.relation == '"my schema"."a""b"'
