"""Refreshes of a table that the session has refreshed before."""

from __future__ import annotations

import threading

import pytest

from tests.integration.refresh.conftest import TOTALS
from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import connect
from trickle_runtime.errors import StreamTableNotFound
from trickle_runtime.refresh import engine, locks


def test_another_refresh_of_the_same_table_is_three_round_trips(rt, sql, orders, sent):
    rt.create_stream_table("public.totals", TOTALS)
    for number in range(2):
        sql(f"INSERT INTO orders VALUES ({1000 + number}, 1, 5)")
        rt.refresh("public.totals")
    sql("INSERT INTO orders VALUES (1002, 1, 5)")
    sent.clear()
    assert rt.refresh("public.totals").rows_in == 1
    assert len(sent) == 3


def test_a_lock_that_is_not_free_as_expected(rt, sql, orders, database, oracle, wait_until):
    """A session that has refreshed a table before takes its lock together with all others."""
    rt.create_stream_table("public.totals", TOTALS)
    rt.refresh("public.totals")
    pgt_id = [rt.status("totals")[0].pgt_id]
    sql("INSERT INTO orders VALUES (1000, 1, 5)")
    with connect(database) as other, locks.held(other, Schemas(), pgt_id, wait=True):
        outcome = engine.run_pass(rt.session, rt.schemas, pgt_id, initiated_by="scheduler")
        assert [one.status for one in outcome.results.values()] == ["skipped"]
        waiting = threading.Thread(target=rt.refresh, args=("public.totals",))
        waiting.start()
        wait_until(lambda: sql.value("SELECT count(*) FROM pg_locks WHERE NOT granted"))
    waiting.join(60)
    oracle(rt, "totals")
    assert sql.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


def test_a_known_name_may_mean_another_table_by_now(rt, sql, orders, oracle):
    rt.create_stream_table("public.totals", TOTALS)
    rt.create_stream_table("public.other", "SELECT id FROM orders")
    rt.refresh("public.totals")
    rt.refresh("public.other")
    sql(
        "INSERT INTO orders VALUES (1000, 1, 5)",
        "ALTER TABLE totals RENAME TO old",
        "ALTER TABLE other RENAME TO totals",
    )
    assert rt.refresh("public.totals").name == "public.totals"
    oracle(rt, "totals")
    assert sql.value("SELECT count(*) FROM totals WHERE id = 1000") == 1
    with pytest.raises(StreamTableNotFound):
        rt.refresh("public.other")
    rt.drop_stream_table("public.totals")
    with pytest.raises(StreamTableNotFound):
        rt.refresh("public.totals")
    rt.create_stream_table("public.totals", "SELECT amount FROM orders")
    sql("INSERT INTO orders VALUES (1001, 1, 5)")
    rt.refresh("public.totals")
    oracle(rt, "totals")
