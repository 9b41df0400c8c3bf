"""Protocol C1, C3: no failure of ours reaches a writer, save those that a retry cures."""

from __future__ import annotations

import pytest

from trickle_runtime import errors
from trickle_runtime.capture import install
from trickle_runtime.config import Schemas

S = Schemas()

BREAKAGE = {
    "column_renamed": "ALTER TABLE t RENAME COLUMN a TO z",
    "value_too_large": (
        "ALTER TABLE t ALTER a TYPE bigint; UPDATE t SET a = 3000000000 WHERE id = 2"
    ),
    "column_retyped": "ALTER TABLE t ALTER a TYPE text",
    "buffer_dropped": "DROP TABLE {buffer} CASCADE",
    # The functions run as their owner: let that be a role that has lost its right.
    "right_lost": (
        "ALTER FUNCTION pgtrickle_changes.capture_{relid}_1_insert() OWNER TO {role};"
        "GRANT USAGE ON SCHEMA pgtrickle_changes, pgtrickle TO {role};"
        "GRANT SELECT, INSERT ON pgtrickle.pgt_markers TO {role};"
        "GRANT SELECT ON pgtrickle.pgt_sources TO {role}"
    ),
}


@pytest.fixture
def source(write):
    write(
        "CREATE TABLE t (id int PRIMARY KEY, a int, b int);"
        "INSERT INTO t SELECT i, i, i FROM generate_series(1, 5) i"
    )


@pytest.mark.parametrize("name", BREAKAGE)
def test_the_writer_survives(consumer, write, source, role, session, issues, name):
    kept = consumer("t", "id", "a")
    buffer = f"pgtrickle_changes.changes_{kept.relid}_1"
    write(BREAKAGE[name].format(buffer=buffer, relid=kept.relid, role=role))
    write("INSERT INTO t VALUES (10)")
    write("INSERT INTO t VALUES (11), (12)")
    assert kept.pending().failed
    assert issues() == ["marker_failure"]
    assert session.execute("SELECT count(*) AS n FROM pgtrickle.pgt_markers") == [{"n": 1}]
    session.commit()
    install.repair(session, S, kept.relid, "to mend it")
    assert issues() == []
    assert kept.refresh() == "difference"
    write("INSERT INTO t VALUES (20); DELETE FROM t WHERE id = 10")
    assert kept.refresh() == "differential"


def test_a_dropped_column(consumer, write, source, session):
    kept = consumer("t", "id", "a")
    write("ALTER TABLE t DROP COLUMN a CASCADE")
    write("INSERT INTO t VALUES (10)")
    assert kept.pending().failed
    session.rollback()
    install.repair(session, S, kept.relid, "dropped")
    with pytest.raises(errors.SourceChanged):
        install.ensure_capture(session, S, kept.relid, kept.attnums)
    write("INSERT INTO t VALUES (11)")


def test_our_schemas_are_gone(consumer, write, source):
    consumer("t")
    write("DROP SCHEMA pgtrickle_changes CASCADE")
    write("INSERT INTO t VALUES (10, 1, 1); UPDATE t SET a = 5; DELETE FROM t; TRUNCATE t")


def test_only_a_failing_marker_reaches_the_writer(consumer, write, source):
    kept = consumer("t")
    write(f"DROP TABLE pgtrickle_changes.changes_{kept.relid}_1 CASCADE")
    write("ALTER TABLE pgtrickle.pgt_markers RENAME TO elsewhere")
    with pytest.raises(errors.DatabaseError) as raised:
        write("INSERT INTO t VALUES (10, 1, 1)")
    assert raised.value.sqlstate == "42P01"


def test_transient_errors_are_the_writers(consumer, source, other):
    kept = consumer("t")
    holder, writer = other(), other()
    holder.execute(f"LOCK TABLE pgtrickle_changes.changes_{kept.relid}_1")
    with pytest.raises(errors.DatabaseError) as raised:
        writer.execute("SET LOCAL lock_timeout = '20ms'; INSERT INTO t VALUES (10, 1, 1)")
    assert raised.value.sqlstate == "55P03"
    writer.rollback()
    holder.rollback()
    assert kept.pending() is None
    assert kept.refresh() == "nothing"


@pytest.mark.parametrize(
    ("sqlstate", "raised"),
    [("40001", True), ("40P01", True), ("53100", True), ("53200", True), ("22003", False)],
)
def test_what_a_writer_is_told(consumer, write, source, issues, sqlstate, raised):
    """C1: what the writer can try again is raised; anything else becomes a marker."""
    kept = consumer("t")
    write(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END $$;"
        f"CREATE TRIGGER refuse BEFORE INSERT ON pgtrickle_changes.changes_{kept.relid}_1"
        " EXECUTE FUNCTION refuse()"
    )
    if raised:
        with pytest.raises(errors.DatabaseError) as found:
            write("INSERT INTO t VALUES (10, 1, 1)")
        assert found.value.sqlstate == sqlstate
        assert kept.refresh() == "nothing"
    else:
        write("INSERT INTO t VALUES (10, 1, 1)")
        assert issues() == ["marker_failure"]


def test_a_cancelled_writer_is_cancelled(consumer, source, other, until_blocked):
    kept = consumer("t")
    holder, writer = other(), other()
    holder.execute(f"LOCK TABLE pgtrickle_changes.changes_{kept.relid}_1")
    insert = until_blocked(writer, lambda: writer.execute("INSERT INTO t VALUES (10, 1, 1)"))
    writer.connection.cancel_safe()
    with pytest.raises(errors.DatabaseError) as raised:
        insert.result()
    assert raised.value.sqlstate == "57014"
    writer.rollback()
    holder.rollback()
    assert kept.refresh() == "nothing"


def test_a_writer_can_redirect_nothing(consumer, write, source):
    """Temporary tables and functions of the writer's, named like ours."""
    kept = consumer("t")
    buffer = f"changes_{kept.relid}_1"
    write(
        "CREATE SCHEMA evil;"
        "CREATE FUNCTION evil.record_image_ne(record, record) RETURNS bool LANGUAGE plpgsql"
        " AS 'BEGIN RETURN false; END';"
        "CREATE FUNCTION evil.pg_current_xact_id() RETURNS xid8"
        " LANGUAGE sql AS 'SELECT ''1''::xid8';"
        f"CREATE TEMP TABLE {buffer} (LIKE pgtrickle_changes.{buffer});"
        "CREATE TEMP TABLE pgt_new (LIKE t); CREATE TEMP TABLE pgt_old (LIKE t);"
        "CREATE TEMP TABLE pgt_markers (LIKE pgtrickle.pgt_markers);"
        "SET LOCAL search_path = pg_temp, evil, pg_catalog, public;"
        "INSERT INTO t VALUES (10, 1, 1), (11, 1, 1);"
        "UPDATE t SET a = a + 1; DELETE FROM t WHERE id < 3"
    )
    assert kept.pending().changes == 2 + 7 + 2
    assert kept.refresh() == "differential"


def test_a_statement_without_rows_gets_no_transaction_id(consumer, source, other):
    consumer("t")
    writer = other()
    writer.execute("UPDATE t SET a = 1 WHERE id = 99; DELETE FROM t WHERE id = 99")
    rows = writer.execute("SELECT pg_current_xact_id_if_assigned()::text AS xid")
    assert rows == [{"xid": None}]


def test_replica_sessions_are_captured(consumer, write, source):
    """C18: ENABLE ALWAYS, as loaders and replication tools set session_replication_role."""
    kept = consumer("t")
    write("SET LOCAL session_replication_role = replica; INSERT INTO t VALUES (10, 1, 1)")
    assert kept.refresh() == "differential"
    write("SET LOCAL session_replication_role = replica; TRUNCATE t")
    assert kept.refresh() == "difference"


def test_a_plan_kept_from_a_small_update_serves_large_ones(consumer, other, write):
    """In one session: the statements of a trigger function are planned when first used."""
    write("CREATE TABLE t (id int PRIMARY KEY, a int, hidden int)")
    write("INSERT INTO t SELECT i, i, i FROM generate_series(1, 20000) i")
    kept = consumer("t", "id", "a")
    writer = other()
    writer.execute("SET statement_timeout = '20s'")
    for number in range(1, 10):
        writer.execute(f"UPDATE t SET a = a + 1, hidden = 1 WHERE id <= {number}")
    writer.execute("UPDATE t SET hidden = 2")
    writer.execute("UPDATE t SET a = 0 WHERE id > 10000")
    writer.execute("UPDATE t SET a = CASE WHEN id % 2 = 0 THEN a ELSE a + 1 END WHERE id < 10000")
    writer.commit()
    assert kept.pending().changes == sum(range(1, 10)) + 10000 + 5000
    assert kept.refresh() == "differential"
