"""A full refresh of a query that takes long computes it into a temporary table, in parallel."""

from __future__ import annotations

import pytest

from tests.oracle import assert_exact
from trickle_runtime.refresh import compiled

QUERIES = {
    "key": ("SELECT k, sum(v) AS s FROM t WHERE k IS NOT NULL GROUP BY k", {}),
    "key that can be NULL": ("SELECT k, sum(v) AS s, count(*) AS n FROM t GROUP BY k", {}),
    "bag": ("SELECT k, v FROM t", {}),
    "one row": ("SELECT count(*) AS n, max(v) AS m FROM t", {}),
    "partitions": ("SELECT id, k FROM t WHERE id < 90", {"partition_by": "RANGE:id:10"}),
    "moving between partitions": ("SELECT id, v FROM t", {"partition_by": "LIST:v"}),
    "state below": (
        "SELECT s, count(*) AS n FROM (SELECT sum(v) AS s FROM t GROUP BY k) q GROUP BY s",
        {},
    ),
}


@pytest.fixture
def table(sql):
    sql(
        "CREATE TABLE t (id int PRIMARY KEY, k int, v int)",
        "INSERT INTO t SELECT i, nullif(i % 7, 0), i % 3 FROM generate_series(1, 80) i",
    )


@pytest.mark.parametrize("name", QUERIES)
def test_staged(name, rt, sql, table, monkeypatch):
    monkeypatch.setattr(compiled, "STAGED_FROM_MS", -1.0)
    query, options = QUERIES[name]
    rt.create_stream_table("st", query, **options)
    rt.create_stream_table("above", "SELECT count(*) AS n FROM st")
    assert rt.refresh("st", mode="full").action == "FULL"
    sql(
        "UPDATE t SET v = v + 1 WHERE id % 5 = 0",
        "UPDATE t SET k = NULL WHERE id = 1",
        "DELETE FROM t WHERE k = 3 OR id = 14",
        "INSERT INTO t VALUES (85, 9, 1), (86, NULL, NULL), (87, NULL, NULL)",
    )
    found = rt.refresh("st", mode="full")
    assert found.action == "FULL"
    assert found.inserted + found.updated + found.deleted > 0
    assert_exact(rt, "st")
    assert rt.refresh("above", mode="differential").action == "DIFFERENTIAL"
    assert_exact(rt, "above")
    sql("UPDATE t SET v = 7, k = 8 WHERE id = 20")
    assert rt.refresh("st", mode="differential").action == "DIFFERENTIAL"  # its states are right
    assert_exact(rt, "st")
