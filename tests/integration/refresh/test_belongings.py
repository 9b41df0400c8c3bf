"""What users put on a stream table: it follows to a table built beside, or is named."""

from __future__ import annotations

import pytest

from trickle_runtime.config import Constraint
from trickle_runtime.errors import ConstraintViolated

ITEMS = "SELECT id, value FROM items"
RETYPED = "SELECT id, value::bigint AS value FROM items"
NAMES = """
SELECT 'constraint ' || conname FROM pg_constraint
WHERE conrelid = 'copies'::regclass AND contype IN ('c', 'p', 'u', 'f', 'x')
UNION ALL
SELECT 'not null ' || attname FROM pg_attribute
WHERE attrelid = 'copies'::regclass AND attnum > 0 AND attnotnull AND NOT attisdropped
UNION ALL
SELECT 'trigger ' || tgname || ' ' || tgenabled::text FROM pg_trigger
WHERE tgrelid = 'copies'::regclass AND NOT tgisinternal
UNION ALL
SELECT 'policy ' || policyname FROM pg_policies WHERE tablename = 'copies'
UNION ALL
SELECT 'rule ' || rulename FROM pg_rules WHERE tablename = 'copies'
UNION ALL
SELECT 'publication ' || pubname || coalesce(rowfilter, '') FROM pg_publication_tables
WHERE tablename = 'copies'
UNION ALL
SELECT 'statistics ' || statistics_name FROM pg_stats_ext WHERE tablename = 'copies'
UNION ALL
SELECT 'column comment ' || col_description(attrelid, attnum) FROM pg_attribute
WHERE attrelid = 'copies'::regclass AND col_description(attrelid, attnum) IS NOT NULL
UNION ALL
SELECT 'column grant ' || attname FROM pg_attribute
WHERE attrelid = 'copies'::regclass AND attacl IS NOT NULL AND NOT attisdropped
UNION ALL
SELECT 'row security' FROM pg_class WHERE oid = 'copies'::regclass AND relrowsecurity
ORDER BY 1
"""
EVERYTHING = (
    "ALTER TABLE copies ADD CONSTRAINT positive CHECK (value > 0)",
    "ALTER TABLE copies ADD CONSTRAINT no_two UNIQUE (value)",
    "ALTER TABLE copies ALTER COLUMN value SET NOT NULL",
    "CREATE TABLE parents (id int PRIMARY KEY)",
    "INSERT INTO parents SELECT id FROM items",
    "ALTER TABLE copies ADD CONSTRAINT of_parent FOREIGN KEY (id) REFERENCES parents",
    "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "CREATE TRIGGER note AFTER INSERT ON copies FOR EACH ROW EXECUTE FUNCTION note()",
    "ALTER TABLE copies ENABLE ALWAYS TRIGGER note",
    "CREATE POLICY some_rows ON copies FOR SELECT USING (id < 3)",
    "ALTER TABLE copies ENABLE ROW LEVEL SECURITY",
    "CREATE RULE quiet AS ON DELETE TO copies WHERE old.id < 0 DO NOTHING",
    "CREATE PUBLICATION changes FOR TABLE copies WHERE (value < 9999)",
    "CREATE STATISTICS both_columns ON id, value FROM copies",
    "COMMENT ON COLUMN copies.value IS 'in cents'",
    "GRANT SELECT (value) ON copies TO PUBLIC",
)


@pytest.fixture
def copies(rt, sql):
    sql(
        "CREATE TABLE items (id int PRIMARY KEY, value int)",
        "INSERT INTO items SELECT i, i * 10 FROM generate_series(1, 4) i",
    )
    rt.create_stream_table(
        "public.copies", ITEMS, constraints=[Constraint("check", (), "id > 0", "asked_for")]
    )


def names(sql) -> list[str]:
    return [str(next(iter(row.values()))) for row in sql(NAMES)]


def oid(sql) -> int:
    return sql.value("SELECT 'copies'::regclass::oid::bigint")


def test_everything_follows(rt, sql, copies, oracle):
    sql(*EVERYTHING, "ANALYZE copies")
    before, table = names(sql), oid(sql)
    assert len(before) == 14
    result = rt.alter_stream_table("copies", query=RETYPED)
    assert (result.action, result.lost) == ("replaced", ())
    sql("ANALYZE copies")
    assert names(sql) == before
    assert oid(sql) != table
    sql("INSERT INTO parents VALUES (5)", "INSERT INTO items VALUES (5, 50)")
    rt.refresh("copies")
    oracle(rt, "copies")


def test_what_can_not_follow_is_named(rt, sql, copies, oracle):
    sql(*EVERYTHING)
    result = rt.alter_stream_table("copies", query="SELECT 'x'::text AS other, id FROM items")
    assert result.action == "replaced"
    assert result.lost == (
        "comment on column value",
        "constraint no_two",
        "constraint positive",
        "grant to PUBLIC",
        "not null of column value",
        "publication changes",
        "statistics both_columns",
    )
    assert names(sql) == [
        "constraint asked_for",
        "constraint of_parent",
        "policy some_rows",
        "row security",
        "rule quiet",
        "trigger note A",
        "trigger pgt_protect A",
    ]
    oracle(rt, "copies")


def test_a_column_takes_along_what_is_named(rt, sql, copies, oracle):
    sql(
        "ALTER TABLE copies ADD CONSTRAINT positive CHECK (value > id)",
        "CREATE INDEX by_value ON copies (id, value)",
        "CREATE INDEX by_id ON copies (id)",
        "CREATE STATISTICS both_columns ON id, value FROM copies",
    )
    table = oid(sql)
    result = rt.alter_stream_table("copies", query="SELECT id FROM items")
    assert oid(sql) == table
    assert result.lost == ("constraint positive", "index by_value", "statistics both_columns")
    assert names(sql) == ["constraint asked_for", "trigger pgt_protect A"]
    oracle(rt, "copies")


@pytest.mark.parametrize(
    "constraint",
    [
        "ADD CONSTRAINT mine CHECK (value < 100)",
        "ADD CONSTRAINT mine UNIQUE (value)",
        "ALTER COLUMN value SET NOT NULL",
    ],
)
def test_rows_that_violate_one_are_refused(rt, sql, copies, oracle, constraint: str):
    sql(f"ALTER TABLE copies {constraint}")
    table = oid(sql)
    query = "SELECT id, CASE WHEN id > 2 THEN NULLIF(id, 3) + 1000 END::bigint AS value FROM items"
    query = query if "UNIQUE" not in constraint else "SELECT id, 7::bigint AS value FROM items"
    with pytest.raises(ConstraintViolated):
        rt.alter_stream_table("copies", query=query)
    assert oid(sql) == table
    oracle(rt, "copies")


def test_privileges_are_those_of_the_old_table(rt, sql, copies):
    sql(
        "CREATE ROLE belongings_reader",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO belongings_reader",
    )
    try:
        rt.alter_stream_table("copies", query=RETYPED)
        assert not sql.value("SELECT has_table_privilege('belongings_reader', 'copies', 'SELECT')")
    finally:
        sql("DROP OWNED BY belongings_reader", "DROP ROLE belongings_reader")
