"""The choice between differential and full, with real costs."""

from __future__ import annotations

import pytest

from trickle_runtime.refresh import policy


@pytest.fixture
def slow_delta(rt, sql):
    """A table whose delta takes 5 ms for each change, and whose query takes nearly nothing."""
    sql(
        "CREATE TABLE t (id int PRIMARY KEY, v int)",
        "INSERT INTO t SELECT i, i FROM generate_series(1, 400) i",
        """CREATE FUNCTION slow(v int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
           BEGIN
               IF current_query() LIKE '%changes\\_%' THEN PERFORM pg_sleep(0.005); END IF;
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
