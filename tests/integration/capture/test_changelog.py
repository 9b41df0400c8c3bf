"""Change logs of stream tables."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from trickle_runtime import errors
from trickle_runtime.capture import changelog
from trickle_runtime.catalog.store import Store
from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import connect

S = Schemas()
_IS_WAITING = "SELECT cardinality(pg_blocking_pids(%(pid)s)) > 0 AS waits"


@pytest.fixture
def stream_table(session):
    session.execute('CREATE TABLE st (k int, "Net $" numeric(8,2), t text COLLATE "C")')
    store = Store(session, S)
    relid = store.resolve("st")
    return store.insert(
        pgt_relid=relid, pgt_schema="public", pgt_name="st", query="", canonical_query=""
    )


def _columns(session, pgt_id):
    return [
        (row["name"], row["type"])
        for row in session.execute(
            "SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type"
            " FROM pg_attribute WHERE attrelid = %(log)s::regclass AND attnum > 0 ORDER BY attnum",
            {"log": changelog.log_name(S, pgt_id)},
        )
    ]


def test_it_has_the_columns_of_the_stream_table(session, stream_table):
    assert changelog.ensure(session, S, stream_table)
    assert _columns(session, stream_table) == [
        ("__pgt_refresh", "bigint"),
        ("__pgt_w", "integer"),
        ("k", "integer"),
        ("Net $", "numeric(8,2)"),
        ("t", "text"),
    ]


def test_it_is_kept_while_they_are_the_same(session, stream_table):
    changelog.ensure(session, S, stream_table)
    session.execute(f"INSERT INTO {changelog.log_name(S, stream_table)} VALUES (1, 1, 1)")
    assert not changelog.ensure(session, S, stream_table)
    rows = session.execute(f"SELECT k FROM {changelog.log_name(S, stream_table)}")
    assert rows == [{"k": 1}]


def test_it_is_made_anew_when_they_change(session, stream_table):
    changelog.ensure(session, S, stream_table)
    session.execute("ALTER TABLE st ADD COLUMN more int")
    assert changelog.ensure(session, S, stream_table)
    assert _columns(session, stream_table)[-1] == ("more", "integer")


def test_names_that_it_needs_itself(session, stream_table):
    session.execute("ALTER TABLE st RENAME k TO __pgt_refresh")
    with pytest.raises(errors.InvalidConfig):
        changelog.ensure(session, S, stream_table)


def test_drop(session, stream_table):
    changelog.ensure(session, S, stream_table)
    changelog.drop(session, S, stream_table)
    changelog.drop(session, S, stream_table)
    assert Store(session, S).resolve(changelog.log_name(S, stream_table)) is None


def test_creators_of_two_readers_at_the_same_time_make_one_log(
    session, stream_table, database, wait_until
):
    session.commit()
    with connect(database) as other, ThreadPoolExecutor(1) as pool:
        assert changelog.ensure(session, S, stream_table)
        second = pool.submit(changelog.ensure, other, S, stream_table)
        waiting = {"pid": other.connection.info.backend_pid}
        wait_until(lambda: session.execute(_IS_WAITING, waiting)[0]["waits"])
        session.commit()
        assert second.result(timeout=30) is False
        other.commit()
