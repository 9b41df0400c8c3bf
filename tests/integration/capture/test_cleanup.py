"""Cleanup: nothing that is needed, everything that is not (protocol B5, B7; dbt.md 6.6)."""

from __future__ import annotations

import pytest

from trickle_runtime.capture import changelog, cleanup
from trickle_runtime.config import Schemas

from .conftest import Consumer, attnums

S = Schemas()


@pytest.fixture(autouse=True)
def source(write):
    write("CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 1)")


def _size(session, relid):
    rows = session.execute(
        f"SELECT pg_relation_size('pgtrickle_changes.changes_{relid}_1') AS bytes"
    )
    session.commit()
    return rows[0]["bytes"]


def test_batches_and_vacuum(consumer, session, write):
    kept = consumer("t")
    write("INSERT INTO t SELECT i, i FROM generate_series(10, 1000) i")
    write("UPDATE t SET a = 0")
    kept.refresh()
    assert cleanup.cleanup(session, S, batch=100) == 991 + 2 * 992
    assert _size(session, kept.relid) == 0
    assert cleanup.cleanup(session, S) == 0


def test_rows_that_another_cleaner_holds_are_passed_by(consumer, session, write, other):
    kept = consumer("t")
    write("INSERT INTO t VALUES (10, 1), (11, 1), (12, 1)")
    kept.refresh()
    cleaner = other()
    buffer = f"pgtrickle_changes.changes_{kept.relid}_1"
    cleaner.execute(f"SELECT * FROM {buffer} LIMIT 2 FOR UPDATE")
    assert cleanup.cleanup(session, S) == 1
    cleaner.rollback()
    assert cleanup.cleanup(session, S) == 2


def test_a_default_of_repeatable_read_does_no_harm(consumer, session, write):
    kept = consumer("t")
    write("INSERT INTO t VALUES (10, 1)")
    kept.refresh()
    session.execute("SET default_transaction_isolation = 'repeatable read'")
    session.commit()
    assert cleanup.cleanup(session, S) == 1


def test_a_running_pass_reads_on(consumer, session, write, other):
    kept, slow = consumer("t"), consumer("t")
    write("INSERT INTO t VALUES (10, 1)")
    reader = other()
    reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    view = f"pgtrickle_changes.changes_{kept.relid}"
    reader.execute(f"LOCK TABLE {view} IN ACCESS SHARE MODE; SELECT count(*) FROM {view}")
    kept.refresh()
    slow.refresh()
    assert cleanup.cleanup(session, S) == 1
    assert reader.execute(f"SELECT count(*) AS n FROM {view}") == [{"n": 1}]


def test_a_consumer_without_a_frontier_stops_cleanup(consumer, session, write):
    """B1."""
    kept = consumer("t")
    second = Consumer(session, "t", attnums(session, "t")).register()
    session.execute(f"DELETE FROM pgtrickle.pgt_frontiers WHERE pgt_id = {second.pgt_id}")
    session.commit()
    write("INSERT INTO t VALUES (10, 1); TRUNCATE t")
    kept.refresh()
    assert cleanup.cleanup(session, S) == 0
    assert session.execute("SELECT count(*) AS n FROM pgtrickle.pgt_markers") == [{"n": 1}]


def test_publications_for_all_tables(consumer, session, write):
    """B7: Debezium and replicas publish deletes of our tables too."""
    kept = consumer("t")
    write("CREATE PUBLICATION everything FOR ALL TABLES")
    write("INSERT INTO t VALUES (10, 1); UPDATE t SET a = 5; TRUNCATE t")
    kept.refresh()
    assert cleanup.cleanup(session, S) == 5
    assert session.execute("SELECT count(*) AS n FROM pgtrickle.pgt_markers") == [{"n": 0}]


def test_vanished_source(consumer, session, write):
    """Protocol C2: our buffers let go of its types."""
    write("CREATE TYPE mood AS ENUM ('sad'); ALTER TABLE t ADD COLUMN m mood")
    kept = consumer("t")
    write("INSERT INTO t VALUES (10, 1, 'sad')")
    write("DROP TABLE t")
    cleanup.cleanup(session, S)
    write("DROP TYPE mood")
    assert kept.store.source(kept.relid) is None
    assert [d.source_relid for d in kept.store.dependencies(kept.pgt_id)] == [kept.relid]


def test_vanished_consumer(consumer, session, write):
    """dbt.md 6.6: a CI schema is dropped with CASCADE; writers go on, nothing is left."""
    kept = consumer("t")
    write(f"CREATE TABLE pgtrickle_state.s_{kept.pgt_id}_agg (x int)")
    write(f"CREATE VIEW pgtrickle_state.q_{kept.pgt_id} AS SELECT * FROM t")
    write(f"CREATE TABLE pgtrickle_state.s_{kept.pgt_id}0_agg (x int)")
    write(f"DROP TABLE {kept.copy}")
    write("INSERT INTO t VALUES (10, 1)")
    cleanup.cleanup(session, S)
    assert kept.store.all() == []
    assert session.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = 't'::regclass") == []
    assert session.execute(
        "SELECT relname::text AS name FROM pg_class"
        " WHERE relnamespace = 'pgtrickle_state'::regnamespace AND relkind IN ('r', 'v')"
    ) == [{"name": f"s_{kept.pgt_id}0_agg"}]
    session.commit()
    write("INSERT INTO t VALUES (11, 1)")


def test_a_restored_database_is_not_tidied_up(consumer, session, write):
    """Its stream tables have other oids; they look as if they had been dropped."""
    kept = consumer("t")
    write("UPDATE pgtrickle.pgt_frontiers SET system_identifier = 1")
    write(f"DROP TABLE {kept.copy}")
    cleanup.cleanup(session, S)
    assert [table.pgt_id for table in kept.store.all()] == [kept.pgt_id]


def test_unread_source_is_released(consumer, session, write):
    kept = consumer("t")
    kept.store.delete(kept.pgt_id)
    session.commit()
    cleanup.cleanup(session, S)
    assert kept.store.sources() == []
    write("INSERT INTO t VALUES (11, 1)")


def test_locks_are_not_waited_for(consumer, session, other):
    kept = consumer("t")
    kept.store.delete(kept.pgt_id)
    session.commit()
    writer = other()
    writer.execute("INSERT INTO t VALUES (11, 1)")
    cleanup.cleanup(session, S)
    assert len(kept.store.sources()) == 1
    session.commit()
    writer.commit()
    cleanup.cleanup(session, S)
    assert kept.store.sources() == []


def test_failures_are_kept_until_they_are_mended(consumer, session, write, issues):
    from trickle_runtime.capture import install

    kept = consumer("t")
    write(f"DROP TABLE pgtrickle_changes.changes_{kept.relid}_1 CASCADE")
    write("INSERT INTO t VALUES (10, 1)")
    kept.fill()
    cleanup.cleanup(session, S)
    assert issues() == ["marker_failure"]
    install.repair(session, S, kept.relid, "mended")
    assert kept.refresh() == "difference"
    cleanup.cleanup(session, S)
    assert session.execute("SELECT count(*) AS n FROM pgtrickle.pgt_markers") == [{"n": 0}]


def test_change_logs_are_cleaned_by_the_slowest_reader(consumer, session, write):
    from trickle_runtime.catalog.models import Dependency

    lower, one, two = consumer("t"), consumer("t"), consumer("t")
    changelog.ensure(session, S, lower.pgt_id)
    session.execute(
        f"INSERT INTO pgtrickle_changes.log_{lower.pgt_id} (__pgt_refresh, __pgt_w)"
        " SELECT i, 1 FROM generate_series(1, 5) i"
    )
    relid = lower.store.get(lower.copy).pgt_relid
    for reader, consumed in ((one, 2), (two, 4)):
        dependency = Dependency(
            reader.pgt_id, relid, lower.copy, "stream_table", lower.pgt_id, (1,)
        )
        reader.store.set_dependencies(reader.pgt_id, [dependency])
        frontier = reader.store.frontiers([reader.pgt_id])[reader.pgt_id]
        reader.store.advance_frontier(
            reader.pgt_id, frontier.version, frontier.snapshot, {str(lower.pgt_id): consumed}, 0
        )
    session.commit()
    assert cleanup.cleanup(session, S, batch=1) == 2
    rows = session.execute(
        f"SELECT __pgt_refresh FROM pgtrickle_changes.log_{lower.pgt_id} ORDER BY 1"
    )
    assert [row["__pgt_refresh"] for row in rows] == [3, 4, 5]
