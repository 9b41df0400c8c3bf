"""Partitioned stream tables under refreshes: exact, pruned, and rebuilt under their readers."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator

import psycopg
import pytest

from trickle_runtime.api import Runtime
from trickle_runtime.errors import HasDependants, InvalidConfig

Oracle = Callable[[Runtime, str], None]
ROWS = "SELECT id, day, region, v FROM src"
GROUPS = "SELECT day, region, count(*) AS n, sum(v) AS total FROM src GROUP BY day, region"
READ_IN_FULL = {(ROWS, "LIST:region"), (GROUPS, "RANGE:{day}:month")}
MOVING = "SELECT region, max(day) AS last, count(*) AS n FROM src GROUP BY region"


@pytest.fixture(autouse=True)
def source(rt: Runtime) -> None:
    rt.session.execute(
        "CREATE TABLE src (id int PRIMARY KEY, day date, region text, v int);"
        "INSERT INTO src SELECT g, date '2026-01-01' + g % 150, 'r' || g % 7, g % 11"
        " FROM generate_series(1, 300) g;"
        "INSERT INTO src VALUES (901, NULL, NULL, 1), (902, NULL, 'r1', NULL)"
    )
    rt.session.commit()


def write(rt: Runtime, statements: str) -> None:
    rt.session.execute(statements)
    rt.session.commit()


def partitions(rt: Runtime, name: str = "t") -> dict[str, int]:
    """Rows per partition."""
    rows = rt.session.execute(
        f"SELECT tableoid::regclass::text AS part, count(*) AS n FROM {name} GROUP BY 1"
    )
    rt.session.commit()
    return {one["part"]: one["n"] for one in rows}


def changes(rt: Runtime, seed: int) -> None:
    """A batch that inserts, moves rows between partitions, makes keys NULL and deletes."""
    chance = random.Random(seed)
    day = "date '2026-01-01' + (%s)"
    picked = [chance.randrange(1, 300) for _ in range(8)]
    write(
        rt,
        f"INSERT INTO src SELECT {1000 + seed * 20} + g, {day % (f'g * {chance.randrange(40)}')},"
        f" 'r' || g % 9, g FROM generate_series(1, 12) g;"
        f"UPDATE src SET day = day + {chance.randrange(-60, 60)}"
        f" WHERE id IN ({picked[0]}, {picked[1]});"
        f"UPDATE src SET day = NULL WHERE id IN ({picked[2]}, {picked[3]});"
        f"UPDATE src SET day = '2026-02-02' WHERE day IS NULL AND id = {picked[2]};"
        f"UPDATE src SET region = NULL WHERE id = {picked[4]};"
        f"UPDATE src SET region = 'new{seed}' WHERE id = {picked[5]};"
        f"DELETE FROM src WHERE id IN ({picked[6]}, {picked[7]}, {901 + seed % 2})",
    )


@pytest.mark.parametrize("query", [ROWS, GROUPS, MOVING, "SELECT day, region FROM src"])
@pytest.mark.parametrize(
    "partition_by",
    [
        "LIST:region",
        "HASH:region:3",
        "{day}",
        "{day},region",
        "RANGE:{day}:month",
        "RANGE:{day}:week",
    ],
)
def test_exact_under_every_kind_of_change(
    rt: Runtime, oracle: Oracle, query: str, partition_by: str
) -> None:
    text = partition_by.format(day="last" if query == MOVING else "day")
    mode = "full" if (query, partition_by) in READ_IN_FULL else "differential"
    rt.create_stream_table("t", query, partition_by=text, refresh_mode=mode)
    oracle(rt, "t")
    for seed in range(3):
        changes(rt, seed)
        assert rt.refresh("t").status == "completed"
        oracle(rt, "t")
    write(rt, "TRUNCATE src")
    rt.refresh("t")
    oracle(rt, "t")


def test_rows_move_between_partitions(rt: Runtime, oracle: Oracle) -> None:
    rt.create_stream_table("t", MOVING, partition_by="RANGE:last:month")
    assert set(partitions(rt)) == {"t_p202605"} or "t_default" in partitions(rt)
    write(rt, "INSERT INTO src VALUES (999, '2027-08-15', 'r3', 1)")
    done = rt.refresh("t")
    assert (done.inserted, done.updated, done.deleted) == (0, 1, 0)
    assert partitions(rt)["t_p202708"] == 1
    oracle(rt, "t")
    write(rt, "DELETE FROM src WHERE id = 999")
    rt.refresh("t")
    assert "t_p202708" not in partitions(rt)
    oracle(rt, "t")


def test_null_keys_go_to_the_default_partition(rt: Runtime, oracle: Oracle) -> None:
    rt.create_stream_table("t", ROWS, partition_by="RANGE:day:month")
    assert partitions(rt)["t_default"] == 2
    write(
        rt,
        "UPDATE src SET day = NULL WHERE id = 5; UPDATE src SET day = '2026-03-03' WHERE id = 901",
    )
    rt.refresh("t")
    assert partitions(rt)["t_default"] == 2
    oracle(rt, "t")


def test_months_are_made_as_they_come(rt: Runtime, oracle: Oracle) -> None:
    rt.create_stream_table("t", ROWS, partition_by="RANGE:day:month")
    assert len(partitions(rt)) == 6
    write(rt, "INSERT INTO src VALUES (999, '2031-12-31', 'x', 1)")
    rt.refresh("t")
    assert partitions(rt)["t_p203112"] == 1
    oracle(rt, "t")


def test_a_replaced_relation_leaves_no_odd_names(rt: Runtime) -> None:
    write(rt, "CREATE VIEW t AS SELECT 1 AS x")
    rt.create_stream_table("t", ROWS, partition_by="HASH:id:2", replace_relation=True)
    assert set(partitions(rt)) == {"t_p0", "t_p1"}


def plan_of_apply(rt: Runtime, changes: str) -> str:
    """EXPLAIN ANALYZE of the statement that a refresh runs, with these changes pending."""
    write(rt, changes)
    rt.refresh("t")  # compiles
    session = rt.session
    steps = session.execute("SELECT steps FROM pgtrickle.pgt_compiled WHERE changed <> 'full'")
    frontier = session.execute("SELECT snapshot::text AS s FROM pgtrickle.pgt_frontiers")[0]["s"]
    session.commit()
    again = re.sub(r"\b999\b", "998", changes)
    settings = {"frontier": frontier, "refreshing": "on", "refresh_no": "99"}
    for name, value in settings.items():
        session.execute(
            "SELECT set_config(%(name)s, %(value)s, true)",
            {"name": f"pgtrickle.{name}", "value": value},
        )
    session.execute(again)
    *before, (_, apply) = steps[0]["steps"]
    for _, statement in before:
        session.execute(statement)
    lines = session.execute(f"EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) {apply}")
    session.rollback()
    return "\n".join(one["QUERY PLAN"] for one in lines)


def read_partitions(plan: str, marker: str) -> set[str]:
    """The partitions that the plan has really scanned in the given way."""
    scans = re.findall(rf"{marker}.* on (t_\w+)[^\n]*\((actual|never)[^\n]*", plan)
    return {name for name, how in scans if how == "actual"}


BY_REGION = "SELECT region, count(*) AS n, sum(v) AS s FROM src GROUP BY region"
ATTACHED = {
    "day": {"t_q2": "FROM ('2030-01-01') TO ('2031-01-01')"},
    "LIST:region": {"t_q2": "IN ('q1', 'q2')", "t_q3": "IN ('q3', 'q4')"},
    "region,day": {
        "t_q2": "FROM ('q', '2026-01-01') TO ('q', '2027-01-01')",
        "t_q3": "FROM ('s', MINVALUE) TO ('z', MAXVALUE)",
    },
}


@pytest.mark.parametrize(
    ("query", "partition_by"),
    [
        (GROUPS, "RANGE:day:month"),
        (ROWS, "RANGE:day:month"),
        ("SELECT day, region FROM src", "day"),
        (ROWS, "HASH:id:8"),
        (BY_REGION, "LIST:region"),
        (GROUPS, "region,day"),
    ],
)
def test_partitions_are_pruned(rt: Runtime, query: str, partition_by: str) -> None:
    write(
        rt,
        "DELETE FROM src WHERE day IS NULL;"
        "INSERT INTO src SELECT g, date '2026-01-01' + g % 150, 'r' || g % 15000, g"
        " FROM generate_series(1001, 30000) g; ANALYZE src",
    )
    rt.create_stream_table("t", query, partition_by=partition_by, refresh_mode="differential")
    for name, values in ATTACHED.get(partition_by, {}).items():
        write(
            rt,
            f"BEGIN; CREATE TABLE {name} (LIKE t); ALTER TABLE t ATTACH PARTITION {name}"
            f" FOR VALUES {values}; COMMIT",
        )
    plan = plan_of_apply(rt, "INSERT INTO src VALUES (999, '2026-02-02', 'r1', 5)")
    touched = read_partitions(plan, "Scan")
    if partition_by.startswith("HASH"):
        assert len(touched) <= 1, plan
    else:
        assert touched <= {"t_p202602", "t_default"}, plan


def test_list_and_hash_place_rows(rt: Runtime) -> None:
    rt.create_stream_table("t", ROWS, partition_by="HASH:id:3")
    assert set(partitions(rt)) == {"t_p0", "t_p1", "t_p2"}
    rt.create_stream_table("u", ROWS, partition_by="LIST:region")
    assert partitions(rt, "u") == {"u_default": 302}


@pytest.mark.parametrize("wrong", ["LIST:nope", "RANGE:region:month", "HASH:id:1", "SPLIT:id"])
def test_wrong_specs_create_nothing(rt: Runtime, wrong: str) -> None:
    with pytest.raises(InvalidConfig):
        rt.create_stream_table("t", ROWS, partition_by=wrong)
    assert rt.session.execute("SELECT to_regclass('t') AS r") == [{"r": None}]
    rt.create_stream_table("t", ROWS)
    with pytest.raises(InvalidConfig):
        rt.alter_stream_table("t", partition_by=wrong)


@pytest.mark.parametrize(
    "texts",
    [
        ["HASH:id:4", "HASH:id:8", None, "RANGE:day:month", "RANGE:day:year", "day"],
        [None, "LIST:region", "id,day", None],
    ],
)
def test_changed_partitioning_keeps_everything_going(
    rt: Runtime, oracle: Oracle, database: str, texts: list[str | None]
) -> None:
    first, *others = texts
    rt.create_stream_table("t", ROWS, partition_by=first)
    rt.create_stream_table("above", "SELECT region, sum(v) AS s FROM t GROUP BY region")
    write(
        rt,
        "CREATE VIEW v AS SELECT region, count(*) AS n FROM t GROUP BY region;"
        "CREATE INDEX by_v ON t (v)",
    )
    for number, text in enumerate(others):
        changed = rt.alter_stream_table("t", partition_by=text)
        assert changed.changed == ("partition_by",)
        assert rt.session.execute("SELECT sum(n) AS n FROM v")[0]["n"] > 0
        oracle(rt, "t")
        oracle(rt, "above")
        changes(rt, number)
        assert {one.status for one in rt.refresh_all()} == {"completed"}
        oracle(rt, "t")
        oracle(rt, "above")
        index = rt.session.execute("SELECT count(*) AS n FROM pg_indexes WHERE indexname = 'by_v'")
        assert index == [{"n": 1}]
        assert rt.alter_stream_table("t", partition_by=text).action == "unchanged"


def test_what_cannot_follow_stops_the_change(rt: Runtime, oracle: Oracle) -> None:
    rt.create_stream_table("t", ROWS)
    write(rt, "CREATE MATERIALIZED VIEW m AS SELECT * FROM t")
    with pytest.raises(HasDependants, match=r"materialized view public\.m"):
        rt.alter_stream_table("t", partition_by="HASH:id")
    assert rt.alter_stream_table("t", schedule="5m").action == "altered"
    changes(rt, 1)
    rt.refresh("t")
    oracle(rt, "t")


@pytest.fixture
def alerts(database: str) -> Iterator[Callable[[], list[dict[str, object]]]]:
    with psycopg.connect(database, autocommit=True) as listener:
        listener.execute("LISTEN pgtrickle_alert")

        def received() -> list[dict[str, object]]:
            found = [json.loads(one.payload) for one in listener.notifies(timeout=0.2)]
            return [one for one in found if one["event"] == "default_partition_growth"]

        yield received


def test_a_growing_default_partition_is_told(
    rt: Runtime, alerts: Callable[[], list[dict[str, object]]], oracle: Oracle
) -> None:
    rt.create_stream_table("t", ROWS, partition_by="day")
    alerts()
    rt.session.execute("DELETE FROM pgtrickle.pgt_alerts")
    write(rt, "INSERT INTO src VALUES (999, '2026-03-17', 'x', 1)")
    rt.refresh("t")
    (alert,) = alerts()
    assert alert["partition"] == "public.t_default"
    assert "ATTACH PARTITION" in str(alert["example_ddl"])
    rt.session.rollback()
    write(rt, str(alert["example_ddl"]))
    write(rt, "UPDATE src SET v = 2 WHERE id = 999; DELETE FROM src WHERE id = 5")
    rt.refresh("t")
    assert alerts() == []
    oracle(rt, "t")
