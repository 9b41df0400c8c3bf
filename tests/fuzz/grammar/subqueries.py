"""Subqueries in expressions: tests (EXISTS, IN, ANY, ALL) and scalars.

Invariant: a scalar subquery has one row at most, save for the rare ``several``, whose error
PostgreSQL raises for the query as well.
"""

from __future__ import annotations

from dataclasses import replace

from tests.fuzz import sqltypes
from tests.fuzz.grammar import conditions, queries, selects, values
from tests.fuzz.grammar.gen import Env, Expr, Gen, Relation, Want, exact
from tests.fuzz.sqltypes import SqlType

_QUANTIFIED = ("=", "<>", "<", "<=", ">", ">=")


def test(g: Gen, env: Env) -> str:
    """A truth value from a query."""
    how = g.choose(
        "test",
        exists=3,
        not_exists=2,
        in_=3,
        not_in=2,
        several=1,
        not_several=0.7,
        any_=3,
        all_=2.5,
    )
    if how in {"exists", "not_exists"}:
        text = f"EXISTS ({_rows(g, env, [Want()])})"
        return text if how == "exists" else f"(NOT {text})"
    if how in {"several", "not_several"}:
        return _several(g, env, "NOT IN" if how == "not_several" else "IN")
    left = _left(g, env)
    rows = _rows(g, env, [Want(left.type)])
    if how in {"in_", "not_in"}:
        return f"({left.sql} {'NOT IN' if how == 'not_in' else 'IN'} ({rows}))"
    quantifier = g.pick(("ANY", "SOME")) if how == "any_" else "ALL"
    text = f"({left.sql} {g.pick(_QUANTIFIED)} {quantifier} ({rows}))"
    return f"(NOT {text})" if g.chance("test.negated", 0.25) else text


def scalar(g: Gen, env: Env, type_: SqlType) -> Expr:
    """A value from a query."""
    how = g.choose("scalar", aggregate=5, first=1.5, keyed=1, constant=0.4, several=0.15)
    outer = _outer(g, env)
    if how == "keyed":
        found = _keyed(g, env, type_)
        if found is not None:
            return found
    if how == "constant":
        text = queries.constant(g, [Want(type_)], outer, env.depth - 1).sql
    elif how == "first":
        text = selects.first(g, Want(type_), outer, env.depth - 1).sql
    elif how == "several":
        text = queries.query(g, [Want(type_)], outer, env.depth - 1).sql
    else:
        text = selects.lone(g, Want(type_), outer, env.depth - 1).sql
    return Expr(f"({text})", type_, type_.exact)


def _rows(g: Gen, env: Env, want: list[Want]) -> str:
    return queries.query(g, want, _outer(g, env), env.depth - 1).sql


def _outer(g: Gen, env: Env) -> tuple[Expr, ...]:
    return env.correlated if g.chance("subquery.correlated", 0.65) else ()


def _left(g: Gen, env: Env) -> Expr:
    left = values.anything(g, replace(env, depth=0), 1)
    if left.type is sqltypes.JSONB:
        return exact(left)  # DISTINCT and UNION inside show texts
    return left if left.type.ordered else values.value(g, replace(env, depth=0), sqltypes.INT, 1)


def _several(g: Gen, env: Env, operator: str) -> str:
    left = [_left(g, env) for _ in range(2)]
    rows = _rows(g, env, [Want(one.type) for one in left])
    return f"(({left[0].sql}, {left[1].sql}) {operator} ({rows}))"


def _keyed(g: Gen, env: Env, type_: SqlType) -> Expr | None:
    """The row of a table that has the given key."""
    keyed = [one for one in g.relations if one.key == ("id",)]
    if not keyed:
        return None
    chosen = g.pick(keyed)
    relation = Relation(g.alias("k"), chosen.columns, chosen.key)
    key = values.leaf(g, replace(env, special=None), sqltypes.INT)
    inner = Env(relation.expressions(), env.correlated)
    shown = values.value(g, inner, type_, 1).sql
    test_ = f"{relation.name}.id = {key.sql}"
    if g.chance("scalar.residual", 0.3):
        test_ += f" AND {conditions.condition(g, inner, 0)}"
    text = f"SELECT {shown} FROM {chosen.name} AS {relation.name} WHERE {test_}"
    return Expr(f"({text})", type_, type_.exact)
