"""UNION, INTERSECT and EXCEPT.

Invariant: rows that are compared are exact, so that which of several equal rows stays is all one.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.fuzz import sqltypes
from tests.fuzz.grammar import conditions, ordering, queries, selects
from tests.fuzz.grammar.gen import Column, Env, Expr, Gen, Query, Relation, Want
from tests.fuzz.sqltypes import SqlType

_TYPES = (sqltypes.INT, sqltypes.INT, sqltypes.TEXT, sqltypes.BIGINT, sqltypes.DATE, sqltypes.NUM2)
_TEXTS = ("json", "jsonb")
_OPERATORS = {
    "union_all": "UNION ALL",
    "union": "UNION",
    "intersect": "INTERSECT",
    "intersect_all": "INTERSECT ALL",
    "except_": "EXCEPT",
    "except_all": "EXCEPT ALL",
}


def combined(g: Gen, want: Sequence[Want], outer: Sequence[Expr], depth: int) -> Query:
    """Two or three queries, combined."""
    names = [_operator(g) for _ in range(g.pick((1, 1, 1, 2)))]
    plain = all(name == "union_all" for name in names)
    wanted = [_wanted(g, one, exact=not plain) for one in want]
    found = [_branch(g, wanted, outer, depth)]
    for name in names:
        alike = g.chance("set.alike", 0.1 if name.startswith("union") else 0.5)
        found.append(_alike(g, found[0]) if alike else _branch(g, wanted, outer, depth))
    text = found[0].sql
    for name, branch in zip(names, found[1:], strict=True):
        text = f"{text} {_OPERATORS[name]} {branch.sql}"
        if g.chance("set.parentheses", 0.4) and len(names) > 1:
            text = f"({text})"
    columns = tuple(
        Column(first.name, first.type, all(b.columns[i].exact for b in found))
        for i, first in enumerate(found[0].columns)
    )
    return Query(text + _order(g, columns), columns)


def _operator(g: Gen) -> str:
    return g.choose(
        "set",
        union_all=3,
        union=3,
        intersect=1.2,
        intersect_all=0.7,
        except_=1.5,
        except_all=0.9,
    )


def _wanted(g: Gen, want: Want, *, exact: bool) -> Want:
    """The same type in every branch."""
    type_: SqlType = want.type or g.pick(_TYPES)
    if exact and type_.name in _TEXTS:
        type_ = sqltypes.TEXT
    return Want(type_, exact or want.exact)


def _branch(g: Gen, want: Sequence[Want], outer: Sequence[Expr], depth: int) -> Query:
    if depth > 0 and g.chance("set.any_query", 0.3) and g.spend():
        found = queries.query(g, want, outer, depth - 1)
    elif g.chance("set.constant", 0.08):
        found = queries.constant(g, want, outer, 0)
    else:
        found = selects.select(g, want, outer, max(0, depth - 1))
    return Query(f"({found.sql})", found.columns) if _needs_parentheses(g, found.sql) else found


def _alike(g: Gen, query: Query) -> Query:
    """Some of the rows of another branch, so that both sides have rows in common."""
    relation = Relation(g.alias("q"), query.columns)
    shown = relation.expressions()
    test = conditions.condition(g, Env(shown), 1)
    text = f"SELECT {selects.shown(shown)} FROM ({query.sql}) AS {relation.name} WHERE {test}"
    return selects.query_of(text, shown)


def _needs_parentheses(g: Gen, text: str) -> bool:
    words = (" ORDER BY ", " LIMIT ", "WITH ", "UNION", "INTERSECT", "EXCEPT", "VALUES", "OFFSET ")
    return any(word in text for word in words) or g.chance("set.parentheses", 0.2)


def _order(g: Gen, columns: Sequence[Column]) -> str:
    determined = all(c.exact and c.type.ordered for c in columns)
    if not determined or not g.chance("set.limit", 0.08):
        return ""
    keys = [f"{i}{ordering.direction(g)}" for i in range(1, len(columns) + 1)]
    return f" ORDER BY {', '.join(keys)} {selects.cut_of(g)}"
