"""What stands around stream tables: several roots, views and triggers on them, types, rights.

Scenarios D5, D10, D23, D27, D42, A22.
"""

from __future__ import annotations

import pytest

from tests.integration.refresh.conftest import Sql
from trickle_runtime.api import Runtime
from trickle_runtime.db.connection import connect
from trickle_runtime.errors import TrickleError

LOW = "SELECT customer, sum(amount) AS s FROM orders GROUP BY customer"


def test_a_diamond_over_several_roots(rt, sql, oracle):
    """D5: both roots and a table below change in one transaction; nothing is weighted twice."""
    sql(
        "CREATE TABLE r1 (id int, k int)",
        "CREATE TABLE r2 (k int, v int)",
        "INSERT INTO r1 VALUES (1, 1), (2, 1), (3, 2)",
        "INSERT INTO r2 VALUES (1, 10), (2, 20), (2, 20)",
    )
    rt.create_stream_table("public.a", "SELECT r1.id, r1.k, r2.v FROM r1 JOIN r2 USING (k)")
    rt.create_stream_table(
        "public.b", "SELECT a.k, count(*) AS n FROM a JOIN r1 USING (k) GROUP BY a.k"
    )
    rt.create_stream_table("public.c", "SELECT r2.k, sum(r2.v) AS s FROM r2 GROUP BY r2.k")
    rt.create_stream_table(
        "public.d", "SELECT b.k, b.n, c.s, a.id FROM b JOIN c USING (k) JOIN a USING (k)"
    )
    for statement in (
        "UPDATE r1 SET k = 3 - k; UPDATE r2 SET v = v + 1, k = 3 - k",
        "DELETE FROM r1 WHERE id = 1; INSERT INTO r2 VALUES (1, 5), (1, 5)",
        "INSERT INTO r1 SELECT * FROM r1; DELETE FROM r2 WHERE k = 2",
    ):
        sql(statement)
        results = {one.name: one.action for one in rt.refresh_all()}
        assert set(results.values()) == {"DIFFERENTIAL"}
        for name in "abcd":
            oracle(rt, name)


def test_one_group_of_an_aggregate_of_an_aggregate(rt, sql, orders, oracle):
    """A22."""
    rt.create_stream_table(
        "public.low", "SELECT customer, sum(amount) AS s FROM orders GROUP BY customer"
    )
    rt.create_stream_table(
        "public.high",
        "SELECT customer % 3 AS third, max(s) AS most, count(*) AS n FROM low GROUP BY 1",
    )
    sql("UPDATE orders SET amount = amount + 1000 WHERE customer = 4")
    results = {one.name: one for one in rt.refresh_all()}
    assert results["public.low"].updated == results["public.high"].updated == 1
    oracle(rt, "high")


def test_a_view_between_and_a_materialized_view_above(rt, sql, orders, oracle):
    """D10."""
    rt.create_stream_table(
        "public.low", "SELECT customer, sum(amount) AS s FROM orders GROUP BY customer"
    )
    sql("CREATE VIEW between_them AS SELECT customer, s FROM low WHERE s > 10")
    rt.create_stream_table("public.high", "SELECT count(*) AS n, sum(s) AS s FROM between_them")
    sql("CREATE MATERIALIZED VIEW above AS SELECT sum(s) AS s FROM low")
    sql("UPDATE orders SET amount = amount + 5")
    rt.refresh("high")
    oracle(rt, "high")
    sql("REFRESH MATERIALIZED VIEW above")
    assert sql.value("SELECT s FROM above") == sql.value("SELECT sum(amount) FROM orders")
    sql("CREATE OR REPLACE VIEW between_them AS SELECT customer, s FROM low WHERE s > 200")
    rt.refresh("high")
    oracle(rt, "high")
    assert sql.value("SELECT n FROM high") == sql.value("SELECT count(*) FROM low WHERE s > 200")


def test_a_user_trigger_sees_each_change_once(rt, sql, oracle):
    """D27: OLD and NEW of a keyed table; nothing for an update that changes nothing."""
    sql(
        "CREATE TABLE t (id int PRIMARY KEY, v int, unused int)",
        "INSERT INTO t SELECT i, i, i FROM generate_series(1, 5) i",
    )
    rt.create_stream_table("public.s", "SELECT id, v FROM t")
    sql(
        "CREATE TABLE seen (op text, before jsonb, after jsonb)",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen"
        " VALUES (TG_OP, to_jsonb(OLD), to_jsonb(NEW)); RETURN NULL; END $$",
        "CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON s FOR EACH ROW"
        " EXECUTE FUNCTION note()",
    )
    sql(
        "UPDATE t SET v = 20 WHERE id = 2",
        "DELETE FROM t WHERE id = 3",
        "INSERT INTO t VALUES (6, 6, 6)",
        "UPDATE t SET unused = 0",
        "UPDATE t SET v = v WHERE id = 1",
        "UPDATE t SET v = 5 WHERE id = 4; UPDATE t SET v = 4 WHERE id = 4",
    )
    rt.refresh("s")
    assert sql("SELECT op, before, after FROM seen ORDER BY coalesce(before, after) ->> 'id'") == [
        {"op": "UPDATE", "before": {"id": 2, "v": 2}, "after": {"id": 2, "v": 20}},
        {"op": "DELETE", "before": {"id": 3, "v": 3}, "after": None},
        {"op": "INSERT", "before": None, "after": {"id": 6, "v": 6}},
    ]
    assert rt.refresh("s").action == "NO_DATA"
    rt.refresh("s", mode="full")
    assert sql.value("SELECT count(*) FROM seen") == 3
    oracle(rt, "s")


def test_a_partition_that_has_partitions(rt, sql, oracle):
    sql(
        "CREATE TABLE p (id int, v int) PARTITION BY LIST (id)",
        "CREATE TABLE p2 PARTITION OF p DEFAULT PARTITION BY RANGE (v)",
        "CREATE TABLE p2a PARTITION OF p2 DEFAULT",
    )
    rt.create_stream_table("public.whole", "SELECT id, v FROM p")
    rt.create_stream_table("public.part", "SELECT id, v FROM p2")
    sql("INSERT INTO p2 VALUES (3, 5)", "INSERT INTO p VALUES (4, 6)", "UPDATE p2a SET v = v + 1")
    for name in ("whole", "part"):
        assert rt.refresh(name).action == "DIFFERENTIAL"
        oracle(rt, name)


def test_a_partition_that_is_half_detached(rt, sql, oracle, half_detach):
    sql(
        "CREATE TABLE p (id int, v int) PARTITION BY LIST (id)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1) PARTITION BY RANGE (v)",
        "CREATE TABLE p1a PARTITION OF p1 FOR VALUES FROM (0) TO (9)",
        "CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2)",
        "INSERT INTO p VALUES (1, 1), (2, 2)",
    )
    rt.create_stream_table("public.s", "SELECT id, v FROM p")
    half_detach("p", "p1")
    assert sql.value("SELECT count(*) FROM p") == 1
    for statement in ("SELECT 1", "INSERT INTO p VALUES (2, 3)", "UPDATE p1a SET v = 3"):
        sql(statement)
        assert rt.refresh("s").status == "completed"
        oracle(rt, "s")
    sql("ALTER TABLE p DETACH PARTITION p1 FINALIZE", "DELETE FROM p WHERE v = 2")
    rt.refresh("s")
    oracle(rt, "s")


def test_types_that_change_under_a_stream_table(rt, sql, oracle):
    """D23: a value for an enum, another check of a domain."""
    sql(
        "CREATE TYPE mood AS ENUM ('ok', 'sad')",
        "CREATE DOMAIN small AS int CHECK (VALUE < 10)",
        "CREATE TABLE t (id int PRIMARY KEY, m mood, s small)",
        "INSERT INTO t VALUES (1, 'ok', 1), (2, 'sad', 2)",
    )
    rt.create_stream_table(
        "public.st", "SELECT m, max(s) AS most, count(*) AS n FROM t GROUP BY m"
    )
    sql("ALTER TYPE mood ADD VALUE 'fine' BEFORE 'ok'")
    sql("ALTER DOMAIN small DROP CONSTRAINT small_check")
    sql("ALTER DOMAIN small ADD CHECK (VALUE < 100)")
    sql("INSERT INTO t VALUES (3, 'fine', 50), (4, 'ok', 60)")
    assert rt.refresh("st").action == "DIFFERENTIAL"
    oracle(rt, "st")
    sql("ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'", "DELETE FROM t WHERE id = 2")
    rt.refresh("st")
    oracle(rt, "st")


def test_a_policy_on_a_source(role_database):
    """D23: rows that we may not see must not look deleted; D42: nor those of a closed table."""
    admin, own = connect(role_database.admin_dsn), connect(role_database.dsn)
    sql, rt = Sql(admin), Runtime(own)
    sql(
        "CREATE TABLE t (id int PRIMARY KEY, k int)",
        "CREATE TABLE u (k int PRIMARY KEY)",
        "INSERT INTO t VALUES (1, 1), (2, 2)",
        "INSERT INTO u VALUES (1), (2)",
        f"GRANT SELECT, TRIGGER ON t, u TO {role_database.role}",
    )
    rt.create_stream_table("marts.st", "SELECT t.id, u.k FROM t JOIN u USING (k)")
    query = "SELECT id FROM marts.st ORDER BY id"
    role = role_database.role
    ends = {
        "ALTER TABLE u ENABLE ROW LEVEL SECURITY": "ALTER TABLE u DISABLE ROW LEVEL SECURITY",
        f"REVOKE SELECT ON u FROM {role}": f"GRANT SELECT ON u TO {role}",
    }
    try:
        for number, (closed, opened) in enumerate(ends.items(), 3):
            before = sql(query)
            sql(closed, f"INSERT INTO t VALUES ({number}, 1)")
            with pytest.raises(TrickleError):
                rt.refresh("marts.st")
            assert sql(query) == before
            status = rt.status("marts.st")[0]
            assert status.last_error
            assert status.consecutive_errors or status.status == "error"
            sql(opened)
            assert rt.refresh("marts.st").status == "completed"
            assert sql(query) == [*before, {"id": number}]
    finally:
        own.close()
        admin.close()


def test_more_than_one_row_where_an_outer_row_meets_them(rt, sql, oracle):
    """A6: PostgreSQL's error, and the way back when the rows are gone again."""
    sql(
        "CREATE TABLE o (id int, k int)",
        "CREATE TABLE i (k int, w int)",
        "INSERT INTO o VALUES (1, 1)",
        "INSERT INTO i VALUES (1, 5), (3, 6), (3, 7)",
    )
    rt.create_stream_table(
        "public.s", "SELECT o.id, (SELECT i.w FROM i WHERE i.k = o.k) AS w FROM o"
    )
    for more, less in (
        ("INSERT INTO i VALUES (1, 9)", "DELETE FROM i WHERE w = 9"),
        ("INSERT INTO o VALUES (2, 3)", "DELETE FROM i WHERE w = 7"),
    ):
        sql(more)
        with pytest.raises(TrickleError, match="more than one row"):
            rt.refresh("s")
        sql(less)
        assert rt.refresh("s").status == "completed"
        oracle(rt, "s")
