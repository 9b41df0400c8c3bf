"""What is too much for one query, measured before anything recurses."""

from __future__ import annotations

import time

import pytest

from trickle_runtime.analysis import limits
from trickle_runtime.errors import InvalidConfig, QueryTooComplex

TOO_COMPLEX = {
    "parentheses": ("SELECT " + "(" * 10_000 + "1" + ")" * 10_000, "levels"),
    "case": ("SELECT " + "CASE WHEN a THEN " * 65 + "1" + " END" * 65, "levels"),
    "subqueries": ("SELECT * FROM " + "(SELECT * FROM " * 65 + "t" + ") q" * 65, "levels"),
    "a chain": ("SELECT " + "+".join(["a"] * 10_001) + " FROM t", "operators"),
    "joins": ("SELECT 1 FROM t" + " JOIN t USING (id)" * 500, "relations"),
    "a list of tables": ("SELECT 1 FROM " + ", ".join(["t"] * 500) + " WHERE true", "relations"),
    "size": ("SELECT '" + "x" * 5_000_000 + "'", "characters"),
}
FINE = {
    "constants in a list": "SELECT 1 FROM t WHERE a IN (" + ", ".join(["1"] * 5_000) + ")",
    "columns": "SELECT " + ", ".join(f"a + {n} AS c{n}" for n in range(1_000)) + " FROM t, u",
    "from that is no clause": "SELECT "
    + ", ".join(["extract(year FROM d), a IS DISTINCT FROM b, substring(s FROM 2)"] * 300)
    + " FROM t",
    "what stands in quotes": "SELECT '" + "((((((((((" * 30 + "', $a$" + "(" * 300 + "$a$ -- ((((",
    "branches": "SELECT CASE " + "WHEN a = 1 AND b = 2 THEN c + 1 " * 600 + "END FROM t",
    "conditions": "SELECT 1 FROM t WHERE " + " AND ".join(["a <> 1"] * 400),
}


@pytest.mark.parametrize("name", TOO_COMPLEX)
def test_too_complex(name: str) -> None:
    query, what = TOO_COMPLEX[name]
    started = time.perf_counter()
    with pytest.raises(QueryTooComplex) as raised:
        limits.check(query, 64)
    assert time.perf_counter() - started < 1
    assert what in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize("name", FINE)
def test_fine(name: str) -> None:
    limits.check(FINE[name], 64)


def test_the_depth_is_a_setting() -> None:
    query = "SELECT " + "(" * 70 + "1" + ")" * 70
    limits.check(query, limits.number({"max_parse_depth": "80"}, "max_parse_depth", 64))
    with pytest.raises(InvalidConfig, match="max_parse_depth"):
        limits.number({"max_parse_depth": "deep"}, "max_parse_depth", 64)
