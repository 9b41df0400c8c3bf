"""Alteration and dropping (scenarios D8, D9, D12, D37)."""

from __future__ import annotations

import threading

import pytest

from tests.integration.refresh.conftest import TOTALS
from trickle_runtime.errors import (
    DependencyCycle,
    HasDependants,
    InvalidConfig,
    InvalidQuery,
    NotActive,
    UnsupportedQuery,
    View,
)
from trickle_runtime.refresh import fill


@pytest.fixture
def totals(rt, orders):
    rt.create_stream_table("public.totals", TOTALS)


def oid(sql, name="totals"):
    return sql.value(f"SELECT '{name}'::regclass::oid::bigint")


def test_options(rt, sql, totals):
    result = rt.alter_stream_table("totals", schedule="60s", fuse="auto", tier="COLD")
    assert (result.action, result.changed) == ("altered", ("fuse", "tier"))
    options = rt.options("totals")
    assert (options.schedule, options.fuse, options.tier) == ("1m", "auto", "cold")
    assert rt.alter_stream_table("totals", tier="cold").action == "unchanged"
    with pytest.raises(InvalidConfig, match="tier"):
        rt.alter_stream_table("totals", tier="boiling")
    with pytest.raises(InvalidConfig, match="schedule"):
        rt.alter_stream_table("totals", shedule="1m")


def test_comments_are_no_change(rt, sql, totals):
    result = rt.alter_stream_table(
        "totals", query=TOTALS.replace("FROM", "/* x */\n FROM") + " -- y"
    )
    assert result.action == "unchanged"
    assert "/* x */" in rt.query("totals")


def test_new_query_in_place(rt, sql, totals, oracle):
    before = oid(sql)
    sql("CREATE VIEW reader AS SELECT region FROM totals", "GRANT SELECT ON totals TO PUBLIC")
    sql("INSERT INTO orders VALUES (1000, 1, 5)")
    result = rt.alter_stream_table(
        "totals", query=TOTALS.replace("GROUP BY", "WHERE o.id > 5 GROUP BY")
    )
    assert (result.action, result.changed) == ("altered", ("query",))
    assert oid(sql) == before
    oracle(rt, "totals")
    sql("DELETE FROM orders WHERE id > 50")
    assert rt.refresh("totals").action == "DIFFERENTIAL"
    oracle(rt, "totals")


def test_columns_added_and_dropped(rt, sql, totals, oracle):
    rt.create_stream_table("public.above", "SELECT region, total FROM totals")
    before = oid(sql)
    rt.alter_stream_table(
        "totals", query=TOTALS.replace("AS total", "AS total, max(o.id) AS last")
    )
    assert oid(sql) == before
    oracle(rt, "totals")
    sql("UPDATE orders SET amount = amount + 1")
    rt.refresh("above")
    oracle(rt, "totals")
    oracle(rt, "above")
    rt.alter_stream_table("totals", query=TOTALS.replace("count(*) AS n,", ""))
    assert oid(sql) == before
    oracle(rt, "totals")
    sql("DELETE FROM orders WHERE id % 2 = 0")
    rt.refresh("above")
    oracle(rt, "totals")
    oracle(rt, "above")


EDITS = {
    "added": TOTALS.replace("AS total", "AS total, max(slow(o.id)) AS last"),
    "dropped": TOTALS.replace("count(*) AS n, sum(o.amount)", "sum(slow(o.amount))"),
    "another key": TOTALS.replace("c.region,", "max(c.region) AS region,").replace(
        "sum(o.amount)", "sum(slow(o.amount))"
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_readers_see_the_old_content_until_the_new_is_computed(
    rt, sql, other, totals, oracle, edit, wait_until
):
    sql(
        "CREATE FUNCTION slow(anyelement) RETURNS anyelement IMMUTABLE LANGUAGE plpgsql AS $$"
        " BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN $1; END $$",
        "SELECT pg_advisory_lock(7)",
    )
    before = oid(sql)
    altering = threading.Thread(
        target=other.alter_stream_table, args=["totals"], kwargs={"query": EDITS[edit]}
    )
    altering.start()
    waiting = "SELECT true FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND NOT granted"
    try:
        wait_until(lambda: sql.value(waiting))
        sql("LOCK TABLE totals IN ACCESS SHARE MODE NOWAIT")
        assert sql.value("SELECT sum(n) FROM totals") == 60
    finally:
        sql("SELECT pg_advisory_unlock(7)")
        altering.join()
    assert oid(sql) == before
    oracle(rt, "totals")
    sql("DELETE FROM orders WHERE id % 2 = 0")
    assert rt.refresh("totals").action == "DIFFERENTIAL"
    oracle(rt, "totals")


def test_dropping_a_column_that_is_read(rt, sql, totals, oracle):
    rt.create_stream_table("public.above", "SELECT n FROM totals")
    with pytest.raises(HasDependants):
        rt.alter_stream_table("totals", query=TOTALS.replace("count(*) AS n,", ""))
    sql("INSERT INTO orders VALUES (1000, 1, 5)")
    rt.refresh("above")
    oracle(rt, "totals")
    oracle(rt, "above")


def test_other_columns_are_built_beside(rt, sql, totals, oracle):
    sql("GRANT SELECT ON totals TO PUBLIC", "COMMENT ON TABLE totals IS 'hello'")
    rt.create_stream_table("public.above", "SELECT region FROM totals")
    before = oid(sql)
    query = TOTALS.replace("count(*) AS n, sum(o.amount)", "sum(o.amount)::float8")
    result = rt.alter_stream_table(
        "totals", query=query.replace("c.region, ", "c.region, 1 AS one, ", 1)
    )
    assert result.action == "replaced"
    assert oid(sql) != before
    oracle(rt, "totals")
    assert sql.value("SELECT relacl::text FROM pg_class WHERE relname = 'totals'") is not None
    assert sql.value("SELECT obj_description('totals'::regclass)") == "hello"
    sql("DELETE FROM orders WHERE id % 2 = 0", "DELETE FROM customers WHERE region = 'r1'")
    rt.refresh("above")
    oracle(rt, "totals")
    oracle(rt, "above")
    assert len(rt.history("totals")) > 1


def test_indexes_of_the_user_follow_to_a_table_built_beside(rt, sql, totals, oracle):
    sql(
        "CREATE INDEX by_region ON totals (lower(region) DESC) WHERE region IS NOT NULL",
        "COMMENT ON INDEX by_region IS 'mine'",
        "CREATE INDEX by_n ON totals (n)",
        "CREATE UNIQUE INDEX no_longer_unique ON totals (total)",
    )
    before = oid(sql)
    query = "SELECT 1 AS total, c.region, c.id FROM customers c"
    result = rt.alter_stream_table("totals", query=query)
    assert oid(sql) != before
    assert result.lost == ("index by_n", "index no_longer_unique")
    definition = sql.value("SELECT pg_get_indexdef('by_region'::regclass)")
    assert "lower(region) DESC" in definition
    assert definition.endswith("WHERE (region IS NOT NULL)")
    assert sql.value("SELECT obj_description('by_region'::regclass)") == "mine"
    sql("UPDATE customers SET region = 'r9' WHERE id = 1")
    rt.refresh("totals")
    oracle(rt, "totals")


def test_views_block_other_columns(rt, sql, totals, oracle):
    sql("CREATE VIEW reader AS SELECT total FROM totals")
    with pytest.raises(HasDependants, match="columns") as error:
        rt.alter_stream_table("totals", query="SELECT region AS total FROM customers")
    assert error.value.views == (View("public", "reader", materialized=False),)
    oracle(rt, "totals")
    sql("DELETE FROM orders WHERE id % 2 = 0")
    rt.refresh("totals")
    oracle(rt, "totals")


def test_views_on_a_dropped_column_are_named(rt, sql, totals, oracle):
    sql(
        "CREATE VIEW narrow AS SELECT region FROM totals",
        "CREATE VIEW wide AS SELECT region, n FROM totals",
        "CREATE MATERIALIZED VIEW over_wide AS SELECT region FROM wide",
    )
    without = TOTALS.replace("count(*) AS n,", "")
    with pytest.raises(HasDependants) as error:
        rt.alter_stream_table("totals", query=without)
    assert [one.name for one in error.value.views] == ["over_wide", "wide"]
    # A function is in the way as well: without the views it would still be.
    sql(
        "CREATE FUNCTION f() RETURNS bigint BEGIN ATOMIC SELECT max(n) FROM totals; END",
    )
    with pytest.raises(HasDependants, match=r"function f\(\)") as error:
        rt.alter_stream_table("totals", query=without)
    assert error.value.views == ()
    oracle(rt, "totals")


def test_new_query_fails_on_the_data(rt, sql, totals, oracle):
    with pytest.raises(Exception, match="division"):
        rt.alter_stream_table(
            "totals", query=TOTALS.replace("sum(o.amount)", "sum(1 / (o.id - 1))::numeric")
        )
    with pytest.raises(InvalidQuery):
        rt.alter_stream_table("totals", query="SELECT nothing")
    sql("DELETE FROM orders WHERE id % 2 = 0")
    assert rt.refresh("totals").action == "DIFFERENTIAL"
    oracle(rt, "totals")


def test_cycle(rt, sql, totals, oracle):
    rt.create_stream_table("public.above", "SELECT region, n FROM totals")
    sql("CREATE VIEW v AS SELECT * FROM above")
    with pytest.raises(DependencyCycle):
        rt.alter_stream_table("totals", query="SELECT region, n, 1::numeric AS total FROM v")
    sql("DELETE FROM orders WHERE id % 2 = 0")
    rt.refresh("above")
    oracle(rt, "above")


def test_mode_with_pending_changes(rt, sql, totals, oracle):
    sql("INSERT INTO orders VALUES (1000, 1, 5)")
    rt.alter_stream_table("totals", refresh_mode="full")
    oracle(rt, "totals")
    sql("INSERT INTO orders VALUES (1001, 1, 5)")
    assert rt.refresh("totals").action == "FULL"
    rt.alter_stream_table("totals", refresh_mode="differential")
    sql("INSERT INTO orders VALUES (1002, 1, 5)")
    assert rt.refresh("totals").action == "DIFFERENTIAL"
    oracle(rt, "totals")
    rt.create_stream_table("public.r", "SELECT id, random() AS x FROM orders")
    with pytest.raises(UnsupportedQuery):
        rt.alter_stream_table("r", refresh_mode="differential")
    assert rt.options("r").refresh_mode == "auto"


def test_new_sources_are_captured(rt, sql, totals, oracle):
    sql("CREATE TABLE extra (region text, bonus numeric)", "INSERT INTO extra VALUES ('r1', 100)")
    query = """SELECT c.region, count(*) AS n, sum(o.amount + e.bonus) AS total FROM orders o
               JOIN customers c ON c.id = o.customer JOIN extra e ON e.region = c.region
               GROUP BY 1"""
    rt.alter_stream_table("totals", query=query)
    oracle(rt, "totals")
    sql("INSERT INTO extra VALUES ('r2', 7)", "UPDATE orders SET amount = 1 WHERE id = 1")
    rt.refresh("totals")
    oracle(rt, "totals")


def test_partitioning(rt, sql, totals, oracle):
    assert rt.alter_stream_table("totals", partition_by="LIST:region").action == "rebuilt"
    oracle(rt, "totals")
    sql("UPDATE orders SET amount = amount + 1", "UPDATE customers SET region = 'r9' WHERE id = 1")
    rt.refresh("totals")
    oracle(rt, "totals")
    rt.alter_stream_table("totals", partition_by=None)
    sql("UPDATE orders SET amount = amount + 1")
    assert rt.refresh("totals").action == "DIFFERENTIAL"
    oracle(rt, "totals")


def test_growing_partitions(rt, sql, oracle):
    sql("CREATE TABLE e (id int PRIMARY KEY, at date)", "INSERT INTO e VALUES (1, '2026-01-05')")
    rt.create_stream_table("public.s", "SELECT id, at FROM e", partition_by="RANGE:at:month")
    sql(
        "INSERT INTO e VALUES (2, '2026-03-05'), (3, NULL)",
        "UPDATE e SET at = '2026-02-01' WHERE id = 1",
    )
    rt.refresh("s")
    oracle(rt, "s")
    assert sql.value("SELECT count(*) FROM pg_inherits WHERE inhparent = 's'::regclass") >= 3
    sql("DELETE FROM e WHERE id = 2", "UPDATE e SET at = NULL")
    rt.refresh("s")
    oracle(rt, "s")


def test_drop_removes_every_trace(rt, sql, totals):
    rt.create_stream_table("public.other", "SELECT id FROM customers")
    rt.drop_stream_table("totals")
    assert sql.value("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'orders'::regclass") == 0
    assert sql.value("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'customers'::regclass") > 0
    sql("INSERT INTO customers VALUES (100, 'x')")
    assert rt.refresh("other").inserted == 1
    rt.drop_stream_table("other")
    left = sql(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'v') AND relnamespace IN"
        " ('pgtrickle_changes'::regnamespace, 'pgtrickle_state'::regnamespace)"
    )
    assert left == []


def test_drop_below_others(rt, sql, totals):
    rt.create_stream_table("public.above", "SELECT region FROM totals")
    sql("CREATE VIEW v AS SELECT * FROM above")
    with pytest.raises(HasDependants, match="read by other"):
        rt.drop_stream_table("totals")
    with pytest.raises(HasDependants):
        rt.drop_stream_table("above")
    assert len(rt.status()) == 2
    assert rt.drop_stream_table("totals", cascade=True) == [
        '"public"."above"',
        '"public"."totals"',
    ]
    assert rt.status() == []


def test_recreated_under_the_same_name(rt, sql, totals, oracle):
    """D37: nothing compiled for the old one is used."""
    sql("DELETE FROM orders WHERE id = 1")
    rt.refresh("totals")
    rt.drop_stream_table("totals")
    rt.create_stream_table("public.totals", TOTALS.replace("sum(o.amount)", "sum(o.id)"))
    sql("DELETE FROM orders WHERE id = 2")
    rt.refresh("totals")
    oracle(rt, "totals")


def test_renamed_stream_table(rt, sql, totals, oracle):
    sql("DELETE FROM orders WHERE id = 1")
    rt.refresh("totals")
    sql("ALTER TABLE totals RENAME TO sums", "DELETE FROM orders WHERE id = 2")
    assert rt.refresh("sums").action == "DIFFERENTIAL"
    oracle(rt, "sums")


def test_explain_and_doctor(rt, sql, totals):
    checks = rt.validate_query(TOTALS)
    assert (checks[0].check_name, checks[0].result) == ("resolved_refresh_mode", "DIFFERENTIAL")
    assert rt.validate_query("SELECT nothing")[0].severity == "ERROR"
    assert [step.kind for step in rt.explain_delta("totals", ["public.orders"])][-1] == "apply"
    assert rt.explain_query_rewrite(TOTALS)[0].pass_name == "canonicalise"
    assert {row["relation"] for row in rt.list_auxiliary_columns("totals")}
    assert any("orders" in (one.remedy or "") for one in rt.doctor() if one.check == "index")
    sql("CREATE INDEX ON orders (customer)")
    assert not any("orders" in (one.remedy or "") for one in rt.doctor() if one.check == "index")


def test_dropped_behind_our_back(rt, sql, totals, oracle):
    """DROP SCHEMA … CASCADE of a CI run: writers go on, cleanup forgets the table."""
    rt.create_stream_table("public.other", "SELECT id FROM customers")
    sql("DROP TABLE totals CASCADE", "INSERT INTO orders VALUES (1000, 1, 5)")
    results = {one.name: one.status for one in rt.refresh_all()}
    assert results["public.other"] == "completed"
    rt.cleanup()
    assert [one.name for one in rt.status()] == ["other"]
    sql("INSERT INTO orders VALUES (1001, 1, 5)", "INSERT INTO customers VALUES (100, 'x')")
    assert [one.status for one in rt.refresh_all()] == ["completed"]
    rt.create_stream_table("public.totals", TOTALS)
    oracle(rt, "totals")


def test_not_while_it_is_created(rt, sql, orders, monkeypatch):
    monkeypatch.setattr(fill, "fill", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        rt.create_stream_table("public.totals", TOTALS)
    with pytest.raises(NotActive, match="created"):
        rt.alter_stream_table("totals", tier="cold")
    with pytest.raises(NotActive):
        rt.refresh("totals")


def test_the_last_reader_of_a_change_log_goes_while_another_comes(rt, sql, totals, other, oracle):
    errors: list[BaseException] = []

    def create_and_drop(runtime, name: str) -> None:
        try:
            for _ in range(6):
                runtime.create_stream_table(f"public.{name}", "SELECT region, n FROM totals")
                runtime.drop_stream_table(name)
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=create_and_drop, args=(runtime, name))
        for runtime, name in ((rt, "x"), (other, "y"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert errors == []
    assert sql.value("SELECT count(*) FROM pg_class WHERE relname LIKE 'log\\_%'") == 0
    rt.create_stream_table("public.above", "SELECT region, n FROM totals")
    sql("DELETE FROM orders WHERE id % 2 = 0")
    rt.refresh("above")
    oracle(rt, "above")
