from __future__ import annotations

import re

from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.storage import table
from trickle_runtime.storage.partition_spec import parse

RELATION = '"marts"."t"'
COLUMNS = (
    OutputColumn("id", "integer", not_null=True),
    OutputColumn("name", "text", collation='pg_catalog."C"'),
    OutputColumn("doc", "json", equality=False),
)


def statements(key: tuple[str, ...] | None, partition_by: str | None) -> list[str]:
    made = table.create_statements(RELATION, COLUMNS, key, parse(partition_by, COLUMNS))
    return [re.sub(r"pgt_identity_[0-9a-f]{8}", "pgt_identity_N", one).strip() for one in made]


def test_key_without_null() -> None:
    assert statements(("id",), None) == [
        'CREATE TABLE "marts"."t" ("id" integer, "name" text COLLATE pg_catalog."C", "doc" json)',
        'ALTER TABLE "marts"."t" REPLICA IDENTITY FULL',
        'CREATE UNIQUE INDEX "pgt_identity_N" ON "marts"."t" ("id")',
    ]


def test_key_that_may_be_null() -> None:
    assert statements(("name", "id"), None)[2:] == [
        'CREATE UNIQUE INDEX "pgt_identity_N" ON "marts"."t" ("name", "id") NULLS NOT DISTINCT',
        'CREATE INDEX "pgt_identity_N_h" ON "marts"."t"'
        ' ((hash_record_extended(ROW("name", "id"), \'0\'::bigint)))',
    ]


def test_no_key() -> None:
    assert statements(None, None)[2:] == [
        'CREATE INDEX "pgt_identity_N" ON "marts"."t"'
        ' ((hash_record_extended(ROW("id", "name"), \'0\'::bigint)))',
    ]


def test_a_table_of_one_row_needs_no_index() -> None:
    assert len(statements((), None)) == 2


def test_unique_only_where_the_key_holds_the_partition_columns() -> None:
    assert "CREATE UNIQUE INDEX" in statements(("id",), "LIST:id")[-1]
    assert statements(("id",), "LIST:name")[-1].startswith("CREATE INDEX")


def test_a_key_of_more_columns_than_an_index_takes() -> None:
    columns = tuple(OutputColumn(f"c{number}", "integer", not_null=True) for number in range(40))
    key = tuple(column.name for column in columns)
    (index,) = table.identity_statements(RELATION, columns, key)
    assert index.startswith("CREATE INDEX")
    assert '"c31"' in index
    assert '"c32"' not in index


def test_hash_partitions() -> None:
    made = statements(None, "HASH:id:2")
    assert made[0].endswith('PARTITION BY HASH ("id")')
    assert made[2] == (
        'CREATE TABLE "marts"."t_p0" PARTITION OF "marts"."t"'
        " FOR VALUES WITH (MODULUS 2, REMAINDER 0)"
    )
    assert len([one for one in made if "REPLICA IDENTITY FULL" in one]) == 3


def test_default_partition_is_made_unless_partitions_make_themselves() -> None:
    assert any("DEFAULT" in one for one in statements(None, "id"))
    assert not any("DEFAULT" in one for one in statements(None, "RANGE:id:10"))
