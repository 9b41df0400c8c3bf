"""The daemon's statements on the catalog, without any refresh."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import PsycopgSession, connect
from trickle_runtime.scheduler import lease
from trickle_runtime.scheduler.duties import retention
from trickle_runtime.scheduler.reading import Reader

SCHEMAS = Schemas()


def add_table(session: PsycopgSession, name: str, *reads: int) -> int:
    """Enter a stream table into the catalog; ``reads`` are stream tables, by pgt_id."""
    session.execute(f"CREATE TABLE {name} (a int)")
    row = session.execute(
        "INSERT INTO pgtrickle.pgt_stream_tables"
        " (pgt_relid, pgt_schema, pgt_name, query, canonical_query, status)"
        f" VALUES ('{name}'::regclass, 'public', '{name}', '', '', 'active') RETURNING pgt_id"
    )[0]
    for below in reads:
        session.execute(
            "INSERT INTO pgtrickle.pgt_dependencies"
            " (pgt_id, source_relid, source_name, source_kind, source_pgt_id)"
            f" SELECT {row['pgt_id']}, pgt_relid, pgt_name, 'stream_table', pgt_id"
            f" FROM pgtrickle.pgt_stream_tables WHERE pgt_id = {below}"
        )
    session.execute(
        "INSERT INTO pgtrickle.pgt_dependencies (pgt_id, source_relid, source_name, source_kind)"
        f" VALUES ({row['pgt_id']}, 'pg_class'::regclass, 'pg_class', 'table')"
    )
    session.commit()
    return row["pgt_id"]


def test_a_tick_of_an_empty_catalog_still_has_the_time(session: PsycopgSession) -> None:
    tick = Reader(SCHEMAS).read(session)
    assert tick.plan.tables == {}
    assert tick.now.tzinfo is not None
    assert not tick.requests


def test_a_tick_reads_tables_and_groups(session: PsycopgSession) -> None:
    reader = Reader(SCHEMAS)
    first = add_table(session, "first")
    second = add_table(session, "second", first)
    other = add_table(session, "other")
    plan = reader.read(session).plan
    assert plan.group_of == {first: first, second: first, other: other}
    assert plan.diamond_of == {first: {first, second}, second: {first, second}}
    assert plan.tables[second].name == "public.second"
    assert plan.tables[second].schedule == "1m"

    session.execute(
        "UPDATE pgtrickle.pgt_stream_tables SET schedule = '5m';"
        "INSERT INTO pgtrickle.pgt_frontiers"
        " (pgt_id, snapshot, system_identifier, last_refresh_at)"
        " SELECT pgt_id, pg_current_snapshot(), 1, now() FROM pgtrickle.pgt_stream_tables"
    )
    session.commit()
    again = reader.read(session).plan
    assert again.tables[first].schedule == "5m"
    assert again.tables[first].last_refresh_at is not None


def test_a_job_has_one_holder(session: PsycopgSession, database: str) -> None:
    with connect(database) as other:
        with lease.job(session, SCHEMAS, "group", 1) as mine:
            with lease.job(other, SCHEMAS, "group", 1) as theirs:
                assert (mine, theirs) == (True, False)
            with lease.job(other, SCHEMAS, "group", 2) as theirs:
                assert theirs
            with lease.job(other, SCHEMAS, "cleanup", 1) as theirs:
                assert theirs
        with lease.job(other, SCHEMAS, "group", 1) as theirs:
            assert theirs


def test_a_lost_session_leaves_its_jobs(
    session: PsycopgSession, database: str, wait_until: Callable[..., object]
) -> None:
    doomed = connect(database)
    with lease.job(doomed, SCHEMAS, "group", 1):
        doomed.close()

    def is_free() -> bool:
        with lease.job(session, SCHEMAS, "group", 1) as mine:
            return mine

    wait_until(is_free)


def test_workers_come_and_go(session: PsycopgSession) -> None:
    worker, dead = lease.Worker(SCHEMAS), lease.Worker(SCHEMAS)
    worker.beat(session)
    dead.beat(session)
    worker.beat(session)
    old = timedelta(minutes=2)
    session.execute(
        "UPDATE pgtrickle.pgt_workers SET heartbeat_at = heartbeat_at - %(old)s"
        " WHERE worker_id = %(id)s",
        {"old": old, "id": dead.worker_id},
    )
    session.commit()
    worker.beat(session)
    rows = session.execute("SELECT worker_id, pid FROM pgtrickle.pgt_workers")
    assert rows == [{"worker_id": worker.worker_id, "pid": worker.pid}]
    worker.leave(session)
    assert session.execute("SELECT worker_id FROM pgtrickle.pgt_workers") == []


def test_old_history_goes_and_the_newest_stays(session: PsycopgSession) -> None:
    table = add_table(session, "first")
    gone = table + 1
    session.execute(
        "INSERT INTO pgtrickle.pgt_refresh_history (pgt_id, action, status, started_at)"
        " SELECT pgt_id, 'FULL', 'completed', now() - days * interval '1 day'"
        f" FROM generate_series(150, 1, -1) days, (VALUES ({table}), ({gone})) t (pgt_id)"
    )
    session.commit()
    assert retention.run(session, SCHEMAS) == 50 + 144  # after 7 days
    rows = session.execute(
        "SELECT pgt_id, count(*) AS n FROM pgtrickle.pgt_refresh_history GROUP BY 1 ORDER BY 1"
    )
    assert rows == [{"pgt_id": table, "n": 100}, {"pgt_id": gone, "n": 6}]
