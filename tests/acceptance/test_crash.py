"""Killed in the middle of refreshes, again and again: nothing is lost and nothing comes twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.acceptance.conftest import StartDaemon
from trickle_runtime.api import Runtime
from trickle_runtime.db.connection import connect
from trickle_runtime.embedded import Server

WaitUntil = Callable[..., object]
SET_UP = """
CREATE FUNCTION slow(a int) RETURNS int IMMUTABLE LANGUAGE plpgsql
AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN a; END $$;
CREATE TABLE orders (id int PRIMARY KEY, shop int, amount int);
CREATE TABLE shops (shop int PRIMARY KEY, name text);
INSERT INTO shops SELECT i, 'shop ' || i FROM generate_series(0, 4) i;
INSERT INTO orders SELECT i, i % 5, i FROM generate_series(1, 20) i
"""
CHANGES = (
    "INSERT INTO orders SELECT {n} * 100 + i, i % 5, i FROM generate_series(1, 10) i",
    "UPDATE orders SET amount = amount + 1, shop = (shop + 1) % 5 WHERE id % 7 = {n}",
    "DELETE FROM orders WHERE id % 11 = {n}",
    "UPDATE shops SET name = name || {n} WHERE shop = {n} % 5",
)
TABLES = {
    "lines": "SELECT id, slow(amount) AS amount, name FROM orders JOIN shops USING (shop)",
    "revenue": "SELECT name, sum(amount) AS amount, max(amount) AS top FROM lines GROUP BY name",
    "biggest": "SELECT name, top FROM revenue WHERE amount > 100",
}
IN_A_REFRESH = (
    "SELECT 1 FROM pg_stat_activity"
    " WHERE application_name = 'trickle-runtime worker' AND wait_event = 'PgSleep'"
)


@pytest.fixture
def durable_server(pg_bin: str | None) -> Iterator[Server]:
    """A server that keeps what it has committed when it is killed."""
    with Server(pg_bin=pg_bin) as found:
        yield found


@pytest.mark.parametrize("victim", ["daemon", "server"])
def test_killed_during_refreshes(
    durable_server: Server,
    victim: str,
    start_daemon: StartDaemon,
    wait_until: WaitUntil,
    oracle: Callable[[Runtime, str], None],
) -> None:
    dsn = durable_server.dsn()
    with psycopg.connect(dsn, autocommit=True) as db, connect(dsn) as session:
        db.execute(SET_UP)
        rt = Runtime(session)
        rt.install()
        for name, query in TABLES.items():
            rt.create_stream_table(name, query, schedule="1s")
    daemon = start_daemon(dsn)
    for number in range(1, 4):
        with psycopg.connect(dsn, autocommit=True) as db:
            for change in CHANGES:
                db.execute(change.format(n=number))  # type: ignore[call-overload]
            wait_until(lambda: db.execute(IN_A_REFRESH).fetchone(), 60)
        if victim == "daemon":
            daemon.kill()
            daemon = start_daemon(dsn)
        else:
            durable_server.kill()
            durable_server.start()
    with connect(dsn) as session:
        rt = Runtime(session)
        wait_until(lambda: all(one.pending == 0 for one in rt.status()), 60)
        assert daemon.terminate() == 0
        for name in TABLES:
            oracle(rt, name)
