"""The fuse in passes: what blows, what waits, and what each reset does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import psycopg
import pytest

from trickle_runtime.api import Runtime
from trickle_runtime.errors import FuseBlown, FuseNotBlown, InvalidConfig
from trickle_runtime.refresh.result import RefreshResult

Oracle = Callable[[Runtime, str], None]
SUMS = "SELECT grp, count(*) AS n, sum(v) AS total FROM src GROUP BY grp"


@pytest.fixture(autouse=True)
def source(rt: Runtime) -> None:
    rt.session.execute(
        "CREATE TABLE src (id int PRIMARY KEY, grp int NOT NULL, v int NOT NULL);"
        "INSERT INTO src SELECT g, g % 5, g FROM generate_series(1, 100) g"
    )
    rt.session.commit()


@pytest.fixture
def alerts(database: str) -> Iterator[Callable[[], list[dict[str, object]]]]:
    with psycopg.connect(database, autocommit=True) as listener:
        listener.execute("LISTEN pgtrickle_alert")

        def received() -> list[dict[str, object]]:
            return [json.loads(one.payload) for one in listener.notifies(timeout=0.2)]

        yield received


def insert(rt: Runtime, count: int, first: int = 1000) -> None:
    rt.session.execute(
        f"INSERT INTO src SELECT g, g % 7, g FROM generate_series({first}, {first + count - 1}) g"
    )
    rt.session.commit()


def refresh_all(rt: Runtime) -> dict[str, RefreshResult]:
    """A pass as the daemon makes it; results by bare name."""
    return {one.name.split(".")[-1].strip('"'): one for one in rt.refresh_all()}


def state(rt: Runtime, name: str) -> dict[str, object]:
    rows = rt.session.execute(
        "SELECT fuse_state, blow_reason, diverged, fuse_exempt, reinit_reason"
        " FROM pgtrickle.pgt_stream_tables WHERE pgt_name = %(name)s",
        {"name": name},
    )
    rt.session.commit()
    return rows[0]


def count(rt: Runtime, query: str) -> int:
    rows = rt.session.execute(f"SELECT count(*) AS n FROM ({query}) q")
    rt.session.commit()
    return rows[0]["n"]


def equal(rt: Runtime, name: str, query: str) -> bool:
    return (
        count(
            rt,
            f"(TABLE {name} EXCEPT ALL ({query})) UNION ALL (({query}) EXCEPT ALL TABLE {name})",
        )
        == 0
    )


def test_the_baseline_does_not_blow_and_a_spike_does(
    rt: Runtime, oracle: Oracle, alerts: Callable[[], list[dict[str, object]]]
) -> None:
    rt.create_stream_table("t", SUMS, fuse="auto", refresh_mode="differential")
    for number in range(6):
        insert(rt, 20 + number, first=1000 * (number + 1))
        assert refresh_all(rt)["t"].action == "DIFFERENTIAL"
    oracle(rt, "t")
    alerts()
    before = count(rt, "TABLE t")
    insert(rt, 5000, first=100_000)
    spiked = refresh_all(rt)["t"]
    assert spiked.status == "skipped"
    assert "5000 pending changes exceed the adaptive threshold" in str(spiked.reason)
    assert count(rt, "TABLE t") == before
    (alert,) = [one for one in alerts() if one["event"] == "fuse_blown"]
    assert (alert["stream_table"], alert["pending"], alert["ceiling"]) == ("public.t", 5000, None)
    assert alert["mean"] == pytest.approx(22.5)
    (status,) = rt.fuse_status()
    assert refresh_all(rt)["t"].status == "skipped"
    assert alerts() == []
    assert status is not None


def test_below_five_samples_only_the_ceiling_counts(rt: Runtime, oracle: Oracle) -> None:
    rt.create_stream_table("t", SUMS, fuse="auto", fuse_ceiling=500)
    insert(rt, 400)
    assert refresh_all(rt)["t"].status == "completed"
    insert(rt, 501, first=5000)
    assert refresh_all(rt)["t"].status == "skipped"
    oracle_fails(rt, "t")


def oracle_fails(rt: Runtime, name: str) -> None:
    query = rt.session.execute(
        "SELECT query FROM pgtrickle.pgt_stream_tables WHERE pgt_name = %(n)s", {"n": name}
    )[0]["query"]
    assert not equal(rt, name, query)


def test_an_update_is_one_change(rt: Runtime) -> None:
    rt.create_stream_table("t", SUMS, fuse="on", fuse_ceiling=100)
    rt.session.execute("UPDATE src SET v = v + 1")
    rt.session.commit()
    assert refresh_all(rt)["t"].status == "completed"
    rt.session.execute("UPDATE src SET v = v + 1; INSERT INTO src VALUES (0, 0, 0)")
    rt.session.commit()
    assert refresh_all(rt)["t"].status == "skipped"


@pytest.mark.parametrize("partition_by", [None, "HASH:id", "RANGE:id:30"])
def test_a_truncate_counts_as_all_stored_rows(rt: Runtime, partition_by: str | None) -> None:
    rt.create_stream_table(
        "t", "SELECT id, v FROM src", fuse="on", fuse_ceiling=99, partition_by=partition_by
    )
    rt.session.execute("TRUNCATE src")
    rt.session.commit()
    assert refresh_all(rt)["t"].status == "skipped"
    assert "TRUNCATE" in str(state(rt, "t")["blow_reason"])
    assert count(rt, "TABLE t") == 100


def test_a_manual_refresh_of_a_blown_table_says_how_to_reset(rt: Runtime) -> None:
    rt.create_stream_table("t", SUMS, fuse="on", fuse_ceiling=10)
    insert(rt, 11)
    for _ in range(2):  # when it blows, and when it is blown
        with pytest.raises(FuseBlown) as error:
            rt.refresh("t")
        assert "fuse reset" in str(error.value.hint)
        assert "11 pending changes exceed the ceiling of 10" in str(error.value.detail)


def test_apply_takes_everything_over_once(rt: Runtime, oracle: Oracle) -> None:
    rt.create_stream_table("t", SUMS, fuse="on", fuse_ceiling=10)
    insert(rt, 50)
    refresh_all(rt)
    insert(rt, 50, first=2000)  # what comes until the reset is in the backlog too
    rt.reset_fuse("t")
    done = refresh_all(rt)["t"]
    assert (done.action, done.rows_in, done.status) == ("DIFFERENTIAL", 100, "completed")
    oracle(rt, "t")
    assert state(rt, "t")["fuse_exempt"] is False
    insert(rt, 11, first=3000)
    assert refresh_all(rt)["t"].status == "skipped"


def test_a_failed_refresh_does_not_use_up_the_exemption(rt: Runtime, oracle: Oracle) -> None:
    rt.create_stream_table("t", "SELECT id, 100 / v AS x FROM src", fuse="on", fuse_ceiling=2)
    rt.session.execute("INSERT INTO src VALUES (0, 0, 0), (-1, 0, 1), (-2, 0, 1)")
    rt.session.commit()
    refresh_all(rt)
    rt.reset_fuse("t", action="apply")
    assert refresh_all(rt)["t"].status == "failed"
    assert state(rt, "t")["fuse_exempt"] is True
    rt.session.execute("UPDATE src SET v = 1 WHERE id = 0")
    rt.session.commit()
    assert rt.refresh("t", mode="full").status == "completed"
    oracle(rt, "t")


def test_reinitialize_recomputes(rt: Runtime, oracle: Oracle) -> None:
    rt.create_stream_table("t", SUMS, fuse="on", fuse_ceiling=10)
    insert(rt, 50)
    refresh_all(rt)
    rt.reset_fuse("t", action="reinitialize")
    assert refresh_all(rt)["t"].action == "REINITIALIZE"
    oracle(rt, "t")
    assert state(rt, "t")["reinit_reason"] is None
    insert(rt, 5, first=3000)
    assert refresh_all(rt)["t"].action == "DIFFERENTIAL"
    oracle(rt, "t")


def test_skip_is_for_this_table_only(rt: Runtime, oracle: Oracle) -> None:
    rt.create_stream_table("t", SUMS, fuse="on", fuse_ceiling=10)
    rt.create_stream_table("u", SUMS, status="paused")
    before = count(rt, "TABLE t")
    insert(rt, 50)
    refresh_all(rt)
    rt.reset_fuse("t", action="skip_changes")
    assert state(rt, "t")["diverged"] is True
    assert refresh_all(rt)["t"].action == "NO_DATA"
    assert count(rt, "TABLE t") == before
    rt.cleanup()
    rt.resume("u")
    refresh_all(rt)
    oracle(rt, "u")
    insert(rt, 3, first=3000)
    refresh_all(rt)
    oracle(rt, "u")
    oracle_fails(rt, "t")
    rt.refresh("t", mode="full")
    oracle(rt, "t")
    assert state(rt, "t")["diverged"] is False


def test_a_diverged_table_heals_when_a_delta_does_not_fit(rt: Runtime, oracle: Oracle) -> None:
    rt.create_stream_table("t", "SELECT id, v FROM src", fuse="on", fuse_ceiling=10)
    insert(rt, 50)
    refresh_all(rt)
    rt.reset_fuse("t", action="skip_changes")
    rt.session.execute("DELETE FROM src WHERE id BETWEEN 1000 AND 1004")  # rows it never got
    rt.session.commit()
    healed = refresh_all(rt)["t"]
    assert (healed.action, healed.status) == ("REINITIALIZE", "completed")
    oracle(rt, "t")
    assert state(rt, "t")["diverged"] is False


def test_in_a_chain_the_tables_above_wait(rt: Runtime, oracle: Oracle) -> None:
    rt.create_stream_table("a", SUMS, fuse="on", fuse_ceiling=10)
    rt.create_stream_table("b", "SELECT n, count(*) AS groups FROM a GROUP BY n")
    rt.create_stream_table("beside", SUMS)
    insert(rt, 50)
    results = refresh_all(rt)
    assert results["a"].status == results["b"].status == "skipped"
    assert "waiting for" in str(results["b"].reason)
    oracle(rt, "beside")
    waits = rt.session.execute(
        "SELECT stream_table, waiting_for FROM pgtrickle.stream_tables_status"
    )
    assert {one["stream_table"]: one["waiting_for"] for one in waits} == {
        "public.a": None,
        "public.b": ["public.a"],
        "public.beside": None,
    }
    rt.reset_fuse("a")
    refresh_all(rt)
    oracle(rt, "a")
    oracle(rt, "b")


def test_a_spike_through_a_stream_table_blows_the_fuse_above(rt: Runtime, oracle: Oracle) -> None:
    rt.create_stream_table("a", "SELECT id, grp, v FROM src WHERE v > 0")
    rt.create_stream_table(
        "b", "SELECT grp, sum(v) AS s FROM a GROUP BY grp", fuse="on", fuse_ceiling=20
    )
    insert(rt, 10)
    refresh_all(rt)
    oracle(rt, "b")
    insert(rt, 50, first=5000)
    results = refresh_all(rt)
    assert (results["a"].status, results["b"].status) == ("completed", "skipped")
    assert "50 pending changes" in str(state(rt, "b")["blow_reason"])
    oracle(rt, "a")
    rt.reset_fuse("b", action="skip_changes")
    assert refresh_all(rt)["b"].action == "NO_DATA"
    insert(rt, 5, first=9000)
    assert refresh_all(rt)["b"].status == "completed"
    rt.refresh("b", mode="full")
    oracle(rt, "b")


def make_diamond(rt: Runtime, *, fused: str, consistency: str = "atomic") -> None:
    options = {"fuse": "on", "fuse_ceiling": 20}
    queries = {
        "b": "SELECT id, grp, v AS n FROM src",
        "c": "SELECT id, v AS total FROM src",
        "d": "SELECT b.id, b.n, c.total FROM b JOIN c USING (id)",
    }
    for name, query in queries.items():
        given = options if name == fused else {}
        rt.create_stream_table(name, query, diamond_consistency=consistency, **given)


@pytest.mark.parametrize("fused", ["b", "d"])
def test_an_atomic_diamond_waits_together(rt: Runtime, oracle: Oracle, fused: str) -> None:
    make_diamond(rt, fused=fused)
    insert(rt, 50)
    for _ in range(2):
        assert {one.status for one in refresh_all(rt).values()} == {"skipped"}
        assert count(rt, "TABLE b") == count(rt, "TABLE c") == count(rt, "TABLE d") == 100
    assert state(rt, fused)["fuse_state"] == "blown"
    rt.reset_fuse(fused)
    assert {one.status for one in refresh_all(rt).values()} == {"completed"}
    for name in "bcd":
        oracle(rt, name)


def test_without_consistency_only_the_tables_above_wait(rt: Runtime, oracle: Oracle) -> None:
    make_diamond(rt, fused="b", consistency="none")
    insert(rt, 50)
    results = refresh_all(rt)
    assert [results[name].status for name in "bcd"] == ["skipped", "completed", "skipped"]
    oracle(rt, "c")
    rt.reset_fuse("b")
    refresh_all(rt)
    for name in "bcd":
        oracle(rt, name)


def test_skipping_at_the_end_of_a_diamond(rt: Runtime, oracle: Oracle) -> None:
    make_diamond(rt, fused="d")
    insert(rt, 50)
    refresh_all(rt)
    rt.reset_fuse("d", action="skip_changes")
    results = refresh_all(rt)
    assert results["d"].action == "SKIP_CHANGES"
    oracle(rt, "b")
    oracle(rt, "c")
    assert count(rt, "TABLE d") == 100
    assert state(rt, "d") | {"fuse_exempt": None} == {
        "fuse_state": "armed",
        "blow_reason": None,
        "diverged": True,
        "fuse_exempt": None,
        "reinit_reason": None,
    }
    insert(rt, 5, first=9000)
    assert refresh_all(rt)["d"].status == "completed"
    assert count(rt, "TABLE d") == 105
    rt.refresh("d", mode="full")
    oracle(rt, "d")


def test_reinitialize_in_a_diamond(rt: Runtime, oracle: Oracle) -> None:
    make_diamond(rt, fused="d")
    insert(rt, 50)
    refresh_all(rt)
    rt.reset_fuse("d", action="reinitialize")
    refresh_all(rt)
    for name in "bcd":
        oracle(rt, name)


def test_changed_options_apply(rt: Runtime, oracle: Oracle) -> None:
    rt.create_stream_table("t", SUMS)
    assert state(rt, "t")["fuse_state"] == "disabled"
    rt.alter_stream_table("t", fuse="on", fuse_ceiling=10)
    insert(rt, 50)
    assert refresh_all(rt)["t"].status == "skipped"
    rt.alter_stream_table("t", fuse_ceiling=1000)
    assert refresh_all(rt)["t"].status == "skipped"  # a higher ceiling is no reset
    rt.alter_stream_table("t", fuse="off")
    assert refresh_all(rt)["t"].status == "completed"
    oracle(rt, "t")
    with pytest.raises(InvalidConfig):
        rt.alter_stream_table("t", fuse="on", fuse_ceiling=None)


def test_errors_of_reset(rt: Runtime) -> None:
    rt.create_stream_table("t", SUMS, fuse="on", fuse_ceiling=10)
    with pytest.raises(FuseNotBlown):
        rt.reset_fuse("t")
    with pytest.raises(InvalidConfig):
        rt.reset_fuse("t", action="forget")


def test_it_stays_blown_while_a_user_writes_the_row(rt: Runtime, database: str) -> None:
    """Pausing in the middle changes nothing of the fuse, and resuming does not reset it."""
    rt.create_stream_table("t", SUMS, fuse="on", fuse_ceiling=10)
    insert(rt, 50)
    refresh_all(rt)
    rt.pause("t")
    rt.resume("t")
    assert refresh_all(rt)["t"].status == "skipped"
    assert state(rt, "t")["fuse_state"] == "blown"
