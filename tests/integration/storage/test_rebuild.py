"""Another partitioning under a table that people use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import PsycopgSession, connect
from trickle_runtime.errors import DatabaseError, HasDependants
from trickle_runtime.storage import partitioning, table
from trickle_runtime.storage.rebuild import Definition, change_partitioning

RELATION = '"marts"."t"'
COLUMNS = (
    OutputColumn("id", "integer", not_null=True),
    OutputColumn("d", "date"),
    OutputColumn("v", "text"),
)
ROWS = "SELECT g, date '2026-01-01' + g, 'v' || g FROM generate_series(1, 100) AS g"
Change = Callable[..., int]


@pytest.fixture
def change(session: PsycopgSession) -> Change:
    """A stream table ``marts.t``; the fixture changes its partitioning and commits."""
    session.execute("CREATE SCHEMA marts")
    create(session, None)

    def run(partition_by: str | None, before: str | None = None, key: str | None = "id") -> int:
        definition = Definition(
            1,
            RELATION,
            COLUMNS,
            (key,) if key else None,
            partitioning.parse(partition_by, COLUMNS),
        )
        spec = partitioning.parse(before, COLUMNS)
        relid = change_partitioning(session, Schemas(), definition, spec)
        session.commit()
        return relid

    return run


def create(session: PsycopgSession, partition_by: str | None) -> None:
    spec = partitioning.parse(partition_by, COLUMNS)
    for statement in table.create_statements(RELATION, COLUMNS, ("id",), spec):
        session.execute(statement)
    session.execute(f"INSERT INTO marts.t {ROWS}")
    session.execute(
        "INSERT INTO pgtrickle.pgt_stream_tables"
        " (pgt_relid, pgt_schema, pgt_name, query, canonical_query)"
        " VALUES ('marts.t'::regclass, 'marts', 't', '', '')"
    )
    session.commit()


def scalar(session: PsycopgSession, query: str) -> object:
    return next(iter(session.execute(f"SELECT ({query}) AS value")[0].values()))


def partitions(session: PsycopgSession) -> list[str]:
    rows = session.execute(
        "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid"
        " WHERE inhparent = 'marts.t'::regclass ORDER BY 1"
    )
    return [row["relname"] for row in rows]


def assert_rows(session: PsycopgSession) -> None:
    assert session.execute(f"TABLE marts.t EXCEPT ALL {ROWS}") == []
    assert scalar(session, "SELECT count(*) FROM marts.t") == 100


def test_plain_to_every_kind_and_back(session: PsycopgSession, change: Change) -> None:
    steps = [
        ("HASH:id:3", ["t_p0", "t_p1", "t_p2"]),
        ("HASH:id:2", ["t_p0", "t_p1"]),
        ("LIST:v", ["t_default"]),
        ("id,d", ["t_default"]),
        ("RANGE:d:month", ["t_p202601", "t_p202602", "t_p202603", "t_p202604"]),
        (None, []),
    ]
    before = None
    for text, expected in steps:
        relid = change(text, before)
        assert relid == scalar(session, "SELECT pgt_relid FROM pgtrickle.pgt_stream_tables")
        assert relid == scalar(session, "SELECT 'marts.t'::regclass::oid")
        assert partitions(session) == expected
        assert_rows(session)
        before = text
    leftovers = "SELECT count(*) FROM pg_class WHERE relname ~ '^pgt_re(build|placed)_'"
    assert scalar(session, leftovers) == 0


def test_views_on_it_keep_their_identity(session: PsycopgSession, change: Change) -> None:
    session.execute(
        "CREATE ROLE rebuild_reader; CREATE SCHEMA other;"
        'CREATE VIEW other."My View" WITH (security_barrier = true) AS'
        "  SELECT id, v AS label FROM marts.t WHERE id < 50;"
        """COMMENT ON VIEW other."My View" IS 'it''s mine';"""
        'GRANT SELECT ON other."My View" TO rebuild_reader;'
        "CREATE VIEW other.above AS"
        ' SELECT count(*) AS n FROM other."My View" JOIN marts.t USING (id);'
        'CREATE MATERIALIZED VIEW other.m AS SELECT * FROM other."My View";'
        "CREATE FUNCTION other.f() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM marts.t; END"
    )
    oids = (
        "SELECT array_agg(oid ORDER BY oid) FROM pg_class"
        " WHERE relnamespace = 'other'::regnamespace"
    )
    before = scalar(session, oids)
    change("HASH:id")
    assert scalar(session, oids) == before
    assert scalar(session, "SELECT n FROM other.above") == 49
    assert scalar(session, "SELECT other.f()") == 100
    described = session.execute(
        "SELECT relacl::text LIKE '%rebuild_reader=r%' AS granted, reloptions,"
        " obj_description(oid) AS comment FROM pg_class WHERE relname = 'My View'"
    )
    assert described == [
        {"granted": True, "reloptions": ["security_barrier=true"], "comment": "it's mine"}
    ]
    session.execute("REFRESH MATERIALIZED VIEW other.m; DROP OWNED BY rebuild_reader")
    session.execute("DROP ROLE rebuild_reader")
    session.commit()


def test_what_belongs_to_the_table_moves(session: PsycopgSession, change: Change) -> None:
    session.execute(
        "CREATE ROLE rebuild_reader; CREATE ROLE rebuild_other;"
        "GRANT SELECT, UPDATE (v) ON marts.t TO rebuild_reader;"
        "GRANT SELECT ON marts.t TO PUBLIC;"
        "COMMENT ON TABLE marts.t IS 'table'; COMMENT ON COLUMN marts.t.v IS 'column';"
        "CREATE INDEX by_v ON marts.t (lower(v)) WHERE id > 5;"
        "COMMENT ON INDEX marts.by_v IS 'index';"
        "ALTER TABLE marts.t ADD CONSTRAINT t_key PRIMARY KEY (id);"
        "ALTER TABLE marts.t ADD CONSTRAINT positive CHECK (id > 0);"
        "CREATE TABLE marts.log (id int);"
        "CREATE FUNCTION marts.note() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO marts.log VALUES (NEW.id); RETURN NEW; END';"
        "CREATE TRIGGER note AFTER INSERT ON marts.t FOR EACH ROW EXECUTE FUNCTION marts.note();"
        "ALTER TABLE marts.t ENABLE ALWAYS TRIGGER note;"
        "ALTER TABLE marts.t ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY mine ON marts.t FOR SELECT TO rebuild_reader USING (id < 10);"
        "CREATE PUBLICATION p FOR TABLE marts.t (id, v) WHERE (id > 5)"
        "  WITH (publish_via_partition_root);"
        "ALTER DEFAULT PRIVILEGES IN SCHEMA marts GRANT DELETE ON TABLES TO rebuild_other"
    )
    describe = (
        "SELECT (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(c.relacl) a) AS grants,"
        " (SELECT attacl::text FROM pg_attribute WHERE attrelid = c.oid AND attname = 'v') AS acl,"
        " obj_description(c.oid) AS comment, col_description(c.oid, 3) AS column_comment,"
        " obj_description('marts.by_v'::regclass) AS index_comment,"
        " (SELECT array_agg(conname::text || pg_get_constraintdef(oid) ORDER BY conname)"
        "  FROM pg_constraint WHERE conrelid = c.oid) AS constraints,"
        " (SELECT array_agg(substring(indexdef from 'USING.*') ORDER BY indexname)"
        "  FROM pg_indexes WHERE tablename = 't' AND indexname !~ 'identity') AS indexes,"
        " (SELECT array_agg(tgname || tgenabled::text) FROM pg_trigger"
        "  WHERE tgrelid = c.oid) AS triggers,"
        " (SELECT array_agg(policyname || qual) FROM pg_policies"
        "  WHERE tablename = 't') AS policies,"
        " relrowsecurity, relreplident,"
        " (SELECT attnames::text || rowfilter FROM pg_publication_tables) AS published"
        " FROM pg_class c WHERE oid = 'marts.t'::regclass"
    )
    before = session.execute(describe)
    change("HASH:id:2")
    assert session.execute(describe) == before
    change(None, "HASH:id:2")
    assert session.execute(describe) == before
    session.execute("INSERT INTO marts.t VALUES (101)")
    assert scalar(session, "SELECT id FROM marts.log") == 101
    session.execute("DROP OWNED BY rebuild_reader, rebuild_other")
    session.execute("DROP ROLE rebuild_reader, rebuild_other")
    session.commit()


@pytest.mark.parametrize(
    ("obstacle", "named"),
    [
        ("CREATE MATERIALIZED VIEW marts.m AS SELECT * FROM marts.t", "materialized view marts.m"),
        ("CREATE TABLE marts.holder (x marts.t)", "column x of table marts.holder"),
        (
            "CREATE FUNCTION marts.f(marts.t) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "function marts.f(marts.t)",
        ),
        ("CREATE VIEW marts.whole AS SELECT t FROM marts.t", "view marts.whole"),
        (
            "CREATE UNIQUE INDEX one_v ON marts.t (v); CREATE TABLE marts.ref"
            " (v text REFERENCES marts.t (v))",
            "constraint ref_v_fkey on table marts.ref",
        ),
        ("CREATE UNIQUE INDEX one_v ON marts.t (v)", "one_v"),
        ("CREATE TABLE marts.child () INHERITS (marts.t)", "marts.child"),
    ],
)
def test_what_cannot_follow_is_named_and_nothing_changes(
    session: PsycopgSession, change: Change, obstacle: str, named: str
) -> None:
    session.execute(obstacle)
    session.commit()
    before = scalar(session, "SELECT 'marts.t'::regclass::oid")
    with pytest.raises(HasDependants) as error:
        change("HASH:id")
    assert named in str(error.value)
    session.rollback()
    assert scalar(session, "SELECT 'marts.t'::regclass::oid") == before
    assert_rows(session)
    assert scalar(session, "SELECT current_setting('search_path')") == '"$user", public'


def test_only_the_step_changes(session: PsycopgSession, change: Change) -> None:
    first = change("d")
    assert partitions(session) == ["t_default"]
    assert change("RANGE:d:month", "d") == first
    assert len(partitions(session)) == 5
    assert scalar(session, "SELECT count(*) FROM marts.t_default") == 0
    assert change("RANGE:d:year", "RANGE:d:month") == first
    assert_rows(session)


def test_tables_above_follow(session: PsycopgSession, change: Change) -> None:
    session.execute(
        "INSERT INTO pgtrickle.pgt_stream_tables"
        " (pgt_relid, pgt_schema, pgt_name, query, canonical_query)"
        " VALUES (1, 'marts', 'above', '', '');"
        "INSERT INTO pgtrickle.pgt_dependencies (pgt_id, source_relid, source_name, source_kind,"
        " source_pgt_id) SELECT 2, 'marts.t'::regclass, 'marts.t', 'stream_table', 1"
    )
    relid = change("HASH:id")
    assert scalar(session, "SELECT source_relid FROM pgtrickle.pgt_dependencies") == relid


def test_a_long_reader_is_waited_for_without_a_queue(
    session: PsycopgSession, change: Change, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trickle_runtime.storage import rebuild

    monkeypatch.setattr(rebuild, "ATTEMPTS", 2)
    monkeypatch.setattr(rebuild, "LOCK_TIMEOUT", "50ms")
    with connect(database) as reader:
        reader.execute("SELECT * FROM marts.t LIMIT 1")
        with pytest.raises(DatabaseError) as error:
            change("HASH:id")
        assert error.value.sqlstate == "55P03"
        session.rollback()
        assert_rows(reader)
    change("HASH:id")
    assert_rows(session)


def test_readers_go_on_while_rows_are_copied(
    session: PsycopgSession, change: Change, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trickle_runtime.storage import rebuild

    swap = rebuild._swap_when_free
    seen: list[object] = []

    def read_first(*arguments: Any) -> None:
        with connect(database) as reader:
            reader.execute("SET lock_timeout = '100ms'")
            seen.append(scalar(reader, "SELECT count(*) FROM marts.t"))
            with pytest.raises(DatabaseError):
                reader.execute("INSERT INTO marts.t VALUES (0)")
        swap(*arguments)

    monkeypatch.setattr(rebuild, "_swap_when_free", read_first)
    change("HASH:id")
    assert seen == [100]
    assert_rows(session)
