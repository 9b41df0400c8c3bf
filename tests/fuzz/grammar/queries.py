"""Queries of every shape."""

from __future__ import annotations

from collections.abc import Sequence

from tests.fuzz import sqltypes
from tests.fuzz.grammar import conditions, recursion, selects, set_operations
from tests.fuzz.grammar import values as expressions
from tests.fuzz.grammar.gen import Column, Env, Expr, Gen, Query, Relation, Want
from tests.fuzz.grammar.gen import exact as exactly

_TYPES = (sqltypes.INT, sqltypes.INT, sqltypes.TEXT, sqltypes.NUM2, sqltypes.DATE, sqltypes.BOOL)


def query(g: Gen, want: Sequence[Want], outer: Sequence[Expr], depth: int) -> Query:
    """A query whose columns are as wanted; it may use the columns of ``outer``."""
    deep = depth > 0
    how = g.choose(
        "query",
        select=10.0,
        set_operation=2.0 if deep else 0.6,
        with_=1.2 if deep else 0.0,
        recursive=0.45 if deep else 0.0,
        values=0.2,
        constant=0.25,
    )
    if how == "set_operation":
        return set_operations.combined(g, want, outer, depth)
    if how == "with_":
        return _with(g, want, outer, depth)
    if how == "recursive":
        return recursion.recursive(g, want, outer, depth)
    if how == "values":
        return values(g, want)
    if how == "constant":
        return constant(g, want, outer, depth)
    return selects.select(g, want, outer, depth)


def statement(g: Gen, depth: int) -> Query:
    """The query of a stream table."""
    found = query(g, [Want() for _ in range(g.pick((1, 2, 2, 3, 3, 4)))], (), depth)
    if g.chance("statement.odd_names", 0.04):
        names = ['"Mixed Case"', '"select"', '"ß"', '"a""b"'][: len(found.columns)]
        return Query(f"SELECT * FROM ({found.sql}) AS q({', '.join(names)})", found.columns)
    return found


def values(g: Gen, want: Sequence[Want]) -> Query:
    """VALUES."""
    types = [one.type or g.pick(_TYPES) for one in want]
    lines: list[str] = []
    for _ in range(g.pick((1, 2, 2, 3))):
        row = [_constant(g, type_, one.exact) for type_, one in zip(types, want, strict=True)]
        lines.append(f"({', '.join(expr.sql for expr in row)})")
        shown = row
    columns = tuple(Column(f"column{i}", expr.type, expr.exact) for i, expr in enumerate(shown, 1))
    return Query(f"VALUES {', '.join(lines)}", columns)


def constant(g: Gen, want: Sequence[Want], outer: Sequence[Expr], depth: int) -> Query:
    """SELECT without FROM."""
    env = Env((), tuple(outer), depth=max(0, depth))
    items = [selects.item(g, env, Want(one.type or g.pick(_TYPES), one.exact)) for one in want]
    test = ""
    if g.chance("constant.where", 0.3):
        test = f" WHERE {conditions.condition(g, env, 1)}"
    return selects.query_of(f"SELECT {selects.shown(items)}{test}", items)


def _constant(g: Gen, type_: sqltypes.SqlType, exact: bool) -> Expr:
    found = expressions.constant(g, type_)
    return exactly(found) if exact else found


def _with(g: Gen, want: Sequence[Want], outer: Sequence[Expr], depth: int) -> Query:
    """WITH, each of whose queries can be read several times."""
    texts: list[str] = []
    relations: list[Relation] = []
    for _ in range(g.pick((1, 1, 2))):
        with g.visible(relations):
            found = query(g, [Want() for _ in range(g.pick((1, 2, 3)))], (), depth - 1)
        name = g.alias("w")
        kind = g.choose("cte", plain=3, materialized=1, inlined=1)
        word = {"plain": "", "materialized": "MATERIALIZED ", "inlined": "NOT MATERIALIZED "}[kind]
        texts.append(f"{name} AS {word}({found.sql})")
        relations.append(Relation(name, found.columns, kind="cte"))
    with g.visible(relations):
        main = selects.select(g, want, outer, depth - 1)
    return Query(f"WITH {', '.join(texts)} {main.sql}", main.columns)
