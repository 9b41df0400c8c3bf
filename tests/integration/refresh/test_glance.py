"""A second look equals a first one, or is none (``refresh/glance.py``, ``refresh/plans.py``)."""

from __future__ import annotations

import pytest

from tests.integration.refresh.conftest import TOTALS
from trickle_runtime.db.connection import connect
from trickle_runtime.refresh import glance, plans
from trickle_runtime.refresh.members import observe

TWICE = """
CREATE OR REPLACE FUNCTION twice(n numeric) RETURNS numeric
IMMUTABLE LANGUAGE sql AS 'SELECT {} * n'
"""
REGIONS = "SELECT region, total FROM totals WHERE total > 100"

# What an observation depends on, one thing each; a session that knows the tables must see it.
NOTICED = {
    "definition": "UPDATE pgtrickle.pgt_stream_tables SET fuse_mode = 'auto'",
    "setting": "UPDATE pgtrickle.pgt_settings SET value = '99' WHERE name = 'max_parse_depth'",
    "reader": "INSERT INTO pgtrickle.pgt_dependencies (pgt_id, source_relid, source_name,"
    " source_kind, source_pgt_id) SELECT 1, 1, 'x', 'stream_table', max(pgt_id)"
    " FROM pgtrickle.pgt_stream_tables",
    "gate": "INSERT INTO pgtrickle.pgt_gates (pgt_id, position, name, query)"
    " SELECT min(pgt_id), 1, 'g', 'SELECT' FROM pgtrickle.pgt_stream_tables",
    "fuse": "INSERT INTO pgtrickle.pgt_fuses (pgt_id, pending) SELECT min(pgt_id), 1"
    " FROM pgtrickle.pgt_stream_tables",
    "capture": "UPDATE pgtrickle.pgt_sources SET source_name = source_name",
    "buffer": "UPDATE pgtrickle.pgt_buffers SET version = version",
    "marker": "TRUNCATE orders CASCADE",
    "source renamed": "ALTER TABLE orders RENAME TO bestellungen",
    "source's schema renamed": "ALTER SCHEMA public RENAME TO private",
    "source dropped": "DROP TABLE orders CASCADE",
    "column renamed": "ALTER TABLE orders RENAME amount TO betrag",
    "column altered": "ALTER TABLE orders ALTER amount SET STATISTICS 50",
    "column added": "ALTER TABLE orders ADD extra int",
    "trigger disabled": "ALTER TABLE orders DISABLE TRIGGER USER",
    "child": "CREATE TABLE more () INHERITS (orders)",
    "parent": "CREATE TABLE above (LIKE orders); ALTER TABLE orders INHERIT above",
    "row security": "ALTER TABLE orders ENABLE ROW LEVEL SECURITY",
    "rights": "GRANT SELECT ON orders TO PUBLIC",
    "unlogged": "ALTER TABLE orders SET UNLOGGED",
    "own index": "CREATE UNIQUE INDEX ON totals (region)",
    "view": "CREATE OR REPLACE VIEW known AS SELECT id, region FROM customers WHERE id < 9",
    "function": TWICE.format(3),
    "frontier elsewhere": "UPDATE pgtrickle.pgt_frontiers SET version = version + 1",
    "other cluster": "UPDATE pgtrickle.pgt_frontiers SET system_identifier = 1",
}


@pytest.fixture
def tables(rt, sql, orders):
    """totals <- regions, over tables, a view and a function; the session has passed over them."""
    sql(
        "CREATE VIEW known AS SELECT id, region FROM customers",
        TWICE.format(2),
    )
    rt.create_stream_table(
        "totals", TOTALS.replace("customers", "known").replace("o.amount", "twice(o.amount)")
    )
    rt.create_stream_table("regions", REGIONS)
    for number in (101, 102):
        sql(f"INSERT INTO orders VALUES ({number}, 1, 10)")
        rt.refresh("regions")
    return [one.pgt_id for one in rt.status("regions")]


def looked(rt, tables):
    """What a look finds, and what an observation does, at one snapshot."""
    rt.session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    known = glance.look(rt.session, rt.schemas, tables)
    seen = observe(rt.session, rt.schemas, tables, past=True)
    rt.session.rollback()
    return known, seen


def test_a_look_equals_an_observation(rt, sql, tables):
    """Frontiers, pending changes of tables and of logs, the past, whoever made the changes."""
    for statement in (
        "SELECT",
        "UPDATE orders SET amount = amount + 1 WHERE id < 30",
        "INSERT INTO orders VALUES (200, 3, 5), (201, 4, 5); DELETE FROM orders WHERE id = 5",
        "UPDATE customers SET region = 'r9' WHERE id = 1",
    ):
        sql(statement)
        for name in ("totals", "regions"):  # pending in the log, then nowhere
            known, seen = looked(rt, tables)
            assert known is not None, (statement, name)
            assert without_rows(known.seen) == without_rows(seen)
            rt.refresh("regions")


def test_changes_of_the_table_below_are_seen_in_its_log(rt, sql, tables, other):
    sql("UPDATE orders SET amount = amount + 1000")
    rt.refresh("regions")
    sql("UPDATE orders SET amount = amount + 1")
    other.refresh("totals")
    known, seen = looked(rt, tables)
    assert known is None, "another session has refreshed a table"
    rt.refresh("regions")
    known, seen = looked(rt, tables)
    assert known is not None
    assert without_rows(known.seen) == without_rows(seen)


def test_a_table_without_sources_has_a_look_as_well(rt, tables, oracle):
    rt.create_stream_table("one", "SELECT 1 AS one")
    for mode in ("full", "full", None):
        rt.refresh("one", mode=mode)
    known, seen = looked(rt, [one.pgt_id for one in rt.status("one")])
    assert known is not None
    assert without_rows(known.seen) == without_rows(seen)
    oracle(rt, "one")


@pytest.mark.parametrize("what", NOTICED)
def test_what_changes_is_noticed(rt, sql, tables, what):
    known, _ = looked(rt, tables)
    assert known is not None
    sql(NOTICED[what])
    known, _ = looked(rt, tables)
    assert known is None


def test_a_pass_that_failed_is_forgotten(rt, sql, tables):
    known, _ = looked(rt, tables)
    assert known is not None
    sql(
        "ALTER TABLE totals ADD CHECK (total < 100000)",
        "UPDATE orders SET amount = 90000 WHERE id = 1",
    )
    outcome = rt.refresh_all()
    assert [one.status for one in outcome if one.name == "public.totals"] == ["failed"]
    known, _ = looked(rt, tables)
    assert known is None


def test_small_refreshes_are_planned_once(rt, sql, tables, oracle):
    """The delta and the look are prepared; what runs them after that is a name."""
    before = prepared(rt)
    assert before
    for number in range(300, 310):
        sql(f"INSERT INTO orders VALUES ({number}, 2, 7)")
        rt.refresh("regions")
        oracle(rt, "totals")
        oracle(rt, "regions")
    assert prepared(rt) == before
    sql("INSERT INTO orders SELECT i, 1, 1 FROM generate_series(1000, 10000) i")
    rt.refresh("regions")
    oracle(rt, "totals")
    assert prepared(rt) == before, "a large change is planned for itself"


def test_plans_that_are_too_many_are_let_go(rt, sql, tables, oracle, monkeypatch):
    monkeypatch.setattr(plans, "MOST", 2)
    rt.create_stream_table("biggest", "SELECT max(amount) AS biggest FROM orders")
    for number in range(300, 306):
        sql(f"INSERT INTO orders VALUES ({number}, 2, {number})")
        for name in ("regions", "biggest"):
            rt.refresh(name)
            oracle(rt, name)
    assert len(prepared(rt)) <= 2


def test_a_plan_that_has_become_slow_is_let_go(rt, sql, tables, monkeypatch):
    before = prepared(rt)
    monkeypatch.setattr(plans, "PATIENCE_MS", 0.0)
    monkeypatch.setattr(plans, "PATIENCE", 0.0)
    sql("INSERT INTO orders VALUES (300, 2, 7)")
    rt.refresh("regions")
    assert not before & prepared(rt) - looks(rt)


def test_somebody_discards_what_was_prepared(rt, sql, tables, oracle):
    rt.session.autocommit("DISCARD ALL")
    sql("INSERT INTO orders VALUES (300, 2, 7)")
    assert rt.refresh("regions").action == "DIFFERENTIAL"
    oracle(rt, "totals")
    for name in prepared(rt) - looks(rt):  # the look is there, the deltas are not
        rt.session.autocommit(f"DEALLOCATE {name}")
    sql("INSERT INTO orders VALUES (301, 2, 7)")
    assert rt.refresh("regions").action == "DIFFERENTIAL"
    oracle(rt, "regions")


def test_behind_a_pooler_nothing_is_kept(rt, tables):
    backend = rt.session.execute("SELECT pg_backend_pid() AS pid")[0]["pid"]
    assert plans.of(rt.session, backend) is not None
    assert plans.of(rt.session, backend + 1) is None


def test_settings_are_part_of_a_plan(rt, sql, database):
    """A literal means what it did under the settings of the table's own definition."""
    sql("CREATE TABLE moments (id int PRIMARY KEY, at timestamptz)")
    sessions = {}
    for zone in ("UTC", "Asia/Tokyo"):
        with connect(database) as session:
            session.execute(f"SET TimeZone = '{zone}'")
            session.commit()
            name = zone.split("/")[-1].lower()
            type(rt)(session).create_stream_table(
                name, "SELECT id FROM moments WHERE at < '2026-01-01 00:00'::timestamptz"
            )
            sessions[name] = zone
    for number, at in enumerate(("2025-12-31 20:00+00", "2025-12-31 10:00+00")):
        sql(f"INSERT INTO moments VALUES ({number}, '{at}')")
        for name in sessions:
            rt.refresh(name)
    assert {row["id"] for row in sql("SELECT id FROM utc")} == {0, 1}
    assert {row["id"] for row in sql("SELECT id FROM tokyo")} == {1}


def without_rows(seen):
    """An observation without the planner's estimates, which a look may have from earlier."""
    return {
        **{key: value for key, value in vars(seen).items() if key != "members"},
        "members": {
            one: {key: value for key, value in vars(member).items() if key not in {"rows", "past"}}
            | {"past": [(past.action, past.rows_in) for past in member.past]}
            for one, member in seen.members.items()
        },
    }


def prepared(rt):
    rows = rt.session.execute("SELECT name FROM pg_prepared_statements WHERE name LIKE 'pgt%'")
    rt.session.commit()
    return {row["name"] for row in rows}


def looks(rt):
    rows = rt.session.execute(
        "SELECT name FROM pg_prepared_statements WHERE statement LIKE '%pgt_stamp%'"
    )
    rt.session.commit()
    return {row["name"] for row in rows}
