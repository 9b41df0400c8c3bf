"""The choice between differential and full, with real costs."""

from __future__ import annotations

import re

import pytest

from tests.integration.refresh.conftest import TOTALS
from trickle_runtime.analysis import Analysis
from trickle_runtime.refresh import policy


@pytest.fixture
def slow_delta(rt, sql):
    """A table whose delta takes 5 ms for each change, and whose query takes nearly nothing."""
    sql(
        "CREATE TABLE t (id int PRIMARY KEY, v int)",
        "INSERT INTO t SELECT i, i FROM generate_series(1, 400) i",
        """CREATE FUNCTION slow(v int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
           BEGIN
               IF current_query() ~ 'changes_|EXECUTE' THEN PERFORM pg_sleep(0.005); END IF;
               RETURN v;
           END $$""",
    )
    rt.create_stream_table("public.s", "SELECT id, slow(v) AS v FROM t")
    sql("UPDATE pgtrickle.pgt_refresh_history SET duration_ms = 300")


def test_an_attempt_that_takes_too_long_is_given_up(rt, sql, slow_delta, oracle):
    sql("UPDATE t SET v = v + 1")
    result = rt.refresh("s")
    assert result.action == "FULL"
    assert (result.reason or "").startswith(policy.OVER_BUDGET)
    assert result.updated == 400
    oracle(rt, "s")
    sql("UPDATE t SET v = v + 1")
    result = rt.refresh("s")
    assert (result.action, result.reason) == (
        "FULL",
        "an earlier attempt with as many changes took too long",
    )
    sql("UPDATE t SET v = v + 1 WHERE id < 3")
    assert rt.refresh("s").action == "DIFFERENTIAL"
    oracle(rt, "s")


def test_the_limit_of_a_budget_ends_before_the_commit(rt, sql, slow_delta, sent):
    """What is left of a budget may be a millisecond: a slow machine needs more to commit."""
    sql("UPDATE t SET v = v + 1 WHERE id = 1")
    assert rt.refresh("s").action == "DIFFERENTIAL"
    limits = re.compile(r"SET LOCAL statement_timeout = '?(\d+)")
    limited = [text for text in sent if any(int(one) for one in limits.findall(text))]
    assert len(limited) == 1
    assert limits.findall(limited[0])[-1] == "0"
    assert limited[0].endswith("SET LOCAL statement_timeout = '0'")
    assert "COMMIT" not in limited[0]


def test_an_explicit_mode_has_no_budget(rt, sql, slow_delta, oracle):
    rt.alter_stream_table("s", refresh_mode="differential")
    sql("UPDATE t SET v = v + 1 WHERE id <= 100")
    assert rt.refresh("s").action == "DIFFERENTIAL"
    oracle(rt, "s")
    sql("UPDATE t SET v = v + 1 WHERE id = 1")
    assert rt.refresh("s", mode="full").action == "FULL"


def test_compiled_statements_are_kept(rt, other, sql, slow_delta):
    """In the catalog, for every session; one entry for each set of changed sources."""
    for _ in range(2):
        sql("UPDATE t SET v = v + 1 WHERE id = 1")
        rt.refresh("s")
    assert sql.value("SELECT count(*) FROM pgtrickle.pgt_compiled") == 1
    sql("UPDATE t SET v = v + 1 WHERE id = 1")
    other.refresh("s")
    rt.refresh("s", mode="full")
    assert sql.value("SELECT count(*) FROM pgtrickle.pgt_compiled") == 2
    rt.alter_stream_table("s", query="SELECT id, slow(v) AS v FROM t WHERE id > 0")
    assert sql.value("SELECT count(*) FROM pgtrickle.pgt_compiled") <= 1


def test_a_delta_that_cannot_be_compiled_is_a_full_difference(
    rt, sql, orders, oracle, monkeypatch
):
    rt.create_stream_table("public.totals", TOTALS)
    sql("INSERT INTO orders VALUES (1000, 1, 5)")
    monkeypatch.setattr(Analysis, "delta_steps", _fail)
    result = rt.refresh("totals")
    assert result.action == "REINITIALIZE"
    assert "no delta could be compiled" in (result.reason or "")
    oracle(rt, "totals")
    monkeypatch.undo()
    sql("INSERT INTO orders VALUES (1001, 1, 5)")
    assert rt.refresh("totals").action == "DIFFERENTIAL"


def test_a_function_that_became_volatile(rt, sql, orders, oracle):
    sql("CREATE FUNCTION f(x numeric) RETURNS numeric IMMUTABLE LANGUAGE sql AS 'SELECT x * 2'")
    rt.create_stream_table("public.s", "SELECT id, f(amount) AS y FROM orders")
    sql("ALTER FUNCTION f VOLATILE", "INSERT INTO orders VALUES (1000, 1, 5)")
    rt.refresh("s")
    oracle(rt, "s")
    assert rt.status("s")[0].mode == "full"


def _fail(*_, **__):
    raise KeyError("x")


def test_buffers_are_analysed_when_they_have_grown(rt, sql, oracle):
    """Also by a session that knows the table from smaller refreshes."""
    sql(
        "CREATE TABLE t (id int PRIMARY KEY, v int)",
        "INSERT INTO t SELECT n, n FROM generate_series(1, 9000) n",
    )
    rt.create_stream_table("public.s", "SELECT id, v FROM t", refresh_mode="differential")
    known = (
        "SELECT max(reltuples) FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = 'pgtrickle_changes'::regnamespace"
    )
    for _ in range(3):
        sql("UPDATE t SET v = v + 1 WHERE id = 1")
        rt.refresh("public.s")
    assert sql.value(known) < 100
    sql("UPDATE t SET v = v + 1")
    rt.refresh("public.s")
    assert sql.value(known) > 9000
    oracle(rt, "s")
