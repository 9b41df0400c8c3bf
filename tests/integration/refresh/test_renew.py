"""Views and indexes that are made anew, as dbt does on every run, cost no full difference."""

from __future__ import annotations

import pytest

VIEW = "SELECT id, customer, amount FROM orders WHERE amount > 5"
QUERY = "SELECT customer, sum(amount) AS total FROM big GROUP BY customer"


@pytest.fixture
def over_view(rt, sql, orders):
    sql(f"CREATE VIEW big AS {VIEW}")
    rt.create_stream_table("t", QUERY)


def rebuild(sql, definition: str) -> None:
    """As dbt does: build beside, swap by rename, drop with what depends on it."""
    sql(
        f"CREATE VIEW big__tmp AS {definition}",
        "ALTER VIEW big RENAME TO big__backup",
        "ALTER VIEW big__tmp RENAME TO big",
        "DROP VIEW big__backup CASCADE",
    )


def actions(sql) -> list[str]:
    found = sql("SELECT action FROM pgtrickle.pgt_refresh_history ORDER BY refresh_id")
    return [row["action"] for row in found]


def test_a_view_that_says_the_same(rt, sql, oracle, over_view):
    for number in range(3):
        rebuild(sql, f"{VIEW} -- {number}")
        sql(f"INSERT INTO orders VALUES ({100 + number}, 1, 50)")
        assert rt.refresh("t").action == "DIFFERENTIAL"
        oracle(rt, "t")
    rebuild(sql, VIEW)
    assert rt.refresh("t").action == "NO_DATA"
    assert actions(sql) == ["INITIALIZE", *["DIFFERENTIAL"] * 3]
    # The columns that it reads are still guarded.
    assert sql.value("SELECT count(*) FROM pg_views WHERE schemaname = 'pgtrickle_state'") == 1


def test_a_view_that_says_something_else(rt, sql, oracle, over_view):
    rebuild(sql, VIEW.replace("> 5", "> 50"))
    result = rt.refresh("t")
    assert result.action == "REINITIALIZE"
    assert "big" in str(result.reason)
    oracle(rt, "t")
    rebuild(sql, "SELECT id, customer, amount FROM orders")
    sql("INSERT INTO orders VALUES (100, 1, 1)")
    rt.refresh("t")
    oracle(rt, "t")


def test_a_view_over_another_table(rt, sql, oracle, over_view):
    sql("CREATE TABLE orders2 AS SELECT id, customer, amount * 2 AS amount FROM orders")
    rebuild(sql, VIEW.replace("orders", "orders2"))
    assert rt.refresh("t").action == "REINITIALIZE"
    oracle(rt, "t")
    sql("INSERT INTO orders2 VALUES (100, 1, 1000)")
    assert rt.refresh("t").action == "DIFFERENTIAL"
    oracle(rt, "t")


def test_a_view_on_a_view(rt, sql, oracle, orders):
    sql("CREATE VIEW small AS SELECT * FROM orders", f"CREATE VIEW big AS {VIEW}")
    rt.create_stream_table(
        "t", QUERY.replace("big", "(SELECT b.* FROM big b JOIN small USING (id)) AS both_of_them")
    )
    rebuild(sql, VIEW)
    assert rt.refresh("t").action == "NO_DATA"
    sql("CREATE OR REPLACE VIEW small AS SELECT * FROM orders WHERE id < 30")
    assert rt.refresh("t").action == "REINITIALIZE"
    oracle(rt, "t")


def test_a_unique_index_of_a_users(rt, sql, oracle, over_view):
    sql("CREATE UNIQUE INDEX ON t (total)")
    sql("UPDATE orders SET amount = amount + 1 WHERE id = 7")
    assert rt.refresh("t", mode="differential").action == "DIFFERENTIAL"
    # Two customers change places: rows have to leave before others come.
    low, high = (row["customer"] for row in sql("SELECT customer FROM t ORDER BY total LIMIT 2"))
    sql(
        f"UPDATE orders SET customer = CASE customer WHEN {low} THEN {high} ELSE {low} END"
        f" WHERE customer IN ({low}, {high})"
    )
    assert rt.refresh("t", mode="differential").action == "DIFFERENTIAL"
    oracle(rt, "t")
