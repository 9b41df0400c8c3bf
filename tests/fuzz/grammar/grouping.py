"""GROUP BY, with grouping sets, HAVING, and windows over the groups."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from tests.fuzz import sqltypes
from tests.fuzz.grammar import aggregates, conditions, selects, sources, values
from tests.fuzz.grammar.gen import Env, Expr, Gen, Query, Want, exact
from tests.fuzz.grammar.windows import Windows
from tests.fuzz.sqltypes import SqlType

_TRIMMED = re.compile(r"trim_scale\((\w+\.\w+)\)")
Offer = Callable[[SqlType, int], Expr | None]


def grouped(g: Gen, want: Sequence[Want], outer: Sequence[Expr], depth: int) -> Query:
    """A SELECT of groups."""
    source = sources.from_clause(g, outer, depth)
    rows = Env(source.leaves, tuple(outer), depth=depth, rows=source.names)
    where = selects.where(g, rows, source)
    keys = _keys(g, rows)
    clause, sets = _clause(g, [key.sql for key in keys])
    if not sets and g.chance("group.inexact", 0.3):
        clause = _inexact(clause)
    marks = [Expr(f"grouping({k.sql})", sqltypes.INT, True) for k in keys] if sets else []
    offer = _offer(g, rows, marks)
    env = Env(tuple(keys), tuple(outer), offer, depth)
    having = ""
    if g.chance("select.having", 0.25):
        having = f" HAVING {conditions.condition(g, env, 1)}"
    ties = (*keys, *marks)
    named, alike = "", False
    if g.chance("select.window_over_groups", 0.12):
        windows = Windows(g, Env(tuple(keys)), ties, keyed=not sets)
        over = windows.special(offer)
        shown = Env(env.leaves, env.outer, _either(g, over, offer), depth)
        items = [selects.item(g, shown, one) for one in want]
        named = windows.clause()
        alike = windows.ordered and sets
    else:
        items = [selects.item(g, env, one) for one in want]
    rest = f"{source.sql}{where}{clause}{having}{named}"
    list_ = selects.shown(items)
    if g.chance("select.distinct_groups", 0.04):
        items = [exact(one) for one in items]
        return selects.limited(g, f"DISTINCT {selects.shown(items)}", rest, items, None)
    if alike:
        return selects.query_of(f"SELECT {list_} FROM {rest}", items)
    return selects.limited(g, list_, rest, items, ties)


def _keys(g: Gen, rows: Env) -> list[Expr]:
    """Group keys: columns, and expressions over them."""
    plain = Env(rows.leaves)
    keys: list[Expr] = []
    for _ in range(g.pick((1, 1, 1, 2, 2, 3))):
        key = exact(g.pick(rows.leaves))
        if g.chance("group.expression", 0.2):
            made = values.value(g, plain, g.pick(rows.leaves).type, 1)
            if any(leaf.sql in made.sql for leaf in rows.leaves):
                key = exact(made)
        if key.sql not in {one.sql for one in keys}:
            keys.append(key)
    return keys


def _inexact(clause: str) -> str:
    """Group by values of which several are equal, and show a normal form of them."""
    return _TRIMMED.sub(r"\1", clause)


def _clause(g: Gen, keys: list[str]) -> tuple[str, bool]:
    """GROUP BY, and whether it has grouping sets."""
    every = ", ".join(keys)
    how = g.choose("group", plain=8, rollup=0.6, cube=0.4, sets=0.8, mixed=0.3, empty=0.15)
    if how == "plain":
        return f" GROUP BY {every}", False
    if how == "mixed" and len(keys) > 1:
        return f" GROUP BY {keys[0]}, ROLLUP({', '.join(keys[1:])})", True
    if how == "sets":
        more = g.few([f"({every})", f"({keys[-1]})", "()", f"({keys[0]})"], 0, 2)
        return f" GROUP BY GROUPING SETS ({', '.join([f'({every})', *more])})", True
    if how == "empty":
        return f" GROUP BY GROUPING SETS ((), ({every}))", True
    return f" GROUP BY {'CUBE' if how == 'cube' else 'ROLLUP'}({every})", True


def _offer(g: Gen, rows: Env, marks: list[Expr]) -> Offer:
    def offer(type_: SqlType, size: int) -> Expr | None:
        if marks and type_ is sqltypes.INT and g.chance("group.grouping", 0.3):
            return g.pick(marks)
        return aggregates.call(g, rows, type_)

    return offer


def _either(g: Gen, over: Offer, offer: Offer) -> Offer:
    def either(type_: SqlType, size: int) -> Expr | None:
        return (over if g.chance("group.window", 0.5) else offer)(type_, size)

    return either
