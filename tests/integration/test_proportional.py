"""A small change reads few rows of large tables (rules_in_sql B1 to B10).

Each case has tables of 20,000 to 40,000 rows and changes one or few of them; what a refresh reads
of all tables but the catalog's is counted by the server's own statistics.
"""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.once

ROWS = 40_000
FEW = 6_500  # a state table of 2,000 groups is read as a whole, up to three times
SETUP = f"""
CREATE TABLE f (id int PRIMARY KEY, k int, v int, at timestamptz);
INSERT INTO f SELECT i, i % 2000, i, now() - i * interval '1 hour'
    FROM generate_series(1, {ROWS}) i;
UPDATE f SET k = NULL WHERE id % 100 = 0;
CREATE INDEX ON f (k); CREATE INDEX ON f (v); CREATE INDEX ON f (at);
CREATE TABLE d (k int PRIMARY KEY, name text, w int);
INSERT INTO d SELECT i, 'n' || i, i FROM generate_series(0, 19999) i;
CREATE TABLE hot (k int, x int); INSERT INTO hot SELECT 7, i FROM generate_series(1, {ROWS}) i;
CREATE INDEX ON hot (k);
CREATE TABLE same (a int, b text); INSERT INTO same SELECT 1, 'x' FROM generate_series(1, {ROWS});
CREATE INDEX ON d (w);
VACUUM ANALYZE f, d, hot, same;
"""
STAR = ", ".join(f"d d{n}" for n in range(8))
KEYS = " AND ".join(f"d{n}.k = f.k" for n in range(8))

CASES = {
    "B1_nullable_key": (
        "SELECT f.id FROM f WHERE EXISTS (SELECT FROM d WHERE d.k = f.k AND d.w > 5)",
        "UPDATE d SET w = 0 WHERE k = 77",
    ),
    "B1_outer_join": (
        "SELECT f.id, d.name FROM f LEFT JOIN d ON d.k = f.k",
        "DELETE FROM d WHERE k = 77; INSERT INTO f VALUES (0, NULL, 1), (-1, 5, 1)",
    ),
    "B2_hot_key": (
        "SELECT d.k FROM d WHERE EXISTS (SELECT FROM hot WHERE hot.k = d.k)",
        "DELETE FROM hot WHERE x = 5",
    ),
    "B3_nothing_flips": (
        "SELECT hot.x FROM hot WHERE EXISTS (SELECT FROM d WHERE d.k = hot.k AND d.w > 5)",
        "UPDATE d SET w = w + 1 WHERE k = 7",
    ),
    "B4_scalar_that_moves": (
        "SELECT id FROM f WHERE v > (SELECT max(w) + 9 FROM d)",
        "UPDATE d SET w = 20005 WHERE k = 1999",
    ),
    "B6_not_in": (
        "SELECT f.id FROM f WHERE f.v NOT IN (SELECT w FROM d WHERE w IS NOT NULL)",
        "UPDATE d SET w = 5001 WHERE k = 3",
    ),
    "B7_window": (
        "SELECT id, row_number() OVER (PARTITION BY k ORDER BY v) AS n FROM f",
        "UPDATE f SET v = 0 WHERE id = 77",
    ),
    "B7_distinct_on": (
        "SELECT DISTINCT ON (k) k, v FROM f ORDER BY k, v DESC",
        "DELETE FROM f WHERE id = 77",
    ),
    "B8_star": (
        "SELECT f.id FROM f, d a, d b, d c WHERE a.k = f.k AND b.k = f.v % 7 AND c.k = f.k",
        "UPDATE d SET name = 'x', w = 1 WHERE k = 77; DELETE FROM f WHERE id = 77",
    ),
    "B9_many_inputs": (
        f"SELECT f.id FROM f, {STAR} WHERE {KEYS}",
        "UPDATE f SET v = 1 WHERE id = 77; INSERT INTO f VALUES (0, 9, 9)",
    ),
    "B10_identical_rows": ("SELECT a, b FROM same", "DELETE FROM same WHERE ctid = '(0,1)'"),
    "extremum": (
        "SELECT k, max(v) AS v, count(*) AS n FROM f GROUP BY k",
        "DELETE FROM f WHERE id = 38077",
    ),
    "aggregate_of_a_join": (
        "SELECT d.name, sum(f.v) AS s FROM f JOIN d USING (k) GROUP BY d.name",
        "UPDATE d SET name = 'other' WHERE k = 77",
    ),
    "union_and_except": (
        "SELECT v FROM f UNION SELECT w FROM d EXCEPT SELECT k FROM d",
        "UPDATE d SET w = 50000 WHERE k = 77",
    ),
}


@pytest.fixture
def tables(rt):
    for statement in SETUP.split(";"):
        if statement.strip():
            rt.session.autocommit(statement)
    return rt


def read(rt, act) -> int:
    """Rows that ``act`` reads, of tables that are not the catalog's."""
    query = (
        "SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint AS n"
        " FROM pg_stat_user_tables WHERE schemaname IN ('public', 'pgtrickle_state')"
    )

    def count() -> int:
        rt.session.execute("SELECT pg_stat_force_next_flush()")
        rt.session.commit()
        found = rt.session.execute(query)[0]["n"]
        rt.session.commit()
        return found

    before = count()
    act()
    return count() - before


@pytest.mark.parametrize("name", CASES)
def test_a_small_change_reads_little(tables, oracle, name):
    rt = tables
    query, change = CASES[name]
    rt.create_stream_table("public.st", query)
    rt.session.execute("ANALYZE st")
    rt.session.execute(change)
    rt.session.commit()

    def refresh() -> None:
        assert rt.refresh("st", mode="differential").action == "DIFFERENTIAL"

    assert read(rt, refresh) < FEW
    oracle(rt, "st")


def test_time_that_passes_reads_what_it_lets_in(tables, oracle):
    """B5."""
    rt = tables
    rt.create_stream_table("public.st", "SELECT id FROM f WHERE at > now() - interval '400 days'")
    rt.refresh("st")
    assert read(rt, lambda: rt.refresh("st", mode="differential")) < FEW
    assert rt.verify("st").equal
