"""Canonical text must come back word for word."""

from __future__ import annotations

import pytest
from sqlglot import exp

from trickle_runtime.compiler.dialect import flatten, parse, render
from trickle_runtime.compiler.volatility import function_names

KEPT = [
    'SELECT "substring"(s, 1, 2) AS c FROM public.t',
    "SELECT SUBSTRING(s FROM 1 FOR 2) AS c FROM public.t",
    'SELECT "left"(s, 2) AS c FROM public.t',
    "SELECT (s !~ x) AS c FROM public.t",
    "SELECT (s !~* x) AS c FROM public.t",
    "SELECT (s ^@ x) AS c FROM public.t",
    "SELECT (a ^ b) AS c FROM public.t",
    "SELECT (|/ f) AS c FROM public.t",
    "SELECT (b IS NOT TRUE) AS c FROM public.t",
    "SELECT date_part('dow', ts) AS c FROM public.t",
    "SELECT date_trunc('day', ts) AS c FROM public.t",
    "SELECT EXTRACT(year FROM d) AS c FROM public.t",
    "SELECT my_func(a, b) AS c FROM public.t",
    "SELECT count(*) FILTER (WHERE (a > 1)) AS c FROM public.t",
    "SELECT ARRAY[(SELECT 1), b] AS c, ARRAY[(SELECT 2)] AS d FROM public.t",
    "SELECT a FROM (LATERAL (SELECT 1 AS a) AS l JOIN public.t ON (true))",
    "WITH RECURSIVE r(a, b) AS (SELECT 1, 2 UNION ALL SELECT a, b FROM r) "
    "SEARCH DEPTH FIRST BY a, b SET o CYCLE b, a SET c USING p SELECT a FROM r",
    "WITH RECURSIVE r(a) AS (SELECT 1 UNION ALL SELECT a FROM r) "
    "CYCLE a SET c USING p SELECT a FROM r",
]


@pytest.mark.parametrize("text", KEPT)
def test_text_comes_back(text: str) -> None:
    again = render(parse(text))
    assert again.lower().replace(" ", "") == text.lower().replace(" ", "")


def test_explicit_not_is_kept_apart_from_is_not() -> None:
    assert "NOT (b IS TRUE)" in render(parse("SELECT (NOT (b IS TRUE)) AS c FROM public.t"))


def test_qualified_aggregate_with_filter_is_a_function_not_a_column() -> None:
    tree = parse("SELECT public.glued(x) FILTER (WHERE (x > 1)) AS g FROM public.w")
    assert list(function_names(tree)) == ["public.glued"]
    assert {column.name for column in tree.find_all(exp.Column)} == {"x"}
    assert render(tree) == "SELECT public.glued(x) FILTER(WHERE (x > 1)) AS g FROM public.w"


def test_chains_of_and_lose_their_inner_parentheses() -> None:
    nested = parse(
        "SELECT a FROM public.t WHERE (((a > 1) AND (b > 2)) AND ((c) OR ((d) OR (e))))"
    )
    flat = parse("SELECT a FROM public.t WHERE ((a > 1) AND (b > 2) AND ((c) OR (d) OR (e)))")
    assert render(flatten(nested)) == render(flatten(flat))
    other = parse("SELECT a FROM public.t WHERE ((a > 1) AND ((b > 2) OR (c)))")
    assert render(flatten(other)) == render(other)


def test_other_statements_are_no_queries() -> None:
    with pytest.raises(TypeError):
        parse("DELETE FROM public.t")
