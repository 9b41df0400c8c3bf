"""NOTIFY pgtrickle_alert: what happens to a stream table is told to who listens."""

from __future__ import annotations

import json
from collections.abc import Callable

import psycopg
import pytest

from tests.integration.refresh.conftest import TOTALS
from trickle_runtime.errors import DatabaseError

pytestmark = pytest.mark.once


@pytest.fixture
def alerts(database):
    """``alerts()``: what was told since the last call."""
    with psycopg.connect(database, autocommit=True) as listener:
        listener.execute("LISTEN pgtrickle_alert")

        def told() -> list[dict]:
            listener.execute("SELECT 1")
            found = listener.notifies(timeout=0)
            return [json.loads(one.payload) for one in found]

        yield told


def kinds(alerts: Callable[[], list[dict]]) -> list[str]:
    return [one["event"] for one in alerts()]


def test_a_source_that_changed(rt, sql, orders, alerts):
    rt.create_stream_table("public.totals", TOTALS)
    alerts()
    sql("ALTER TABLE orders DISABLE TRIGGER USER", "DELETE FROM orders WHERE id = 5")
    sql("ALTER TABLE orders ENABLE TRIGGER USER")
    rt.refresh("totals")
    changed, renewed = alerts()
    assert (changed["event"], renewed["event"]) == ("source_changed", "reinitialized")
    assert changed["stream_table"] == renewed["stream_table"] == "public.totals"
    assert any("trigger" in reason for reason in changed["reasons"])
    assert renewed["reason"]


def test_a_table_that_fails_too_often_and_comes_back(rt, sql, orders, alerts):
    rt.create_stream_table("public.bad", "SELECT id, 1 / amount AS x FROM orders")
    sql("INSERT INTO orders VALUES (1000, 1, 0)")
    alerts()
    for _ in range(3):
        with pytest.raises(DatabaseError):
            rt.refresh("bad")
    (suspended,) = alerts()
    assert (suspended["event"], suspended["status"]) == ("suspended", "suspended")
    assert "zero" in suspended["error"]
    assert suspended["error_code"] == "22012"
    sql("DELETE FROM orders WHERE id = 1000")
    rt.refresh("bad")
    assert kinds(alerts)[0] == "resumed"


def test_a_query_that_is_computed(rt, orders, alerts):
    rt.create_stream_table("public.random", "SELECT id, random() AS x FROM orders")
    (fallback,) = alerts()
    assert fallback["event"] == "mode_fallback"
    assert "VOLATILE_FUNCTION" in json.dumps(fallback)
