from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.acceptance.conftest import Command, StartDaemon
from tests.fix_server import TestServer
from trickle_runtime.api import Runtime
from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import connect
from trickle_runtime.embedded import FAST_SETTINGS, Server
from trickle_runtime.scheduler.daemon import Daemon

WaitUntil = Callable[..., object]
SLOW = """CREATE FUNCTION slow(a int) RETURNS int IMMUTABLE LANGUAGE plpgsql
AS $$ BEGIN PERFORM pg_sleep(%s); RETURN a; END $$"""


class Db:
    """A connection for looking and writing, each statement on its own."""

    def __init__(self, dsn: str) -> None:
        self.connection = psycopg.connect(dsn, autocommit=True, row_factory=dict_row)

    def __call__(self, statement: str) -> list[dict[str, Any]]:
        cursor = self.connection.execute(statement)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []

    def __enter__(self) -> Db:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def value(self, statement: str) -> Any:
        return next(iter(self(statement)[0].values()))


@pytest.fixture
def db(database: str) -> Iterator[Db]:
    with Db(database) as found:
        yield found


def make(
    rt: Runtime, db: Db, name: str, *, schedule: str = "1s", query: str | None = None
) -> None:
    """A table, a first row in it, and a stream table of the same rows over it."""
    db(f"CREATE TABLE {name} (a int PRIMARY KEY)")
    db(f"INSERT INTO {name} VALUES (0)")
    rt.create_stream_table(f"{name}_st", query or f"SELECT a FROM {name}", schedule=schedule)


def count(db: Db, name: str) -> int:
    return db.value(f"SELECT count(*) FROM {name}_st")


def test_due_tables_are_refreshed(
    rt: Runtime,
    db: Db,
    database: str,
    start_daemon: StartDaemon,
    wait_until: WaitUntil,
    oracle: Callable[[Runtime, str], None],
) -> None:
    make(rt, db, "orders")
    rt.create_stream_table("totals", "SELECT sum(a) AS s FROM orders_st", schedule="1s")
    make(rt, db, "rare", schedule="1h")
    daemon = start_daemon(database)
    db("INSERT INTO orders VALUES (5)")
    db("INSERT INTO rare VALUES (5)")
    wait_until(lambda: db.value("SELECT s FROM totals") == 5, 30)
    wait_until(lambda: daemon.lines("refresh_done", stream_table="public.totals"))
    for name in ("orders_st", "totals"):
        oracle(rt, name)
    assert count(db, "rare") == 1
    assert not daemon.lines("refresh_done", stream_table="public.rare_st")
    rows = db(
        "SELECT DISTINCT initiated_by FROM pgtrickle.pgt_refresh_history WHERE status <> 'x'"
    )
    assert {"initiated_by": "scheduler"} in rows


def test_calculated_goes_with_its_readers(
    rt: Runtime, db: Db, database: str, start_daemon: StartDaemon, wait_until: WaitUntil
) -> None:
    make(rt, db, "orders", schedule="calculated")
    start_daemon(database)
    db("INSERT INTO orders VALUES (5)")
    rt.create_stream_table("totals", "SELECT sum(a) AS s FROM orders_st", schedule="1s")
    db("INSERT INTO orders VALUES (6)")
    wait_until(lambda: db.value("SELECT s FROM totals") == 11, 30)


def test_an_idle_tick_is_one_cheap_statement(
    rt: Runtime, db: Db, database: str, server: TestServer, wait_until: WaitUntil
) -> None:
    for number in range(20):
        make(rt, db, f"t{number}", schedule="1h")
    name = db.value("SELECT current_database()")
    db.connection.close()
    daemon = Daemon(database)
    now = datetime.now().astimezone()
    daemon.run_once(now)
    with psycopg.connect(server.dsn(), autocommit=True) as outside:

        def stats() -> tuple[int, float]:
            row = outside.execute(
                "SELECT xact_commit + xact_rollback, active_time FROM pg_stat_database"
                " WHERE datname = %s",
                [name],
            ).fetchone()
            assert row is not None
            return row

        ticks = 100
        flush(daemon)
        before = stats()
        for _ in range(ticks):
            daemon.run_once(now)
        flush(daemon)
        after = stats()
    transactions, milliseconds = after[0] - before[0], after[1] - before[1]
    assert transactions < 2 * ticks  # an autovacuum worker has some of its own
    assert milliseconds / ticks < 5
    daemon.close()


def flush(daemon: Daemon) -> None:
    """Make the daemon's backend publish its counters."""
    session = daemon._session
    assert session is not None
    session.execute("SELECT pg_stat_force_next_flush(); COMMIT")
    session.execute("SELECT 1; COMMIT")


def test_a_look_that_finds_nothing_writes_nothing(rt: Runtime, db: Db, database: str) -> None:
    for number in range(5):
        make(rt, db, f"t{number}")
    daemon = Daemon(database)
    now = datetime.now().astimezone() + timedelta(minutes=1)
    daemon.run_once(now)
    history = "SELECT count(*) FROM pgtrickle.pgt_refresh_history"
    before = db.value(history), db.value("SELECT pg_current_xact_id()::text::bigint")
    for seconds in range(2, 12, 2):
        daemon.run_once(now + timedelta(seconds=seconds))
    after = db.value(history), db.value("SELECT pg_current_xact_id()::text::bigint")
    daemon.close()
    assert after[0] == before[0]
    assert after[1] - before[1] <= 3  # this test's own, and a heartbeat


def test_two_daemons_share_the_work(
    rt: Runtime, db: Db, database: str, start_daemon: StartDaemon, wait_until: WaitUntil
) -> None:
    db(SLOW % 0.05)
    names = [f"t{number}" for number in range(6)]
    for name in names:
        make(rt, db, name, query=f"SELECT slow(a) AS a FROM {name}")
    daemons = [start_daemon(database, "--workers", "2") for _ in range(2)]
    assert db.value("SELECT count(*) FROM pgtrickle.pgt_workers") == 2
    rounds = 0

    def both_worked() -> bool:
        nonlocal rounds
        rounds += 1
        for name in names:
            db(f"INSERT INTO {name} VALUES ({rounds})")
        wait_until(lambda: all(count(db, name) == rounds + 1 for name in names), 60)
        return all(daemon.lines("refresh_done") for daemon in daemons)

    wait_until(both_worked, 120)
    for daemon in daemons:
        assert daemon.terminate() == 0
        assert not daemon.lines(level="error")
    done = db(
        "SELECT sum(inserted) AS n FROM pgtrickle.pgt_refresh_history WHERE action <> 'INITIALIZE'"
    )
    assert done[0]["n"] == rounds * len(names)  # nothing twice
    assert db.value("SELECT count(*) FROM pgtrickle.pgt_workers") == 0


def is_sleeping(db: Db) -> bool:
    return db.value(
        "SELECT EXISTS (SELECT FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event = 'PgSleep')"
    )


@pytest.fixture
def slow_refresh(
    rt: Runtime, db: Db, database: str, start_daemon: StartDaemon, wait_until: WaitUntil
) -> Any:
    """A daemon in the middle of a refresh that takes a second."""
    db(SLOW % 1)
    make(rt, db, "orders", query="SELECT slow(a) AS a FROM orders")
    daemon = start_daemon(database, "--drain-timeout", "30")
    db("INSERT INTO orders VALUES (5)")
    wait_until(lambda: is_sleeping(db), 30)
    return daemon


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(slow_refresh: Any, db: Db, number: signal.Signals) -> None:
    slow_refresh.process.send_signal(number)
    assert slow_refresh.process.wait(30) == 0
    assert count(db, "orders") == 2
    actions = [line["action"] for line in slow_refresh.lines()]
    assert actions[-3:] == ["stopping", "refresh_done", "stopped"]
    assert db.value("SELECT count(*) FROM pgtrickle.pgt_workers") == 0


def test_a_second_signal_cancels(slow_refresh: Any, db: Db, wait_until: WaitUntil) -> None:
    slow_refresh.process.send_signal(signal.SIGTERM)
    wait_until(lambda: slow_refresh.lines("stopping"))
    assert slow_refresh.terminate() == 0
    assert not is_sleeping(db)


def test_kill_9_loses_nothing(
    slow_refresh: Any,
    rt: Runtime,
    db: Db,
    database: str,
    start_daemon: StartDaemon,
    wait_until: WaitUntil,
    oracle: Callable[[Runtime, str], None],
) -> None:
    slow_refresh.kill()
    assert count(db, "orders") == 1  # all or nothing
    start_daemon(database)
    wait_until(lambda: count(db, "orders") == 2, 60)
    oracle(rt, "orders_st")


@pytest.fixture
def own_server(pg_bin: str | None) -> Iterator[Server]:
    with Server(settings=FAST_SETTINGS, pg_bin=pg_bin) as found:
        yield found


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_it_survives_a_restart_of_the_server(
    own_server: Server, how: str, start_daemon: StartDaemon, wait_until: WaitUntil
) -> None:
    dsn = own_server.dsn()
    with connect(dsn) as session, Db(dsn) as db:
        rt = Runtime(session, Schemas())
        rt.install()
        make(rt, db, "orders")
        daemon = start_daemon(dsn)
        db("INSERT INTO orders VALUES (1)")
        wait_until(lambda: daemon.lines("refresh_done"), 30)
    getattr(own_server, how)()
    wait_until(lambda: daemon.lines("tick_failed"), 30)
    own_server.start()
    with Db(dsn) as db:
        db("INSERT INTO orders VALUES (2)")
        wait_until(lambda: count(db, "orders") == 3, 60)
        assert daemon.terminate() == 0


def test_a_failing_table_does_not_stop_the_others(
    rt: Runtime, db: Db, database: str, start_daemon: StartDaemon, wait_until: WaitUntil
) -> None:
    make(rt, db, "good")
    make(rt, db, "bad", query="SELECT 10 / (a - 1) AS a FROM bad")
    rt.create_stream_table("above", "SELECT count(*) AS n FROM bad_st", schedule="1s")
    daemon = start_daemon(database)
    db("INSERT INTO bad VALUES (1)")
    status = "SELECT status FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'bad_st'"
    for number in range(1, 4):
        db(f"INSERT INTO good VALUES ({number})")
        wait_until(lambda: count(db, "good") == number + 1, 30)  # noqa: B023
    wait_until(lambda: db.value(status) == "suspended", 60)
    assert daemon.lines("refresh_failed", stream_table="public.bad_st")
    db("INSERT INTO good VALUES (9)")
    wait_until(lambda: count(db, "good") == 5, 30)
    db("DELETE FROM bad WHERE a = 1")
    rt.resume("bad_st")
    wait_until(lambda: db.value(status) == "active", 30)
    assert daemon.process.poll() is None


def test_a_bad_schedule_is_reported_once(
    rt: Runtime, db: Db, database: str, start_daemon: StartDaemon, wait_until: WaitUntil
) -> None:
    make(rt, db, "good")
    make(rt, db, "bad")
    db("UPDATE pgtrickle.pgt_stream_tables SET schedule = 'soon' WHERE pgt_name = 'bad_st'")
    daemon = start_daemon(database)
    db("INSERT INTO good VALUES (1)")
    wait_until(lambda: count(db, "good") == 2, 30)
    assert len(daemon.lines("invalid_schedule", stream_table="public.bad_st")) == 1


def test_sql_procedures_are_served(
    rt: Runtime, db: Db, database: str, start_daemon: StartDaemon
) -> None:
    db("CREATE SCHEMA marts")
    db("CREATE TABLE orders (a int PRIMARY KEY)")
    db("SET search_path = marts, public")
    with pytest.raises(
        psycopg.errors.ObjectNotInPrerequisiteState, match="needs a running daemon"
    ):
        db("CALL pgtrickle.create_stream_table('o', 'SELECT a FROM orders')")
    start_daemon(database)
    db("CALL pgtrickle.create_stream_table('o', 'SELECT a FROM orders', schedule => '1h')")
    db("INSERT INTO orders VALUES (1)")
    db("CALL pgtrickle.refresh_stream_table('o')")
    assert db("SELECT a FROM marts.o") == [{"a": 1}]
    db("CALL pgtrickle.alter_stream_table('marts.o', tier => 'cold')")
    assert db("SELECT schedule, tier FROM pgtrickle.pgt_stream_tables") == [
        {"schedule": "1h", "tier": "cold"}
    ]
    checks = db.value("CALL pgtrickle.validate_query('SELECT a FROM orders')")
    assert checks[0]["check_name"] == "resolved_refresh_mode"
    assert db.value("CALL pgtrickle.explain_query_rewrite('SELECT a FROM orders')")
    with pytest.raises(psycopg.errors.RaiseException, match="TR110") as error:
        db("CALL pgtrickle.alter_stream_table('marts.o', schedule => '0s')")
    assert "1h30m" in str(error.value.diag.message_hint)
    db("CALL pgtrickle.drop_stream_table('marts.o')")
    assert db("SELECT to_regclass('marts.o') AS o") == [{"o": None}]


def test_serve_without_a_server_or_catalog(server: TestServer, empty_database: str) -> None:
    result = Command("host=/nowhere")("serve")
    assert result.returncode == 3
    assert "error[TR501]" in result.stderr
    result = Command(empty_database)("serve")
    assert result.returncode == 1
    assert "error[TR201]" in result.stderr
