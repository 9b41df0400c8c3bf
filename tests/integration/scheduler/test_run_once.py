"""Single ticks of a daemon in this process, at times of our choice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.fix_db import RoleDatabase
from trickle_runtime.api import Runtime
from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import PsycopgSession, connect
from trickle_runtime.scheduler import lease, passes, staleness
from trickle_runtime.scheduler.daemon import Daemon

SCHEMAS = Schemas()
MINUTE = timedelta(minutes=1)


@pytest.fixture
def daemon(database: str) -> Iterator[Daemon]:
    found = Daemon(database)
    yield found
    found.close()


@pytest.fixture
def later() -> datetime:
    """A time at which everything made in this test is due."""
    return datetime.now().astimezone() + 2 * MINUTE


def make(rt: Runtime, name: str, **options: object) -> None:
    """A table with one row, and a stream table of its rows."""
    rt.session.execute(f"CREATE TABLE {name} (a int PRIMARY KEY)")
    rt.session.commit()
    rt.create_stream_table(f"{name}_st", f"SELECT a FROM {name}", **options)
    add(rt, name, 1)


def add(rt: Runtime, name: str, value: int) -> None:
    rt.session.execute(f"INSERT INTO {name} VALUES ({value})")
    rt.session.commit()


def count(rt: Runtime, name: str) -> int:
    rows = rt.session.execute(f"SELECT count(*) AS n FROM {name}_st")
    rt.session.rollback()
    return rows[0]["n"]


def test_nothing_happens_before_its_time(rt: Runtime, daemon: Daemon, later: datetime) -> None:
    make(rt, "orders", schedule="1h")
    daemon.run_once(later)
    assert count(rt, "orders") == 0
    daemon.run_once(later + timedelta(hours=1))
    assert count(rt, "orders") == 1


def test_cron(rt: Runtime, daemon: Daemon) -> None:
    make(rt, "orders", schedule="0 3 * * *")
    tonight = (datetime.now().astimezone() + timedelta(days=1)).replace(hour=0)
    daemon.run_once(tonight + timedelta(days=1))
    assert count(rt, "orders") == 1


def test_another_daemon_has_the_group(
    rt: Runtime, daemon: Daemon, later: datetime, database: str
) -> None:
    make(rt, "orders")
    group = rt.status("orders_st")[0].pgt_id
    with connect(database) as other, lease.job(other, SCHEMAS, "group", group):
        daemon.run_once(later)
        assert count(rt, "orders") == 0
    daemon.run_once(later)  # at once, not a schedule later
    assert count(rt, "orders") == 1


def test_what_somebody_refreshed_meanwhile_is_left_alone(
    rt: Runtime, daemon: Daemon, later: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(rt, "orders", refresh_mode="full")
    run = passes.run

    def after_another(session: Any, schemas: Any, due: Any, tick: Any) -> passes.Outcome:
        with connect(daemon._dsn) as other:
            Runtime(other).refresh("orders_st")
        return run(session, schemas, due, tick)

    monkeypatch.setattr(passes, "run", after_another)
    daemon.run_once(later)
    history = rt.history("orders_st")
    assert [one.initiated_by for one in history] == ["manual", "initial"]


def test_a_bug_in_one_pass_stops_nobody_and_is_tried_again(
    rt: Runtime,
    daemon: Daemon,
    later: datetime,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    make(rt, "bad")
    make(rt, "good")
    bad = rt.status("bad_st")[0].pgt_id
    run = passes.run

    def broken(session: Any, schemas: Any, due: Any, tick: Any) -> passes.Outcome:
        if bad in due.pgt_ids:
            raise ValueError("a bug")
        return run(session, schemas, due, tick)

    monkeypatch.setattr(passes, "run", broken)
    with caplog.at_level(logging.ERROR):
        daemon.run_once(later)
    assert (count(rt, "bad"), count(rt, "good")) == (0, 1)
    failure = next(one for one in caplog.records if vars(one)["action"] == "pass_failed")
    assert failure.exc_info is not None
    monkeypatch.setattr(passes, "run", run)
    daemon.run_once(later + timedelta(seconds=2))  # not a minute later
    assert count(rt, "bad") == 1


def test_a_look_that_fails_stops_nobody(
    rt: Runtime, daemon: Daemon, later: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(rt, "orders")

    def broken(session: PsycopgSession, *_: object) -> None:
        session.execute("SELECT 1/0")

    monkeypatch.setattr(staleness, "survey", broken)
    daemon.run_once(later)
    assert count(rt, "orders") == 1


def test_a_diamond_is_refreshed_as_a_whole(
    rt: Runtime, daemon: Daemon, later: datetime, oracle: Callable[[Runtime, str], None]
) -> None:
    make(rt, "orders", schedule="1h")
    rt.create_stream_table("sums", "SELECT sum(a) AS s FROM orders_st", schedule="1h")
    rt.create_stream_table("counts", "SELECT count(*) AS n FROM orders_st", schedule="1h")
    query = "SELECT s, n FROM sums CROSS JOIN counts"
    rt.create_stream_table("top", query, schedule="1m")
    add(rt, "orders", 2)
    daemon.run_once(later)
    assert rt.session.execute("SELECT s, n FROM top") == [{"s": 3, "n": 2}]
    oracle(rt, "top")


def test_frozen_and_paused_tables_rest(rt: Runtime, daemon: Daemon, later: datetime) -> None:
    make(rt, "cold", tier="frozen")
    make(rt, "off")
    rt.pause("off_st")
    daemon.run_once(later)
    assert (count(rt, "cold"), count(rt, "off")) == (0, 0)
    rt.resume("off_st")
    daemon.run_once(later)
    assert count(rt, "off") == 1


def test_changes_are_cleaned_up(rt: Runtime, daemon: Daemon, later: datetime) -> None:
    make(rt, "orders")
    daemon.run_once(later)
    daemon.run_once(later + MINUTE)
    buffer = rt.session.execute("SELECT buffer_name FROM pgtrickle.pgt_buffers")[0]["buffer_name"]
    rows = rt.session.execute(f"SELECT count(*) AS n FROM pgtrickle_changes.{buffer}")
    assert rows == [{"n": 0}]


def test_an_alert_tells_of_a_table_that_stays_stale(
    rt: Runtime, daemon: Daemon, later: datetime, database: str
) -> None:
    make(rt, "orders")
    group = rt.status("orders_st")[0].pgt_id
    with connect(database) as other, lease.job(other, SCHEMAS, "group", group):
        rt.session.execute("LISTEN pgtrickle_alert")
        rt.session.commit()
        for minutes in range(5):
            daemon.run_once(later + minutes * MINUTE)
    assert isinstance(rt.session, PsycopgSession)
    alerts = [one for one in rt.session.notifications() if "freshness_violated" in one]
    assert len(alerts) == 1  # repeated after a quarter of an hour only
    assert '"interval_seconds": 60' in alerts[0]


def test_an_unprivileged_role_can_serve(
    role_database: RoleDatabase, role_admin: PsycopgSession, later: datetime
) -> None:
    role_admin.execute("CREATE TABLE orders (a int PRIMARY KEY)")
    role_admin.execute(f"GRANT SELECT, TRIGGER ON orders TO {role_database.role}")
    role_admin.commit()
    with connect(role_database.dsn) as session:
        rt = Runtime(session)
        rt.create_stream_table("marts.o", "SELECT a FROM orders", schedule="1m")
        role_admin.execute("INSERT INTO orders VALUES (7)")
        role_admin.commit()
        daemon = Daemon(role_database.dsn)
        daemon.run_once(later)
        daemon.close()
        assert session.execute("SELECT a FROM marts.o") == [{"a": 7}]
