"""Conditions of WHERE, HAVING, ON, FILTER and CASE."""

from __future__ import annotations

from tests.fuzz import sqltypes
from tests.fuzz.grammar import subqueries, templates, values
from tests.fuzz.grammar.gen import Env, Expr, Gen
from tests.fuzz.sqltypes import comparable

OPERATORS = ("=", "=", "<>", "<>", "<", "<=", ">", ">=", "<=", ">=")


def condition(g: Gen, env: Env, size: int = 1) -> str:
    """A condition over the environment."""
    how = g.choose(
        "condition",
        comparison=5.0,
        template=3.0,
        subquery=2.2 if env.depth > 0 else 0.0,
        junction=1.6 if size > 0 else 0.0,
        correlated=3.0 if env.outer and env.leaves else 0.0,
    )
    if how == "subquery" and g.spend():
        return subqueries.test(g, env)
    if how == "junction":
        return junction(g, env, size - 1)
    if how == "correlated":
        return correlated(g, env)
    if how == "template":
        return values.filled(
            g, env, values.fitting(g, env, templates.SCALAR["bool"]), max(0, size - 1)
        )
    return comparison(g, env, size)


def comparison(g: Gen, env: Env, size: int = 1) -> str:
    """Two values of types that compare."""
    one = values.anything(g, env, max(0, size - 1))
    while not one.type.ordered:
        one = values.value(g, env, sqltypes.INT, size)
    other = values.value(g, env, one.type, max(0, size - 1))
    if other.sql == one.sql:
        other = values.value(g, env, one.type, size)
    return f"({one.sql} {_operator(g)} {other.sql})"


def correlated(g: Gen, env: Env) -> str:
    """A column of ours against one of the queries around."""
    pairs = matches(env.leaves, env.outer)
    if not pairs:
        return comparison(g, env)
    one, other = g.pick(pairs)
    return f"({one.sql} {_operator(g)} {other.sql})"


def junction(g: Gen, env: Env, size: int) -> str:
    """AND, OR, NOT, and tests of a truth value."""
    first = condition(g, env, size)
    second = condition(g, env, size)
    how = g.choose("junction", and_=3, or_=3, not_=1.5, is_=1, case=0.6)
    return {
        "and_": f"({first} AND {second})",
        "or_": f"({first} OR {second})",
        "not_": f"(NOT {first})",
        "is_": f"({first} IS {g.pick(('TRUE', 'NOT TRUE', 'FALSE', 'UNKNOWN', 'NOT FALSE'))})",
        "case": f"CASE WHEN {first} THEN {second} ELSE {g.pick(('true', 'false', 'NULL'))} END",
    }[how]


def matches(left: tuple[Expr, ...], right: tuple[Expr, ...]) -> list[tuple[Expr, Expr]]:
    """Pairs that compare."""
    return [(a, b) for a in left for b in right if comparable(a.type, b.type)]


def _operator(g: Gen) -> str:
    if g.chance("condition.null_safe", 0.08):
        return g.pick(("IS DISTINCT FROM", "IS NOT DISTINCT FROM"))
    return g.pick(OPERATORS)
