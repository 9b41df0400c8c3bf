"""What users learn of a query before and after it is maintained."""

from __future__ import annotations

import pytest

QUERIES = {
    "aggregate": ("SELECT k, sum(v) AS s FROM t GROUP BY k", "kept by addition"),
    "group_recompute": ("SELECT k, array_agg(v) AS s FROM t GROUP BY k", "array_agg"),
    "distinct": ("SELECT DISTINCT k FROM t", "counted"),
    "join": ("SELECT t.id FROM t JOIN u USING (k)", "2 inputs"),
    "non_equi_join": ("SELECT t.id FROM t JOIN u ON t.v < u.k", "without an equality"),
    "outer_join": ("SELECT t.id FROM t LEFT JOIN u USING (k)", "partner"),
    "semi_join": ("SELECT id FROM t WHERE k IN (SELECT k FROM u)", "partners"),
    "anti_join": ("SELECT id FROM t WHERE NOT EXISTS (SELECT FROM u WHERE u.k = t.k)", "partners"),
    "window": ("SELECT id, rank() OVER (ORDER BY v) AS r FROM t", "no PARTITION BY"),
    "top_k": ("SELECT id FROM t ORDER BY v, id LIMIT 3", "first 3 rows"),
    "recursion": (
        "WITH RECURSIVE r AS (SELECT k FROM u UNION SELECT v FROM t JOIN r ON t.k = r.k) TABLE r",
        "derive again",
    ),
    "recomputed_node": ("SELECT id FROM t JOIN m USING (k)", "POLLED_SOURCE"),
    "time": ("SELECT id FROM t WHERE at > now() - interval '1 day'", "always changes"),
    "STABLE_FUNCTION": ("SELECT id, now() - at AS age FROM t", "now()"),
    "parameter_filter": ("SELECT id FROM t WHERE at > now() - interval '1 day'", "between"),
    "table_function": ("SELECT id, g FROM t, generate_series(1, k) g", "called"),
    "union_all": ("SELECT k FROM t UNION ALL SELECT k FROM u", "2 branches"),
    "shared_subquery": (
        "WITH w AS (SELECT k, sum(v) AS s FROM t GROUP BY k)"
        " SELECT a.k FROM w a JOIN w b ON a.s = b.s",
        "once",
    ),
    "multi_scan": ("SELECT a.id FROM t a JOIN t b ON a.k = b.v", "2 times"),
    "TABLE_SAMPLE": ("SELECT id FROM t TABLESAMPLE SYSTEM (10)", "TABLESAMPLE"),
}


@pytest.fixture(autouse=True)
def tables(sql):
    sql(
        "CREATE TABLE t (id int PRIMARY KEY, k int, v int, at timestamptz)",
        "CREATE TABLE u (k int)",
        "CREATE MATERIALIZED VIEW m AS SELECT k FROM u",
    )


@pytest.mark.parametrize("construct", QUERIES)
def test_each_construct_has_its_strategy(construct, rt):
    query, words = QUERIES[construct]
    checks = rt.validate_query(query)
    assert checks[0].check_name == "resolved_refresh_mode"
    found = [check.result for check in checks if check.check_name == construct]
    assert any(words in text for text in found), checks


def test_a_query_that_is_wrong_is_an_answer(rt):
    first, second = rt.validate_query("SELECT nothing FROM nowhere")
    assert (first.result, first.severity, second.severity) == ("none", "ERROR", "ERROR")


def test_too_complex_is_an_answer(rt):
    checks = rt.validate_query("SELECT " + "(" * 10_000 + "1" + ")" * 10_000)
    assert checks[1].check_name == "TR103"


def test_the_passes_of_a_query(rt):
    passes = {one.pass_name: one for one in rt.explain_query_rewrite(QUERIES["aggregate"][0])}
    assert "public.t" in passes["canonicalise"].sql_after
    assert "kept by addition" in passes["aggregate"].sql_after
    assert passes["delta_key"].sql_after == "k"


def test_the_parts_of_a_stream_table(rt):
    rt.create_stream_table("st", QUERIES["recomputed_node"][0])
    found = {check.check_name: check for check in rt.explain("st")}
    assert found["effective_mode"].result == "DIFFERENTIAL"
    assert found["POLLED_SOURCE"].result.startswith("recomputed")
    assert found["recomputed_node"].severity == "WARNING"


def test_the_statements_for_some_changed_sources_with_plans(rt, sql):
    rt.create_stream_table(
        "st", "SELECT k, s FROM (SELECT k, sum(v) AS s FROM t GROUP BY k) q JOIN u USING (k)"
    )
    sql("INSERT INTO t VALUES (1, 1, 1)")
    both = rt.explain_delta("st", plan=True)
    (one,) = rt.explain_delta("st", ["public.u"], plan=True)
    assert "changes_" in one.plan
    assert len(both) > 1  # the state of the aggregate is maintained before the join reads it
    assert all(step.plan for step in both if not step.sql.startswith("ANALYZE"))
    assert rt.explain_delta("st")[0].plan is None
    assert sql("SELECT count(*) AS n FROM st")[0]["n"] == 0  # nothing was run
    assert rt.refresh("st").action in {"DIFFERENTIAL", "FULL"}


def test_the_plans_of_a_full_refresh(rt):
    rt.create_stream_table("st", QUERIES["TABLE_SAMPLE"][0])
    (step,) = rt.explain_delta("st", plan=True)
    assert "Sample Scan" in step.plan


def test_one_that_can_not_be_verified_does_not_stop_the_others(rt, sql, orders, oracle):
    sql("CREATE TABLE gone (id int)")
    rt.create_stream_table("public.dropped", "SELECT id FROM orders")
    rt.create_stream_table("public.lost", "SELECT id FROM gone")
    rt.create_stream_table("public.whole", "SELECT id FROM orders")
    sql("DROP TABLE dropped CASCADE", "DROP TABLE gone CASCADE")
    lost, whole = rt.verify_all()
    assert not lost.equal
    assert str(lost).startswith("public.lost is not compared: ")
    assert "gone" in str(lost)
    assert whole.equal
    oracle(rt, "whole")
