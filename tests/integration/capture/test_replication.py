"""Targets of logical replication: the apply worker fires row triggers only (C18)."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from .conftest import Consumer, attnums


@pytest.fixture
def published(databases, session, database):
    """A database that publishes ``t``, and a slot; skipped where the server can't."""
    level = session.execute("SHOW wal_level")[0]["wal_level"]
    session.commit()
    if level != "logical":
        pytest.skip(f"wal_level is {level} here")
    name = databases.create()
    dsn = databases.server.dsn(name)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id int PRIMARY KEY, a int)")
        connection.execute("CREATE PUBLICATION p FOR TABLE t")
        connection.execute("SELECT pg_create_logical_replication_slot('trickle_test', 'pgoutput')")
        yield connection
    with psycopg.connect(database, autocommit=True) as subscriber:
        subscriber.execute("ALTER SUBSCRIPTION s DISABLE")
        subscriber.execute("ALTER SUBSCRIPTION s SET (slot_name = NONE)")
        subscriber.execute("DROP SUBSCRIPTION s")
    databases.drop(name)


def test_replicated_rows_are_captured(published, session, database, write, wait_until, issues):
    write("CREATE TABLE t (id int PRIMARY KEY, a int)")
    early = Consumer(session, "t", attnums(session, "t")).register()
    assert early.capture().mode == "statement"
    early.fill()
    source = make_conninfo(
        **{
            key: value
            for key, value in conninfo_to_dict(published.info.dsn).items()
            if key in {"host", "port", "user", "dbname"}
        }
    )
    with psycopg.connect(database, autocommit=True) as subscriber:
        subscriber.execute(
            f"CREATE SUBSCRIPTION s CONNECTION '{source}' PUBLICATION p"
            " WITH (create_slot = false, slot_name = 'trickle_test', copy_data = false)"
        )
    assert issues() == ["trigger_changed"]
    assert early.capture().mode == "row"
    published.execute("INSERT INTO t VALUES (1, 1), (2, 2)")
    published.execute("UPDATE t SET a = 5 WHERE id = 1")

    def arrived():
        rows = session.execute("SELECT sum(a) AS n FROM t")
        session.commit()
        return rows[0]["n"] == 7

    wait_until(arrived, 30)
    assert early.refresh() == "difference"
    published.execute("DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (3, 9)")

    def arrived_again():
        rows = session.execute("SELECT count(*) AS n, sum(a) AS a FROM t")
        session.commit()
        return rows == [{"n": 2, "a": 14}]

    wait_until(arrived_again, 30)
    assert early.refresh() == "differential"
    published.execute("TRUNCATE t")

    def emptied():
        rows = session.execute("SELECT count(*) AS n FROM t")
        session.commit()
        return rows == [{"n": 0}]

    wait_until(emptied, 30)
    assert early.refresh() == "difference"
