"""Sources that change otherwise than by rows (scenarios D10, D19-D24; dbt's swaps)."""

from __future__ import annotations

import pytest

from tests.integration.refresh.conftest import TOTALS
from trickle_runtime.api import Runtime
from trickle_runtime.errors import DatabaseError, RowSecurity, SourceNotFound, TrickleError
from trickle_runtime.refresh import engine, opening


@pytest.fixture
def totals(rt, orders):
    rt.create_stream_table("public.totals", TOTALS)
    rt.create_stream_table("public.plain", "SELECT id, region FROM customers")


def test_swap_by_rename(rt, sql, totals, oracle):
    """What dbt does to a table on each run."""
    for offset in (1000, 2000):
        sql(
            "CREATE TABLE orders__tmp AS SELECT * FROM orders",
            f"INSERT INTO orders__tmp VALUES ({offset}, 1, 5)",
            "ALTER TABLE orders RENAME TO orders__backup",
            "ALTER TABLE orders__tmp RENAME TO orders",
            "DROP TABLE orders__backup CASCADE",
        )
        assert rt.refresh("totals").action in {"REINITIALIZE", "NO_DATA"}
        oracle(rt, "totals")
        sql(f"UPDATE orders SET amount = 7 WHERE id = {offset}")
        assert rt.refresh("totals").action == "DIFFERENTIAL"
        oracle(rt, "totals")
    oracle(rt, "plain")


def test_drop_and_create(rt, sql, totals, oracle):
    sql(
        "DROP TABLE orders CASCADE",
        "CREATE TABLE orders (id int, customer int, amount numeric(10,2))",
        "INSERT INTO orders VALUES (1, 1, 5), (1, 1, 5)",
    )
    rt.refresh_all()
    oracle(rt, "totals")
    sql("DELETE FROM orders WHERE ctid IN (SELECT ctid FROM orders LIMIT 1)")
    rt.refresh_all()
    oracle(rt, "totals")


def test_dropped_source_is_an_error_of_its_readers_only(rt, sql, totals, oracle):
    """D19."""
    sql("DROP TABLE orders CASCADE", "INSERT INTO customers VALUES (100, 'new')")
    with pytest.raises(SourceNotFound, match="orders"):
        rt.refresh("totals")
    status = rt.status("totals")[0]
    assert status.status == "error"
    assert "orders" in (status.last_error or "")
    results = {one.name: one for one in rt.refresh_all()}
    assert results["public.plain"].action == "DIFFERENTIAL"
    oracle(rt, "plain")
    sql("CREATE TABLE orders (id int, customer int, amount numeric(10,2))")
    rt.refresh("totals")
    assert rt.status("totals")[0].status == "active"
    oracle(rt, "totals")


@pytest.mark.parametrize(
    ("there", "name", "back"),
    [
        ("ALTER TABLE orders RENAME TO sold", "public.sold", "ALTER TABLE sold RENAME TO orders"),
        (
            "ALTER TABLE orders SET SCHEMA shop",
            "shop.orders",
            "ALTER TABLE shop.orders SET SCHEMA public",
        ),
    ],
)
def test_renamed_source(rt, sql, totals, oracle, there, name, back):
    """C21: an error that says the new name, and two ways back."""
    sql("CREATE SCHEMA shop", there, f"INSERT INTO {name} VALUES (1000, 1, 5)")
    with pytest.raises(SourceNotFound, match=f"orders.* is {name} now"):
        rt.refresh("totals")
    status = rt.status("totals")[0]
    assert (status.status, name in (status.last_error or "")) == ("error", True)
    assert {one.name for one in rt.refresh_all() if one.status == "failed"} == {"public.totals"}
    with pytest.raises(SourceNotFound, match="now"):
        rt.verify("totals")
    with pytest.raises(SourceNotFound, match="now"):
        rt.repair("totals")
    sql(back)
    assert rt.refresh("totals").action == "DIFFERENTIAL"
    oracle(rt, "totals")
    sql(there)
    rt.alter_stream_table("totals", query=TOTALS.replace("orders", name))
    oracle(rt, "totals")
    sql(f"DELETE FROM {name} WHERE id = 1000")
    assert rt.refresh("totals").action == "DIFFERENTIAL"
    oracle(rt, "totals")


def test_used_columns_are_protected(rt, sql, totals):
    with pytest.raises(DatabaseError) as raised:
        sql("ALTER TABLE orders DROP COLUMN amount")
    assert raised.value.sqlstate == "2BP01"
    sql.session.rollback()
    with pytest.raises(DatabaseError):
        sql("DROP TABLE orders")


def test_protection_can_be_switched_off(rt, sql, orders):
    rt.set_setting("block_source_ddl", "off")
    rt.create_stream_table("public.totals", TOTALS)
    sql("DROP TABLE orders")
    assert rt.refresh_all()[0].status == "failed"


def test_renamed_column(rt, sql, totals):
    """D21: an error that says what is missing, and a way back."""
    sql(
        "ALTER TABLE orders RENAME COLUMN amount TO price",
        "INSERT INTO orders VALUES (1000, 1, 5)",
    )
    with pytest.raises(TrickleError, match="amount"):
        rt.refresh("totals")
    sql("ALTER TABLE orders RENAME COLUMN price TO amount")
    assert rt.refresh("totals").status == "completed"
    assert rt.verify("totals").equal


def test_retyped_column(rt, sql, orders, oracle):
    """D21: the type of the result stays, the content is brought up to date."""
    rt.set_setting("block_source_ddl", "off")
    rt.create_stream_table("public.s", "SELECT id, customer::bigint AS c FROM orders")
    sql("ALTER TABLE orders ALTER COLUMN customer TYPE int USING customer * 10")
    sql("INSERT INTO orders VALUES (1000, 1, 5)")
    rt.refresh("s")
    oracle(rt, "s")
    sql("INSERT INTO orders VALUES (1001, 1, 5)")
    assert rt.refresh("s").action == "DIFFERENTIAL"
    oracle(rt, "s")


def test_retyped_output_column(rt, sql, orders):
    rt.set_setting("block_source_ddl", "off")
    rt.create_stream_table("public.s", "SELECT id, customer FROM orders")
    sql("ALTER TABLE orders ALTER COLUMN customer TYPE bigint")
    with pytest.raises(TrickleError, match="other columns"):
        rt.refresh("s")
    rt.alter_stream_table("s", query="SELECT id, customer FROM orders WHERE true")
    assert rt.verify("s").equal


def test_added_column_stays_out(rt, sql, orders):
    """D20: the columns of SELECT * are those of the creation."""
    rt.create_stream_table("public.s", "SELECT * FROM customers")
    sql(
        "ALTER TABLE customers ADD COLUMN extra int DEFAULT 5",
        "INSERT INTO customers VALUES (50, 'x')",
    )
    assert rt.refresh("s").action == "DIFFERENTIAL"
    assert rt.verify("s").equal
    assert (
        sql.value(
            "SELECT count(*) FROM pg_attribute WHERE attrelid = 's'::regclass AND attnum > 0"
        )
        == 2
    )


def test_replaced_view(rt, sql, orders, oracle):
    """D10."""
    sql("CREATE VIEW big AS SELECT * FROM orders WHERE amount > 30")
    rt.create_stream_table("public.s", "SELECT id, amount FROM big")
    sql("CREATE OR REPLACE VIEW big AS SELECT * FROM orders WHERE amount > 50")
    assert rt.refresh_all()[0].status == "completed"
    oracle(rt, "s")
    sql("UPDATE orders SET amount = 60 WHERE id = 1")
    assert rt.refresh("s").inserted == 1
    oracle(rt, "s")
    sql("DROP VIEW big CASCADE", "CREATE VIEW big AS SELECT * FROM orders WHERE id < 5")
    rt.refresh_all()
    oracle(rt, "s")


def test_view_between_stream_tables(rt, sql, totals, oracle):
    sql("CREATE VIEW between_them AS SELECT region, total * 2 AS twice FROM totals")
    rt.create_stream_table("public.top", "SELECT sum(twice) AS s FROM between_them")
    sql("UPDATE orders SET amount = amount + 1")
    rt.refresh("top")
    oracle(rt, "totals")
    oracle(rt, "top")


def test_replaced_function(rt, sql, orders, oracle):
    """D22."""
    sql("CREATE FUNCTION f(x numeric) RETURNS numeric IMMUTABLE LANGUAGE sql AS 'SELECT x * 2'")
    rt.create_stream_table("public.s", "SELECT id, f(amount) AS y FROM orders")
    sql(
        "CREATE OR REPLACE FUNCTION f(x numeric) RETURNS numeric"
        " IMMUTABLE LANGUAGE sql AS 'SELECT x * 3'"
    )
    rt.refresh_all()
    oracle(rt, "s")


def test_disabled_trigger(rt, sql, totals, oracle):
    sql(
        "ALTER TABLE orders DISABLE TRIGGER ALL",
        "DELETE FROM orders WHERE id < 10",
        "ALTER TABLE orders ENABLE TRIGGER ALL",
    )
    rt.refresh_all()
    oracle(rt, "totals")
    sql("DELETE FROM orders WHERE id < 20")
    assert rt.refresh("totals").action == "DIFFERENTIAL"
    oracle(rt, "totals")


def test_row_security(rt, role_admin, role_session):
    """D24: refused, since our role would see other rows than the triggers."""
    role_admin.execute(
        "CREATE TABLE public.p (id int); INSERT INTO public.p VALUES (1);"
        " ALTER TABLE public.p ENABLE ROW LEVEL SECURITY;"
        " GRANT SELECT, TRIGGER ON public.p TO PUBLIC"
    )
    role_admin.commit()
    with pytest.raises(RowSecurity):
        Runtime(role_session).create_stream_table("marts.s", "SELECT id FROM public.p")


def test_role_that_owns_nothing(role_admin, role_session, oracle):
    role_admin.execute(
        "CREATE TABLE public.t (id int PRIMARY KEY, v int); INSERT INTO public.t VALUES (1, 1);"
        " GRANT SELECT, TRIGGER ON public.t TO PUBLIC"
    )
    role_admin.commit()
    rt = Runtime(role_session)
    rt.create_stream_table("marts.s", "SELECT id, v FROM public.t")
    role_admin.execute(
        "INSERT INTO public.t VALUES (2, 2); UPDATE public.t SET v = 9 WHERE id = 1"
    )
    role_admin.commit()
    assert rt.refresh("marts.s").changed == 2
    oracle(rt, "marts.s")
    rt.drop_stream_table("marts.s")
    role_admin.execute("INSERT INTO public.t VALUES (3, 3)")
    role_admin.commit()


def test_source_without_trigger_privilege_is_polled(role_admin, role_session, oracle):
    role_admin.execute(
        "CREATE TABLE public.t (id int PRIMARY KEY, v int); INSERT INTO public.t VALUES (1, 1);"
        " GRANT SELECT ON public.t TO PUBLIC"
    )
    role_admin.commit()
    rt = Runtime(role_session)
    info = rt.create_stream_table("marts.s", "SELECT id, v FROM public.t")
    assert info.effective_mode == "full"
    assert "SOURCE_NOT_CAPTURED" in {reason.code for reason in info.reasons}
    role_admin.execute("INSERT INTO public.t VALUES (2, 2)")
    role_admin.commit()
    assert rt.refresh("marts.s").action == "FULL"
    oracle(rt, "marts.s")


def test_source_seen_through_a_view_alone(role_admin, role_session, oracle):
    role_admin.execute(
        "CREATE TABLE public.t (id int PRIMARY KEY, v int); INSERT INTO public.t VALUES (1, 1);"
        " CREATE VIEW public.inner_v AS SELECT id, v FROM public.t;"
        " CREATE VIEW public.v AS SELECT id, v * 2 AS v FROM public.inner_v;"
        " GRANT SELECT ON public.v TO PUBLIC"
    )
    role_admin.commit()
    rt = Runtime(role_session)
    info = rt.create_stream_table("marts.s", "SELECT id, v FROM public.v")
    assert info.effective_mode == "full"
    role_admin.execute("INSERT INTO public.t VALUES (2, 2)")
    role_admin.commit()
    assert rt.refresh("marts.s").action == "FULL"
    oracle(rt, "marts.s")
    assert rt.verify("marts.s").equal
    assert not [one for one in rt.doctor() if one.severity == "ERROR"]


def test_materialized_view_as_source(rt, sql, orders, oracle):
    sql("CREATE MATERIALIZED VIEW m AS SELECT id, amount FROM orders")
    info = rt.create_stream_table("public.s", "SELECT id, amount * 2 AS x FROM m")
    assert info.effective_mode == "full"
    sql("DELETE FROM orders WHERE id = 1", "REFRESH MATERIALIZED VIEW m")
    assert rt.refresh("s").deleted == 1
    oracle(rt, "s")


def test_materialized_view_refreshed_during_the_pass(rt, sql, orders, oracle, monkeypatch):
    """A1 for what can't be locked: after its refresh it looks empty at our snapshot."""
    sql("CREATE MATERIALIZED VIEW m AS SELECT id, amount FROM orders")
    rt.create_stream_table("public.s", "SELECT id, amount * 2 AS x FROM m")
    hold, times = opening.hold, []

    def late(*arguments):
        if not times:
            sql("REFRESH MATERIALIZED VIEW m")
        times.append(1)
        hold(*arguments)

    monkeypatch.setattr(opening, "hold", late)
    result = rt.refresh("s")
    assert (len(times), result.changed) == (2, 0)
    oracle(rt, "s")


def test_partitions(rt, sql, oracle):
    sql(
        "CREATE TABLE p (id int, v int) PARTITION BY RANGE (id)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)",
        "INSERT INTO p VALUES (1, 1), (2, 2)",
    )
    rt.create_stream_table("public.s", "SELECT id, sum(v) AS v FROM p GROUP BY id")
    sql("CREATE TABLE p2 (id int, v int)", "INSERT INTO p2 VALUES (12, 12)")
    sql("ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20)")
    rt.refresh_all()
    oracle(rt, "s")
    sql("INSERT INTO p2 VALUES (13, 1)", "UPDATE p SET id = id + 10 WHERE id = 1")
    rt.refresh_all()
    oracle(rt, "s")
    sql("ALTER TABLE p DETACH PARTITION p1")
    rt.refresh_all()
    oracle(rt, "s")


def test_partition_attached_during_the_pass(rt, sql, oracle):
    """A5: ATTACH goes through under our lock, and the snapshot sees its rows."""
    sql(
        "CREATE TABLE p (id int, v int) PARTITION BY RANGE (id)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE p2 (id int, v int)",
        "INSERT INTO p2 VALUES (12, 12)",
    )
    rt.create_stream_table("public.s", "SELECT id, v FROM p")
    sql("INSERT INTO p VALUES (1, 1)")
    times = []

    def attach(_):
        if not times:
            sql("ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20)")
        times.append(1)

    engine.run_pass(rt.session, rt.schemas, None, initiated_by="manual", before_commit=attach)
    assert len(times) > 1
    rt.refresh_all()
    oracle(rt, "s")


def test_restored_into_another_cluster(rt, sql, totals, oracle):
    """B6: frontiers of another cluster say nothing here."""
    sql(
        "UPDATE pgtrickle.pgt_frontiers"
        " SET system_identifier = 1, snapshot = '900000000:900000000:'"
    )
    sql("INSERT INTO orders VALUES (1000, 1, 5)")
    rt.refresh_all()
    oracle(rt, "totals")
    assert rt.history("totals")[0].action == "REINITIALIZE"
    sql("INSERT INTO orders VALUES (1001, 1, 5)")
    assert rt.refresh("totals").action == "DIFFERENTIAL"
    oracle(rt, "totals")
