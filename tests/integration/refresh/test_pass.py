"""The pass (scenarios D1-D7, D11, D14, D16-D18; A1, F1-F3 of protocol_in_sql)."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest

from tests.integration.refresh.conftest import TOTALS
from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import connect
from trickle_runtime.errors import DatabaseError, FuseBlown, InvalidConfig, NotActive
from trickle_runtime.refresh import engine, locks

LARGE = "SELECT region, total FROM totals WHERE total > 100"


@pytest.fixture
def chain(rt, orders):
    """totals <- large <- top."""
    rt.create_stream_table("public.totals", TOTALS)
    rt.create_stream_table("public.large", LARGE)
    rt.create_stream_table("public.top", "SELECT max(total) AS most, count(*) AS n FROM large")
    return ("totals", "large", "top")


@pytest.fixture
def diamond(rt, sql):
    """a <- b, c <- d, over one table."""
    sql("CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 1), (2, 2)")
    rt.create_stream_table("public.a", "SELECT id, v FROM t")
    rt.create_stream_table("public.b", "SELECT id, v * 10 AS b FROM a")
    rt.create_stream_table("public.c", "SELECT id, 100 / v AS c FROM a")
    rt.create_stream_table("public.d", "SELECT b.id, b, c FROM b JOIN c USING (id)")
    return ("a", "b", "c", "d")


def ids(rt, *names):
    return [one.pgt_id for name in names for one in rt.status(name)]


def test_manual_refresh_brings_those_below_up_to_date(rt, sql, chain, oracle):
    sql("UPDATE orders SET amount = amount * 3 WHERE id < 30")
    result = rt.refresh("top")
    assert result.action == "DIFFERENTIAL"
    for name in chain:
        oracle(rt, name)


def test_update_reaches_the_top_of_a_chain(rt, sql, chain, oracle):
    for statement in (
        "INSERT INTO orders VALUES (1000, 1, 5000)",
        "UPDATE orders SET customer = 2 WHERE id = 1000",
        "DELETE FROM orders WHERE id = 1000",
        "DELETE FROM orders",
        "INSERT INTO orders VALUES (1, 1, 500)",
    ):
        sql(statement)
        rt.refresh_all()
        for name in chain:
            oracle(rt, name)


def test_one_layer_at_a_time(rt, sql, chain, oracle):
    sql("UPDATE orders SET amount = amount + 1000 WHERE id = 1")
    for name in chain:
        engine.run_pass(rt.session, rt.schemas, ids(rt, name), initiated_by="scheduler")
    for name in chain:
        oracle(rt, name)


def test_full_refresh_below_arrives_as_a_delta(rt, sql, chain, oracle):
    sql("UPDATE orders SET amount = amount + 1000 WHERE id = 1")
    rt.refresh("totals", mode="full")
    result = rt.refresh("large")
    assert (result.action, result.changed) == ("DIFFERENTIAL", 1)
    oracle(rt, "large")


def test_nothing_pending_writes_nothing(rt, sql, chain):
    before = sql("SELECT pg_current_xact_id()::text AS x")[0]["x"]
    assert {result.action for result in rt.refresh_all()} == {"NO_DATA"}
    assert int(sql("SELECT pg_current_xact_id()::text AS x")[0]["x"]) == int(before) + 1


def test_changes_that_cancel_out_do_not_refresh_those_above(rt, sql, chain):
    sql("INSERT INTO orders VALUES (1000, 1, 5)", "DELETE FROM orders WHERE id = 1000")
    before = rt.status("large")[0].data_timestamp
    result = rt.refresh("totals")
    assert (result.rows_in, result.changed) == (2, 0)
    assert rt.refresh("large").action == "NO_DATA"
    assert rt.status("large")[0].data_timestamp == before


def test_diamond_agrees(rt, sql, diamond, oracle):
    sql("UPDATE t SET v = v + 1", "INSERT INTO t VALUES (3, 3)")
    rt.refresh("d")
    for name in diamond:
        oracle(rt, name)


def test_failing_branch_rolls_the_diamond_back(rt, sql, diamond, oracle):
    sql("UPDATE t SET v = 0 WHERE id = 2")
    with pytest.raises(DatabaseError):
        rt.refresh("c")
    results = {result.name: result for result in rt.refresh_all()}
    assert results["public.c"].status == "failed"
    assert results["public.b"].status == "skipped"
    assert results["public.d"].status == "skipped"
    assert sql.value("SELECT b FROM b WHERE id = 2") == 20
    sql("UPDATE t SET v = 5 WHERE id = 2")
    rt.refresh_all()
    for name in diamond:
        oracle(rt, name)


def test_without_atomic_diamonds_the_other_branch_goes_on(rt, sql, diamond, oracle):
    for name in diamond:
        rt.alter_stream_table(name, diamond_consistency="none")
    sql("UPDATE t SET v = 0 WHERE id = 2")
    results = {result.name: result for result in rt.refresh_all()}
    assert results["public.b"].status == "completed"
    assert results["public.d"].status == "skipped"
    assert "public.c" in (results["public.d"].reason or "")
    oracle(rt, "b")


def test_a_failing_table_is_suspended_and_recovers(rt, sql, orders, oracle):
    rt.create_stream_table("public.bad", "SELECT id, 1 / amount AS x FROM orders")
    rt.create_stream_table("public.good", TOTALS)
    rt.create_stream_table("public.above", "SELECT count(*) AS n FROM bad")
    sql("INSERT INTO orders VALUES (1000, 1, 0)", "LISTEN pgtrickle_alert")
    for attempt in range(1, 4):
        results = {result.name: result for result in rt.refresh_all()}
        assert results["public.bad"].status == "failed"
        status = rt.status("bad")[0]
        assert status.consecutive_errors == attempt
        assert status.next_attempt_at is not None
    assert status.status == "suspended"
    oracle(rt, "good")
    assert rt.status("above")[0].waiting_for == ("public.bad",)
    assert rt.diagnose_errors("bad")[0]["error_type"] in {"correctness", "config"}
    sql("DELETE FROM orders WHERE id = 1000")
    assert rt.refresh("bad").action == "REINITIALIZE"  # the delta still holds the bad row
    status = rt.status("bad")[0]
    assert (status.status, status.consecutive_errors, status.last_error) == ("active", 0, None)
    oracle(rt, "bad")


def test_a_paused_table_is_left_alone(rt, sql, orders, oracle):
    rt.create_stream_table("public.totals", TOTALS)
    rt.pause("totals")
    sql("INSERT INTO orders VALUES (1000, 1, 5)")
    with pytest.raises(NotActive, match="paused"):
        rt.refresh("totals")
    assert rt.refresh_all()[0].status == "skipped"
    rt.resume("totals")
    rt.refresh("totals")
    oracle(rt, "totals")


def test_a_blown_fuse_stops_what_is_above(rt, sql, chain, oracle):
    rt.alter_stream_table("totals", fuse="on", fuse_ceiling=3)
    sql("UPDATE orders SET amount = amount + 1 WHERE id < 10")
    with pytest.raises(FuseBlown, match="reset"):
        rt.refresh("totals")
    results = {result.name: result for result in rt.refresh_all()}
    assert results["public.totals"].status == "skipped"
    assert rt.status("totals")[0].fuse_state == "blown"
    rt.reset_fuse("totals")
    rt.refresh("top")
    for name in chain:
        oracle(rt, name)


def test_a_spike_through_a_table_below_blows_the_fuse_above(rt, sql, orders, oracle):
    rt.create_stream_table("public.copy", "SELECT id, amount FROM orders")
    rt.create_stream_table(
        "public.above", "SELECT id, amount * 2 AS x FROM copy", fuse="on", fuse_ceiling=5
    )
    sql("UPDATE orders SET amount = amount + 1")
    with pytest.raises(FuseBlown):
        rt.refresh("above")
    oracle(rt, "copy")
    assert sql.value("SELECT count(*) FROM above WHERE x > 120") == 0
    rt.reset_fuse("above", action="apply")
    assert rt.refresh("above").updated == 60
    oracle(rt, "above")


def test_mixed_modes(rt, sql, orders, oracle):
    rt.create_stream_table("public.f", TOTALS, refresh_mode="full")
    rt.create_stream_table("public.d", "SELECT region FROM f WHERE total > 600")
    sql("UPDATE orders SET amount = amount + 100")
    result = rt.refresh("d")
    assert result.action == "DIFFERENTIAL"
    assert rt.history("f")[0].action == "FULL"
    oracle(rt, "f")
    oracle(rt, "d")
    assert rt.refresh("f").action == "NO_DATA"


def test_page_costs_are_lowered_for_deltas_alone(rt, sql, orders, oracle):
    cost = "current_setting('seq_page_cost')"
    rt.create_stream_table("public.d", TOTALS)
    rt.create_stream_table(
        "public.f", f"SELECT region, {cost} AS cost FROM d", refresh_mode="full"
    )
    sql(
        "CREATE TABLE seen (cost text)",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        f" 'BEGIN INSERT INTO seen SELECT {cost.replace(chr(39), chr(39) * 2)}; RETURN NULL; END'",
        "CREATE TRIGGER note AFTER UPDATE ON d EXECUTE FUNCTION note()",
        "UPDATE orders SET amount = amount + 100",
    )
    server = sql.value("SELECT reset_val FROM pg_settings WHERE name = 'seq_page_cost'")
    assert rt.refresh("f").action == "FULL"
    assert sql.value("SELECT DISTINCT cost FROM seen") == "0.2"
    assert sql.value("SELECT DISTINCT cost FROM f") == server


def test_truncate(rt, sql, orders, oracle):
    rt.create_stream_table("public.totals", TOTALS)
    sql("TRUNCATE orders", "INSERT INTO orders VALUES (1, 1, 1)")
    assert rt.refresh("totals").action == "REINITIALIZE"
    oracle(rt, "totals")
    assert rt.refresh("totals").action == "NO_DATA"


def test_own_changes_in_an_open_transaction(rt, sql, orders, oracle):
    """F1: as in dbt's hooks, the session has written the source itself."""
    rt.create_stream_table("public.totals", TOTALS)
    rt.session.execute("INSERT INTO orders VALUES (1000, 1, 5)")
    rt.refresh("totals")
    rt.session.execute("INSERT INTO orders VALUES (1001, 1, 5)")
    sql("INSERT INTO orders VALUES (1002, 1, 5)")
    rt.refresh("totals")
    oracle(rt, "totals")


def test_status_written_during_the_pass(rt, sql, orders, oracle):
    """F2: a user changes the row of a member while it is refreshed."""
    rt.create_stream_table("public.totals", TOTALS)
    sql("INSERT INTO orders VALUES (1000, 1, 5)")

    def pause(_):
        sql("UPDATE pgtrickle.pgt_stream_tables SET status = 'paused'")

    outcome = engine.run_pass(
        rt.session, rt.schemas, None, initiated_by="scheduler", before_commit=pause
    )
    assert [one.status for one in outcome.results.values()] == ["completed"]
    assert rt.status()[0].status == "paused"
    oracle(rt, "totals")


def test_frontier_is_compared_and_set(rt, sql, orders, other, oracle, monkeypatch, wait_until):
    """F3: advisory locks that don't hold (a pooler): the same changes are not applied twice."""
    rt.create_stream_table("public.totals", TOTALS)
    sql("INSERT INTO orders VALUES (1000, 1, 5)")
    monkeypatch.setattr(locks, "held", _all_held)
    results = []

    def refresh() -> None:
        outcome = engine.run_pass(other.session, other.schemas, None, initiated_by="scheduler")
        results.extend(outcome.results.values())

    thread = threading.Thread(target=refresh)

    def meet(_) -> None:
        """The other pass, at an older snapshot, waits for our frontier."""
        thread.start()
        wait_until(lambda: sql.value("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    engine.run_pass(rt.session, rt.schemas, None, initiated_by="scheduler", before_commit=meet)
    thread.join(60)
    assert [one.status for one in results] == ["failed"]
    assert isinstance(results[0].error, DatabaseError)
    assert results[0].error.sqlstate == "40001"
    oracle(rt, "totals")
    assert rt.status()[0].consecutive_errors == 0


@contextmanager
def _all_held(session, schemas, pgt_ids, *, wait):
    del wait
    found = locks.Held(session, schemas)
    found.pgt_ids += pgt_ids
    yield found


def test_two_sessions_at_once(rt, sql, orders, database, oracle):
    """D14: nothing is applied twice."""
    rt.create_stream_table("public.totals", TOTALS)
    errors: list[BaseException] = []

    def refresh() -> None:
        session = connect(database)
        try:
            for _ in range(15):
                engine.run_pass(session, Schemas(), None, initiated_by="scheduler")
        except BaseException as error:
            errors.append(error)
        finally:
            session.close()

    threads = [threading.Thread(target=refresh) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(40):
        sql(f"INSERT INTO orders VALUES ({2000 + number}, {number % 9 + 1}, {number})")
    for thread in threads:
        thread.join(120)
    assert errors == []
    rt.refresh("totals")
    oracle(rt, "totals")


def test_statement_timeout_leaves_no_trace(rt, sql, orders, oracle):
    """D16."""
    rt.create_stream_table(
        "public.slow",
        "SELECT id, pg_sleep(0.02)::text AS x, amount FROM orders WHERE id < 5",
    )
    rt.set_setting("statement_timeout", "15ms")
    sql("UPDATE orders SET amount = 1 WHERE id = 1")
    with pytest.raises(DatabaseError) as raised:
        rt.refresh("slow")
    assert raised.value.sqlstate == "57014"
    assert rt.status("slow")[0].status == "active"
    assert sql.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    rt.set_setting("statement_timeout", "0")
    rt.refresh("slow")
    oracle(rt, "slow")


def test_a_source_that_is_locked_is_waited_for_shortly(rt, sql, orders, oracle):
    rt.create_stream_table("public.totals", TOTALS)
    sql("INSERT INTO orders VALUES (1000, 1, 5)")
    sql.session.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
    with pytest.raises(DatabaseError) as raised:
        rt.refresh("totals")
    assert raised.value.sqlstate == "55P03"
    sql.session.commit()
    assert rt.status("totals")[0].consecutive_errors == 0
    rt.refresh("totals")
    oracle(rt, "totals")


def test_a_rewrite_during_the_pass_waits(rt, sql, orders, oracle):
    """A1: the locks are taken before the snapshot."""
    rt.create_stream_table("public.totals", TOTALS)
    sql("INSERT INTO orders VALUES (1000, 1, 5)")
    refused: list[str | None] = []

    def rewrite(_):
        try:
            sql(
                "SET lock_timeout = '100ms'",
                "ALTER TABLE customers ADD COLUMN u uuid DEFAULT gen_random_uuid()",
            )
        except DatabaseError as error:
            refused.append(error.sqlstate)
            sql.session.rollback()

    engine.run_pass(rt.session, rt.schemas, None, initiated_by="manual", before_commit=rewrite)
    assert refused == ["55P03"]
    sql("ALTER TABLE customers ADD COLUMN u uuid DEFAULT gen_random_uuid()")
    sql("INSERT INTO orders VALUES (1001, 1, 5)")
    rt.refresh("totals")
    oracle(rt, "totals")


def test_a_row_that_was_tampered_with_reinitialises(rt, sql, orders, oracle):
    rt.create_stream_table("public.totals", TOTALS)
    sql("SET pgtrickle.refreshing = 'on'", "DELETE FROM totals WHERE region = 'r1'")
    assert not rt.verify("totals").equal
    sql("UPDATE orders SET amount = amount + 1")
    assert rt.refresh("totals").action == "REINITIALIZE"
    oracle(rt, "totals")


def test_repair(rt, sql, orders, oracle):
    rt.create_stream_table("public.totals", TOTALS)
    sql("SET pgtrickle.refreshing = 'on'", "UPDATE totals SET n = 0 WHERE region = 'r1'")
    found = rt.verify("totals")
    assert (found.equal, found.missing, found.extra) == (False, 1, 1)
    assert found.sample_extra[0]["n"] == 0
    result = rt.repair("totals")
    assert result.updated == 1
    assert rt.verify("totals").equal
    oracle(rt, "totals")


def test_settings_belong_to_the_table(rt, sql, other, oracle):
    """D2 of protocol_in_sql: another session's time zone changes nothing."""
    sql(
        "CREATE TABLE e (id int, at timestamptz)",
        "INSERT INTO e SELECT i, timestamptz '2026-01-01 00:30+00' + i * interval '1 h' "
        "FROM generate_series(1, 30) i",
    )
    rt.session.execute("SET TimeZone = 'UTC'")
    rt.session.commit()
    rt.create_stream_table(
        "public.days", "SELECT at::date AS day, count(*) AS n FROM e GROUP BY 1"
    )
    other.session.execute("SET TimeZone = 'Asia/Tokyo'")
    other.session.commit()
    sql("DELETE FROM e WHERE id % 2 = 0")
    other.refresh("days")
    oracle(rt, "days")
    sql("TRUNCATE e", "INSERT INTO e VALUES (1, '2026-01-01 20:00+00')")
    other.refresh("days")
    oracle(rt, "days")


def test_append_only_is_a_promise(rt, sql, orders, oracle):
    rt.create_stream_table("public.totals", TOTALS, append_only=True)
    sql("INSERT INTO orders VALUES (1000, 1, 5)")
    rt.refresh("totals")
    oracle(rt, "totals")
    sql("DELETE FROM orders WHERE id = 1000")
    with pytest.raises(Exception, match="append-only"):
        rt.refresh("totals")
    rt.repair("totals")
    oracle(rt, "totals")


def test_user_indexes_and_swapped_keys(rt, sql, oracle):
    sql(
        "CREATE TABLE t (id int PRIMARY KEY, place int UNIQUE DEFERRABLE INITIALLY DEFERRED)",
        "INSERT INTO t SELECT i, i FROM generate_series(1, 10) i",
    )
    rt.create_stream_table("public.s", "SELECT id, place FROM t")
    sql("CREATE UNIQUE INDEX ON s (place)")
    sql("UPDATE t SET place = 11 - place")
    rt.refresh("s")
    oracle(rt, "s")
    sql("UPDATE t SET place = (place + 3) % 10 + 1, id = id + 100")
    assert rt.refresh("s").action == "DIFFERENTIAL"
    oracle(rt, "s")


def test_history_and_wait(rt, sql, orders):
    rt.create_stream_table("public.totals", TOTALS)
    rt.wait("totals", 1)
    sql("INSERT INTO orders VALUES (1000, 1, 5)")
    assert rt.status()[0].pending == 1
    with pytest.raises(Exception, match="not fresh"):
        rt.wait("totals", 0.05)
    rt.refresh("totals", initiated_by="dbt")
    rt.wait("totals", 1)
    last = rt.history("totals", limit=1)[0]
    assert (last.action, last.initiated_by, last.rows_in) == ("DIFFERENTIAL", "dbt", 1)
    assert (last.inserted, last.updated, last.deleted) == (0, 1, 0)


def test_a_pass_without_changes_is_one_round_trip(rt, sql, chain, sent):
    outcome = engine.run_pass(rt.session, rt.schemas, None, initiated_by="scheduler")
    assert {one.action for one in outcome.results.values()} == {"NO_DATA"}
    assert len(sent) == 1


@pytest.mark.parametrize("mode", [None, "full"])
def test_no_row_of_data_passes_through_python(rt, sql, monkeypatch, mode):
    sql("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'secret one')")
    rt.create_stream_table(
        "public.s", "SELECT v, count(*) AS n, max(id) AS most FROM t GROUP BY v"
    )
    rt.create_stream_table("public.above", "SELECT upper(v) AS v FROM s", partition_by="HASH:v:2")
    sql("INSERT INTO t VALUES (2, 'secret two')", "UPDATE t SET v = 'secret three' WHERE id = 1")
    seen: list[str] = []
    plain = type(rt.session).execute

    def execute(self, text, params=None):
        rows = plain(self, text, params)
        seen.extend([str(rows), str(params)])
        return rows

    monkeypatch.setattr(type(rt.session), "execute", execute)
    assert rt.refresh("above", mode=mode).status == "completed"
    assert seen
    assert not [text for text in seen if "secret" in text.lower()]


def test_unknown_mode(rt, chain):
    with pytest.raises(InvalidConfig, match="mode"):
        rt.refresh("totals", mode="sideways")
