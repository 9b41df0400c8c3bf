from __future__ import annotations

import threading

import pytest

from tests.integration.refresh.conftest import TOTALS
from trickle_runtime.api import Runtime
from trickle_runtime.db.connection import connect
from trickle_runtime.errors import (
    AlreadyExists,
    DatabaseError,
    DependencyCycle,
    InvalidConfig,
    InvalidQuery,
    StreamTableNotFound,
    UnsupportedQuery,
)
from trickle_runtime.refresh import fill


def test_creates_and_fills(rt, sql, orders, oracle):
    info = rt.create_stream_table("public.totals", TOTALS, schedule="90s")
    assert (info.effective_mode, info.rows, info.key) == ("differential", 3, ("region",))
    oracle(rt, "public.totals")
    assert sql("SELECT status, schedule, is_populated FROM pgtrickle.pgt_stream_tables") == [
        {"status": "active", "schedule": "1m30s", "is_populated": True}
    ]
    assert [entry.action for entry in rt.history("totals")] == ["INITIALIZE"]


def test_pending_changes_of_before_are_not_applied_again(rt, sql, orders, oracle):
    rt.create_stream_table("public.first", TOTALS)
    sql("INSERT INTO orders VALUES (1000, 1, 5)")
    rt.create_stream_table("public.second", TOTALS)
    assert rt.refresh("public.second").action == "NO_DATA"
    assert rt.refresh("public.first").rows_in == 1
    oracle(rt, "public.first")
    oracle(rt, "public.second")


@pytest.mark.parametrize("name", ["totals", ("marts", 'We"ird Name.x')])
def test_names(rt, sql, orders, oracle, name):
    sql("CREATE SCHEMA marts")
    rt.create_stream_table(name, TOTALS)
    sql("UPDATE orders SET amount = amount * 2")
    assert rt.refresh(name).updated == 3
    assert rt.verify(name).equal


def test_long_name_is_refused(rt, orders):
    with pytest.raises(InvalidConfig, match="63 bytes"):
        rt.create_stream_table("public." + "x" * 64, TOTALS)


def test_relation_exists(rt, sql, orders):
    sql("CREATE TABLE totals ()")
    with pytest.raises(AlreadyExists):
        rt.create_stream_table("public.totals", TOTALS)


def test_replaces_a_view(rt, sql, orders, oracle):
    sql("CREATE VIEW totals AS SELECT 1 AS x")
    rt.create_stream_table("public.totals", TOTALS, replace_relation=True)
    oracle(rt, "public.totals")
    sql("DELETE FROM orders WHERE id < 20")
    rt.refresh("public.totals")
    oracle(rt, "public.totals")
    assert sql.value("SELECT count(*) FROM pg_class WHERE relname LIKE 'totals%'") == 1


def test_replaces_a_table_only_at_the_end(rt, sql, orders, monkeypatch):
    sql("CREATE TABLE totals AS SELECT 1 AS x")
    monkeypatch.setattr(fill, "insert_rows", _fail)
    with pytest.raises(InvalidQuery):
        rt.create_stream_table("public.totals", TOTALS, replace_relation=True)
    assert sql.value("SELECT x FROM totals") == 1
    assert rt.status() == []


def test_may_not_replace_what_it_reads(rt, sql, orders):
    sql("CREATE VIEW over AS SELECT * FROM orders")
    with pytest.raises(DependencyCycle):
        rt.create_stream_table("orders", "SELECT * FROM over", replace_relation=True)
    assert sql.value("SELECT count(*) FROM orders") == 60


@pytest.mark.parametrize("query", ["SELECT nothing FROM orders", "SELECT FROM orders"])
def test_bad_sql_leaves_nothing(rt, sql, orders, query):
    with pytest.raises(InvalidQuery):
        rt.create_stream_table("public.totals", query)
    assert sql.value("SELECT to_regclass('public.totals')") is None


def test_failing_fill_leaves_nothing(rt, sql, orders):
    with pytest.raises(DatabaseError) as raised:
        rt.create_stream_table("public.bad", "SELECT id, 1 / (id - 1) AS x FROM orders")
    assert raised.value.sqlstate == "22012"
    assert rt.status() == []
    assert sql.value("SELECT to_regclass('public.bad')") is None


def test_differential_may_be_impossible(rt, sql, orders):
    query = "SELECT id, random() AS x FROM orders"
    with pytest.raises(UnsupportedQuery) as raised:
        rt.create_stream_table("public.r", query, refresh_mode="differential")
    assert "VOLATILE_FUNCTION" in (raised.value.detail or "")
    info = rt.create_stream_table("public.r", query)
    assert info.effective_mode == "full"
    assert "VOLATILE_FUNCTION" in {reason.code for reason in info.reasons}
    assert rt.refresh("public.r").changed == 120
    assert "not compared" in (rt.verify("public.r").note or "")


def test_unique_key_is_verified(rt, sql, orders, oracle):
    query = "SELECT customer, amount FROM orders WHERE id <= 9"
    rt.create_stream_table("public.keyed", query, unique_key=["customer"])
    sql("UPDATE orders SET amount = 7 WHERE id = 3")
    assert rt.refresh("public.keyed").updated == 1
    oracle(rt, "public.keyed")
    with pytest.raises(InvalidConfig, match="not unique"):
        rt.create_stream_table(
            "public.bad", "SELECT customer, amount FROM orders", unique_key="customer"
        )
    with pytest.raises(InvalidConfig, match="no column"):
        rt.create_stream_table("public.bad", query, unique_key=["nothing"])
    assert [one.name for one in rt.status()] == ["keyed"]


def test_deferred_fill(rt, sql, orders, oracle):
    rt.create_stream_table("public.totals", TOTALS, initialize=False)
    assert sql.value("SELECT count(*) FROM totals") == 0
    sql("INSERT INTO orders VALUES (1000, 1, 5)")
    assert rt.refresh("public.totals").action == "INITIALIZE"
    oracle(rt, "public.totals")
    sql("INSERT INTO orders VALUES (1001, 1, 5)")
    assert rt.refresh("public.totals").action == "DIFFERENTIAL"
    oracle(rt, "public.totals")


def test_created_paused(rt, orders):
    rt.create_stream_table("public.totals", TOTALS, status="paused")
    assert rt.status("public.totals")[0].status == "paused"


def test_initializing_table_can_be_dropped(rt, sql, orders, monkeypatch):
    monkeypatch.setattr(fill, "fill", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        rt.create_stream_table("public.totals", TOTALS)
    rt.drop_stream_table("public.totals")
    assert rt.status() == []
    assert sql.value("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'orders'::regclass") == 0


def test_parallel_creation_does_not_deadlock(rt, database, orders, oracle):
    errors: list[BaseException] = []

    def create(number: int) -> None:
        session = connect(database)
        try:
            first, second = ("o", "c") if number % 2 else ("c", "o")
            query = f"""SELECT o.id, {first}.id AS a, {second}.id AS b
                        FROM orders o JOIN customers c ON c.id = o.customer"""
            Runtime(session).create_stream_table(f"public.s{number}", query)
        except BaseException as error:
            errors.append(error)
        finally:
            session.close()

    threads = [threading.Thread(target=create, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert errors == []
    for number in range(6):
        oracle(rt, f"public.s{number}")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO totals VALUES ('x', 1, 1)",
        "UPDATE totals SET n = 0",
        "DELETE FROM totals WHERE false",
        "TRUNCATE totals",
    ],
)
def test_rows_are_protected(rt, sql, orders, statement):
    rt.create_stream_table("public.totals", TOTALS)
    with pytest.raises(DatabaseError, match="not allowed"):
        sql(statement)
    sql.session.rollback()
    sql("SET session_replication_role = replica")
    with pytest.raises(DatabaseError, match="not allowed"):
        sql(statement)


def test_unknown_names(rt):
    for verb in (rt.refresh, rt.verify, rt.drop_stream_table, rt.query, rt.pause):
        with pytest.raises(StreamTableNotFound):
            verb("public.nothing")
    assert rt.drop_stream_table("public.nothing", if_exists=True) == []


def _fail(*_):
    raise InvalidQuery("no")
