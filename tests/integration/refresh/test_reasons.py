"""Every reason code, by a query that gets it; those without a query are named, with why."""

from __future__ import annotations

import pytest

from trickle_runtime.compiler.reasons import HINTS

pytestmark = pytest.mark.once

SETUP = """
CREATE TABLE a (id int PRIMARY KEY, k int, ts timestamptz, words tsvector);
CREATE TABLE b (id int PRIMARY KEY, k int);
CREATE TABLE heir (extra int) INHERITS (b);
CREATE MATERIALIZED VIEW kept AS SELECT k FROM b;
CREATE FUNCTION owned(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT $1';
"""
SETS = ", ".join(f"CUBE (a.id, a.k, a.ts, a.id + {number})" for number in range(2))

QUERIES = {
    "SUBQUERY": "SELECT id, ARRAY(SELECT b.k FROM b WHERE b.id > a.k ORDER BY b.k LIMIT 2) AS n"
    " FROM a",
    "LIMIT": "SELECT id FROM a LIMIT 3",
    "GROUPING_SETS": f"SELECT count(*) AS n FROM a GROUP BY {SETS}",
    "RECURSIVE": "WITH RECURSIVE r AS (SELECT k AS x FROM b UNION ALL SELECT r.x + 1 FROM r"
    " WHERE r.x < 3) CYCLE x SET looped USING path SELECT x FROM r",
    "SET_RETURNING": "SELECT unnest(ARRAY[generate_series(1, k)]) AS n FROM a",
    "TABLE_SAMPLE": "SELECT id FROM a TABLESAMPLE BERNOULLI (50)",
    "VOLATILE_FUNCTION": "SELECT id, random() AS r FROM a",
    "STABLE_FUNCTION": "SELECT id, to_char(ts, 'D') AS d, current_user AS u FROM a",
    "USER_FUNCTION": "SELECT id, public.owned(k) AS n FROM a",
    "SYSTEM_CATALOG": "SELECT relname FROM pg_class",
    "POLLED_SOURCE": "SELECT k FROM kept",
    "SYSTEM_COLUMN": "SELECT id, ctid::text AS place FROM a",
    "ONLY": "SELECT a.id FROM a JOIN ONLY b USING (k)",
    "WHOLE_ROW": "SELECT id, f IS NULL AS empty"
    " FROM a, ROWS FROM (generate_series(1, id), generate_series(1, 2)) AS f",
    "KEY_TYPE": "SELECT words, count(*) AS n FROM a GROUP BY words",
    "ROW_LOCK": "SELECT id FROM a FOR UPDATE",
    "UNSUPPORTED": "SELECT x.k FROM (a JOIN b USING (k)) AS x",
}
# What only a defect, of ours or of the parser, can lead to; and rights, in test_unprivileged.
ELSEWHERE = {"PARSE_FIDELITY", "INTERNAL", "HIDDEN_SOURCE", "TOO_DEEP"}


@pytest.mark.parametrize("code", QUERIES)
def test_a_query_gets_the_reason(rt, sql, code):
    sql(SETUP)
    checks = {one.check_name: one.result for one in rt.validate_query(QUERIES[code])}
    assert HINTS[code] in checks.get(code, ""), checks


def test_every_code_has_a_query():
    assert set(QUERIES) | ELSEWHERE == set(HINTS)
