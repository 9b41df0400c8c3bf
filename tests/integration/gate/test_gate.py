"""The gate: content that fails its tests is not committed, whoever made it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import psycopg
import pytest

from trickle_runtime.api import GateTest, Runtime
from trickle_runtime.errors import FuseBlown, GateFailed, InvalidConfig, RefreshError
from trickle_runtime.scheduler.daemon import Daemon

Oracle = Callable[[Runtime, str], None]
QUERY = "SELECT id, grp, v FROM src"
POSITIVE = GateTest("v_is_positive", "SELECT id FROM public.t WHERE v <= 0")
FEW = GateTest("few_rows", "SELECT count(*) - 4 AS failures FROM public.t HAVING count(*) > 4")


@pytest.fixture(autouse=True)
def source(rt: Runtime) -> None:
    run(
        rt,
        "CREATE TABLE src (id int PRIMARY KEY, grp int NOT NULL, v int)",
        "INSERT INTO src VALUES (1, 1, 10), (2, 1, 20), (3, 2, 30)",
    )


@pytest.fixture
def alerts(database: str) -> Iterator[Callable[[], list[dict[str, object]]]]:
    with psycopg.connect(database, autocommit=True) as listener:
        listener.execute("LISTEN pgtrickle_alert")

        def received() -> list[dict[str, object]]:
            found = [json.loads(one.payload) for one in listener.notifies(timeout=0.2)]
            return [one for one in found if one["event"] == "fuse_blown"]

        yield received


def run(rt: Runtime, *statements: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for statement in statements:
        rows = rt.session.execute(statement)
    rt.session.commit()
    return rows


def ids(rt: Runtime, name: str = "t") -> list[object]:
    return [row["id"] for row in run(rt, f"SELECT id FROM {name} ORDER BY id")]


def state(rt: Runtime, name: str = "t") -> tuple[object, ...]:
    (row,) = run(
        rt,
        "SELECT status, fuse_state, blow_reason, consecutive_errors"
        f" FROM pgtrickle.pgt_stream_tables WHERE pgt_name = '{name}'",
    )
    return tuple(row.values())


def by_hand(rt: Runtime, database: str) -> None:
    with pytest.raises(GateFailed, match="t"):
        rt.refresh("t")


def by_all(rt: Runtime, database: str) -> None:
    assert [one.status for one in rt.refresh_all() if one.name == "public.t"] == ["failed"]


def by_daemon(rt: Runtime, database: str) -> None:
    daemon = Daemon(database)
    try:
        daemon.run_once()
    finally:
        daemon.close()


@pytest.mark.parametrize("refresh", [by_hand, by_all, by_daemon])
@pytest.mark.parametrize(
    "options", [{}, {"fuse": "on", "fuse_ceiling": 100}, {"refresh_mode": "full"}]
)
def test_bad_rows_are_rolled_back_and_the_fuse_blows(
    rt: Runtime,
    database: str,
    alerts: Callable[[], list[dict[str, object]]],
    refresh: Callable[[Runtime, str], None],
    options: dict[str, object],
) -> None:
    rt.create_stream_table("t", QUERY, gate=[POSITIVE, FEW], schedule="1s", **options)
    run(rt, "UPDATE pgtrickle.pgt_frontiers SET last_refresh_at = '2000-01-01'")
    run(rt, "INSERT INTO src VALUES (4, 1, -1), (5, 1, 0)")
    refresh(rt, database)
    assert ids(rt) == [1, 2, 3]
    reason = "test v_is_positive failed: 2 failures; test few_rows failed: 1 failures"
    assert state(rt) == ("active", "blown", reason, 0)
    (alert,) = alerts()
    assert alert["reason"] == reason
    assert alert["pending"] == 2
    assert alert["tests"] == [
        {"name": "v_is_positive", "failures": 2},
        {"name": "few_rows", "failures": 1},
    ]
    (error,) = rt.diagnose_errors("t")
    assert error["error_message"] == reason
    assert error["error_type"] == "correctness"
    assert "reinitialize" in str(error["remediation"])
    with pytest.raises(FuseBlown, match="v_is_positive"):
        rt.refresh("t")
    assert alerts() == []


def test_good_rows_pass(rt: Runtime, oracle: Oracle) -> None:
    rt.create_stream_table("t", QUERY, gate=[POSITIVE, FEW])
    run(rt, "INSERT INTO src VALUES (4, 1, 40)", "DELETE FROM src WHERE id = 1")
    assert rt.refresh("t").action == "DIFFERENTIAL"
    oracle(rt, "t")


def test_an_updated_row_counts_too(rt: Runtime) -> None:
    rt.create_stream_table("t", QUERY, gate=[POSITIVE])
    run(rt, "UPDATE src SET v = -1 WHERE id = 2")
    with pytest.raises(GateFailed):
        rt.refresh("t")
    assert run(rt, "SELECT min(v) AS v FROM t") == [{"v": 10}]


def test_tables_above_wait_and_others_go_on(rt: Runtime, oracle: Oracle) -> None:
    rt.create_stream_table("t", QUERY, gate=[POSITIVE])
    rt.create_stream_table("above", "SELECT count(*) AS n FROM t")
    rt.create_stream_table("beside", QUERY)
    run(rt, "INSERT INTO src VALUES (4, 1, -1)")
    results = {one.name.split(".")[-1].strip('"'): one for one in rt.refresh_all()}
    assert results["t"].status == "failed"
    assert results["above"].reason == "waiting for public.t"
    assert results["beside"].status == "completed"
    oracle(rt, "beside")
    assert run(rt, "SELECT n FROM above") == [{"n": 3}]


def blow(rt: Runtime) -> None:
    run(rt, "INSERT INTO src VALUES (4, 1, -1), (5, 1, -2)")
    with pytest.raises(GateFailed):
        rt.refresh("t")


def test_apply_accepts_the_known_failures_and_no_more(rt: Runtime, oracle: Oracle) -> None:
    rt.create_stream_table("t", QUERY, gate=[POSITIVE])
    blow(rt)
    rt.reset_fuse("t", action="apply")
    assert state(rt)[1] == "disabled"
    rt.refresh("t")
    oracle(rt, "t")
    run(rt, "INSERT INTO src VALUES (6, 1, 60)")
    rt.refresh("t")
    run(rt, "DELETE FROM src WHERE id = 5")  # mended: from now on one failure is accepted
    rt.refresh("t")
    oracle(rt, "t")
    run(rt, "INSERT INTO src VALUES (7, 1, -7)")
    with pytest.raises(GateFailed, match="2 failures"):
        rt.refresh("t")


def test_reinitialize_lets_nothing_through(rt: Runtime, oracle: Oracle) -> None:
    rt.create_stream_table("t", QUERY, gate=[POSITIVE])
    blow(rt)
    rt.reset_fuse("t", action="reinitialize")
    with pytest.raises(GateFailed):
        rt.refresh("t")
    assert ids(rt) == [1, 2, 3]
    run(rt, "DELETE FROM src WHERE v < 0")
    rt.reset_fuse("t", action="reinitialize")
    assert rt.refresh("t").action == "REINITIALIZE"
    oracle(rt, "t")


def test_skip_changes_leaves_the_content(rt: Runtime) -> None:
    rt.create_stream_table("t", QUERY, gate=[POSITIVE])
    blow(rt)
    rt.reset_fuse("t", action="skip_changes")
    assert rt.refresh("t").action == "NO_DATA"
    assert ids(rt) == [1, 2, 3]
    run(rt, "INSERT INTO src VALUES (6, 1, 60)")
    rt.refresh("t")
    assert ids(rt) == [1, 2, 3, 6]


def test_altering_an_option_does_not_mend_the_fuse(rt: Runtime) -> None:
    rt.create_stream_table("t", QUERY, gate=[POSITIVE, FEW])
    blow(rt)
    assert rt.alter_stream_table("t", schedule="5m").changed == ("schedule",)
    assert state(rt)[1] == "blown"
    assert rt.alter_stream_table("t", gate=[POSITIVE], tier="cold").changed == ("tier", "gate")
    assert state(rt)[1] == "blown"


@pytest.mark.parametrize("tests", [[], [FEW]])
def test_taking_the_test_out_mends_the_fuse(
    rt: Runtime, oracle: Oracle, tests: list[GateTest]
) -> None:
    rt.create_stream_table("t", QUERY, gate=[POSITIVE])
    run(rt, "INSERT INTO src VALUES (4, 1, -1)")
    with pytest.raises(GateFailed):
        rt.refresh("t")
    assert rt.alter_stream_table("t", gate=tests).changed == ("gate",)
    assert state(rt)[1:3] == ("disabled", None)
    rt.refresh("t")
    oracle(rt, "t")


def test_the_first_content_has_to_pass(rt: Runtime) -> None:
    run(rt, "INSERT INTO src VALUES (4, 1, -1)")
    with pytest.raises(GateFailed, match="v_is_positive"):
        rt.create_stream_table("t", QUERY, gate=[POSITIVE])
    assert run(rt, "SELECT to_regclass('t') AS t") == [{"t": None}]
    assert run(rt, "SELECT FROM pgtrickle.pgt_stream_tables") == []
    assert run(rt, "SELECT FROM pgtrickle.pgt_sources") == []


def test_a_table_that_is_filled_later(rt: Runtime) -> None:
    run(rt, "INSERT INTO src VALUES (4, 1, -1)")
    rt.create_stream_table("t", QUERY, gate=[POSITIVE], initialize=False)
    with pytest.raises(GateFailed):
        rt.refresh("t")
    assert ids(rt) == []


def test_in_place_of_another_relation(rt: Runtime) -> None:
    run(rt, "CREATE VIEW t AS SELECT 7 AS other", "INSERT INTO src VALUES (4, 1, -1)")
    with pytest.raises(GateFailed):
        rt.create_stream_table("t", QUERY, gate=[POSITIVE], replace_relation=True)
    assert run(rt, "SELECT other FROM t") == [{"other": 7}]
    run(rt, "DELETE FROM src WHERE id = 4")
    rt.create_stream_table("t", QUERY, gate=[POSITIVE], replace_relation=True)
    assert ids(rt) == [1, 2, 3]


@pytest.mark.parametrize(
    "query",
    ["SELECT id, grp, v - 15 AS v FROM src", "SELECT id, v::text, -v AS v FROM src"],
    ids=["in place", "beside"],
)
def test_a_new_query_has_to_pass(rt: Runtime, query: str) -> None:
    rt.create_stream_table("t", QUERY, gate=[POSITIVE])
    query = query.replace("v::text", "v::text AS grp")
    with pytest.raises(GateFailed):
        rt.alter_stream_table("t", query=query)
    assert rt.query("t") == QUERY
    assert run(rt, "SELECT min(v) AS v FROM t") == [{"v": 10}]
    assert state(rt)[1] == "disabled"
    assert rt.alter_stream_table("t", query=query, gate=[]).changed == ("query",)
    assert rt.gate("t") == ()


def test_a_replaced_source_has_to_pass(rt: Runtime, oracle: Oracle) -> None:
    rt.create_stream_table("t", QUERY, gate=[POSITIVE])
    swap = (
        "CREATE TABLE src_new (id int PRIMARY KEY, grp int NOT NULL, v int)",
        "DROP TABLE src CASCADE",
        "ALTER TABLE src_new RENAME TO src",
    )
    run(rt, *swap, "INSERT INTO src VALUES (1, 1, -1)")
    with pytest.raises(GateFailed):
        rt.refresh("t")
    assert ids(rt) == [1, 2, 3]
    assert state(rt)[1] == "blown"
    run(rt, "UPDATE src SET v = 1")
    rt.reset_fuse("t", action="apply")
    rt.refresh("t")
    oracle(rt, "t")


def test_a_query_that_is_not_sql_is_refused(rt: Runtime) -> None:
    with pytest.raises(InvalidConfig, match="bad"):
        rt.create_stream_table("t", QUERY, gate=[GateTest("bad", "SELECT nothing_such FROM t")])
    assert run(rt, "SELECT to_regclass('t') AS t") == [{"t": None}]


def test_a_test_that_breaks_is_an_error_of_the_refresh(rt: Runtime) -> None:
    gate = [GateTest("divides", "SELECT id FROM public.t WHERE 1 / v < 0")]
    rt.create_stream_table("t", QUERY, gate=gate)
    run(rt, "INSERT INTO src VALUES (4, 1, 0)")
    with pytest.raises(RefreshError, match="can't be run"):
        rt.refresh("t")
    assert ids(rt) == [1, 2, 3]
    assert state(rt)[1] == "disabled"
    assert state(rt)[3] == 1


SAME_TOTAL = (
    "SELECT 1 AS failure"
    " WHERE (SELECT sum(v) FROM public.t) <> (SELECT sum(total) FROM public.above)"
)
SUM = GateTest(
    "halves_agree",
    "SELECT 1 AS failure WHERE (SELECT sum(v) FROM public.a) <> (SELECT sum(v) FROM public.b)",
)


def agreeing(rt: Runtime, **schedules: str) -> None:
    """Two tables of different sources, and a test that reads both."""
    run(rt, "CREATE TABLE src2 AS SELECT * FROM src")
    rt.create_stream_table("b", "SELECT id, v FROM src2", schedule=schedules.get("b", "1m"))
    rt.create_stream_table(
        "a", "SELECT id, v FROM src", gate=[SUM], schedule=schedules.get("a", "1m")
    )


def test_a_test_sees_all_that_it_reads_at_one_snapshot(rt: Runtime, oracle: Oracle) -> None:
    agreeing(rt)
    run(rt, "INSERT INTO src VALUES (4, 1, 40)", "INSERT INTO src2 VALUES (4, 1, 40)")
    rt.refresh("a")
    oracle(rt, "a")
    oracle(rt, "b")
    run(rt, "INSERT INTO src VALUES (5, 1, 50)", "INSERT INTO src2 VALUES (5, 1, 51)")
    with pytest.raises(GateFailed, match="halves_agree"):
        rt.refresh("a")
    assert run(rt, "SELECT max(v) AS v FROM b") == [{"v": 40}]
    rt.refresh("b")
    assert run(rt, "SELECT max(v) AS v FROM b") == [{"v": 51}]


def test_the_daemon_brings_in_what_a_gate_reads(
    rt: Runtime, database: str, oracle: Oracle
) -> None:
    agreeing(rt, a="1s", b="1h")
    run(
        rt,
        "UPDATE pgtrickle.pgt_frontiers f SET last_refresh_at = '2000-01-01'"
        " FROM pgtrickle.pgt_stream_tables s WHERE s.pgt_id = f.pgt_id AND s.pgt_name = 'a'",
    )
    run(rt, "INSERT INTO src VALUES (4, 1, 40)", "INSERT INTO src2 VALUES (4, 1, 40)")
    by_daemon(rt, database)
    oracle(rt, "a")
    oracle(rt, "b")


def test_a_gate_waits_for_a_stopped_table(rt: Runtime, oracle: Oracle) -> None:
    agreeing(rt)
    rt.pause("b")
    run(rt, "INSERT INTO src VALUES (4, 1, 40)", "INSERT INTO src2 VALUES (4, 1, 40)")
    outcome = rt.refresh("a")
    assert (outcome.status, outcome.reason) == (
        "skipped",
        "waiting for public.b, which its gate reads",
    )
    rt.resume("b")
    rt.refresh("a")
    oracle(rt, "a")


def test_a_test_belongs_to_the_topmost_table(rt: Runtime, oracle: Oracle) -> None:
    run(rt, "CREATE TABLE unused (id int)")
    test = GateTest("total_is_right", SAME_TOTAL)
    rt.create_stream_table("t", QUERY, gate=[test])
    assert [(one.name, one.missing) for one in rt.gate("t")] == [
        ("total_is_right", 'relation "public.above" does not exist')
    ]
    rt.create_stream_table("above", "SELECT grp, sum(v) AS total FROM t GROUP BY grp", gate=[test])
    rt.alter_stream_table("t", gate=[test])
    assert rt.gate("t") == ()
    assert [one.name for one in rt.gate("above")] == ["total_is_right"]
    run(rt, "INSERT INTO src VALUES (4, 1, 40)")
    rt.refresh("t")
    rt.refresh("above")
    oracle(rt, "above")


def test_two_gates_that_read_each_other(rt: Runtime, oracle: Oracle) -> None:
    agreeing(rt)
    rt.alter_stream_table("b", gate=[SUM])
    run(rt, "INSERT INTO src VALUES (4, 1, 40)", "INSERT INTO src2 VALUES (4, 1, 40)")
    rt.refresh("b")
    oracle(rt, "a")
    oracle(rt, "b")
    run(rt, "INSERT INTO src VALUES (5, 1, 50)", "INSERT INTO src2 VALUES (5, 1, 51)")
    assert {one.status for one in rt.refresh_all()} == {"failed"}
    assert {one["fuse_state"] for one in rt.fuse_status()} == {"blown"}
    assert run(rt, "SELECT max(v) AS v FROM b") == [{"v": 40}]
    assert run(rt, "SELECT max(v) AS v FROM a") == [{"v": 40}]
