"""SELECT of every kind, with ORDER BY and LIMIT.

Invariant: what a LIMIT, DISTINCT ON or window call takes from an order is determined: the order is
total, or its peers are identical.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.fuzz import sqltypes
from tests.fuzz.grammar import (
    aggregates,
    conditions,
    grouping,
    ordering,
    set_functions,
    sources,
    subqueries,
    values,
)
from tests.fuzz.grammar.gen import Column, Env, Expr, Gen, Query, Want, exact
from tests.fuzz.grammar.sources import From
from tests.fuzz.grammar.windows import Windows
from tests.fuzz.sqltypes import SqlType


def select(g: Gen, want: Sequence[Want], outer: Sequence[Expr], depth: int) -> Query:
    """A SELECT with FROM."""
    kind = g.choose(
        "select",
        plain=6.0,
        grouped=4.0,
        distinct=1.3,
        distinct_on=0.7,
        windowed=2.0,
        set_returning=0.5,
        lone=0.5,
    )
    if kind == "grouped":
        return grouping.grouped(g, want, outer, depth)
    if kind == "lone" and len(want) == 1:
        return lone(g, want[0], outer, depth)
    source = sources.from_clause(g, outer, depth)
    rows = Env(source.leaves, tuple(outer), depth=depth, rows=source.names)
    where_ = where(g, rows, source)
    if kind == "windowed":
        return _windowed(g, want, source, rows, where_)
    if kind == "distinct":
        items = [exact(item(g, rows, one)) for one in want]
        return limited(g, f"DISTINCT {shown(items)}", f"{source.sql}{where_}", items, None)
    if kind == "distinct_on":
        return _distinct_on(g, want, source, rows, where_)
    items = [item(g, rows, one) for one in want]
    if kind == "set_returning" and want[-1].type is None and rows.leaves:
        items[-1] = set_functions.in_select(g, rows.flat())
        items[-1] = exact(items[-1]) if want[-1].exact else items[-1]
        return query_of(f"SELECT {shown(items)} FROM {source.sql}{where_}", items)
    return limited(g, shown(items), f"{source.sql}{where_}", items, source.ties)


def first(g: Gen, want: Want, outer: Sequence[Expr], depth: int) -> Query:
    """A SELECT of one row at most, by ORDER BY and LIMIT."""
    source = sources.from_clause(g, outer, depth)
    rows = Env(source.leaves, tuple(outer), depth=depth, rows=source.names)
    found = item(g, rows, want)
    order = ordering.total(g, g.few(source.leaves, 0, 2), source.ties)
    skipped = g.pick(("", "", "", " OFFSET 1"))
    text = f"SELECT {shown([found])} FROM {source.sql}{where(g, rows, source)}"
    return query_of(f"{text} ORDER BY {order} LIMIT 1{skipped}", [found])


def lone(g: Gen, want: Want, outer: Sequence[Expr], depth: int) -> Query:
    """An aggregate without GROUP BY: one row, or none by HAVING."""
    source = sources.from_clause(g, outer, depth)
    rows = Env(source.leaves, tuple(outer), depth=depth, rows=source.names)
    made: list[Expr] = []
    env = Env((), tuple(outer), special=_collected(g, rows, made))
    found = item(g, env, want if want.type else Want(g.pick(_SUMMARIES), want.exact))
    if not made:
        having = " HAVING count(*) >= 0"  # makes it an aggregate all the same
    else:
        chance = g.chance("select.lone_having", 0.15)
        having = f" HAVING {conditions.condition(g, replace(env, depth=0), 0)}" if chance else ""
    text = f"SELECT {shown([found])} FROM {source.sql}{where(g, rows, source)}{having}"
    return query_of(text, [found])


_SUMMARIES = (sqltypes.BIGINT, sqltypes.BIGINT, sqltypes.NUM, sqltypes.TEXT, sqltypes.INT)


def _collected(g: Gen, rows: Env, made: list[Expr]) -> Callable[[SqlType, int], Expr | None]:
    def offer(type_: SqlType, size: int) -> Expr | None:
        found = aggregates.call(g, rows, type_)
        made.extend([] if found is None else [found])
        return found

    return offer


def _windowed(g: Gen, want: Sequence[Want], source: From, rows: Env, where_: str) -> Query:
    windows = Windows(g, rows, source.ties, source.keyed)
    env = Env(rows.leaves, rows.outer, windows.special(None), rows.depth, rows.rows)
    items = [item(g, env, one) for one in want]
    rest = f"{source.sql}{where_}{windows.clause()}"
    if windows.ordered and not source.keyed:  # which of two rows alike a LIMIT cuts is open
        return query_of(f"SELECT {shown(items)} FROM {rest}", items)
    return limited(g, shown(items), rest, items, source.ties)


def _distinct_on(g: Gen, want: Sequence[Want], source: From, rows: Env, where_: str) -> Query:
    sortable = [e for e in source.leaves if e.type.ordered]
    keys = g.few(sortable, 1, 2) or [values.value(g, rows, sqltypes.INT, 1)]
    items = [item(g, rows, one) for one in want]
    order = [f"{one.sql}{ordering.direction(g)}" for one in keys]
    order.append(ordering.total(g, g.few(source.leaves, 0, 1), source.ties))
    text = f"SELECT DISTINCT ON ({', '.join(k.sql for k in keys)}) {shown(items)}"
    return query_of(f"{text} FROM {source.sql}{where_} ORDER BY {', '.join(order)}", items)


def item(g: Gen, env: Env, want: Want) -> Expr:
    """An output: of the wanted type, or of one that the rows have."""
    found = (
        values.anything(g, env, g.pick((0, 1, 2)))
        if want.type is None
        else values.value(g, env, want.type, g.pick((0, 1, 2)))
    )
    return exact(found) if want.exact else found


def shown(items: Sequence[Expr]) -> str:
    """The select list."""
    return ", ".join(f"{one.sql} AS c{i}" for i, one in enumerate(items, 1))


def query_of(text: str, items: Sequence[Expr]) -> Query:
    """A query with the columns of a select list."""
    columns = tuple(Column(f"c{i}", one.type, one.exact) for i, one in enumerate(items, 1))
    return Query(text, columns)


def where(g: Gen, rows: Env, source: From) -> str:
    """WHERE, or nothing."""
    tests = list(source.conditions)
    if g.chance("select.where", 0.42):
        tests.append(conditions.condition(g, rows, g.pick((0, 1, 1, 2))))
    if rows.depth > 0 and rows.leaves and g.chance("select.test", 0.14) and g.spend():
        tests.append(subqueries.test(g, rows))
    if rows.outer and g.chance("select.correlated", 0.65):
        tests.append(conditions.correlated(g, rows))
    if g.chance("select.second_condition", 0.08):
        tests.append(conditions.condition(g, rows, 0))
    return f" WHERE {' AND '.join(tests)}" if tests else ""


def limited(
    g: Gen, list_: str, rest: str, items: Sequence[Expr], ties: Sequence[Expr] | None
) -> Query:
    """The SELECT, sometimes with ORDER BY and LIMIT; without ``ties`` all outputs are exact."""
    text = f"SELECT {list_} FROM {rest}"
    how = g.choose("limit", none=8, limit=1.2, order=0.3)
    if how == "none":
        return query_of(text, items)
    numbers = [str(i) for i, one in enumerate(items, 1) if one.exact and one.type.ordered]
    leading = [f"{n}{ordering.direction(g)}" for n in g.few(numbers, 0, 2)]
    if ties is None:
        leading = [f"{n}{ordering.direction(g)}" for n in g.rng.sample(numbers, len(numbers))]
    if g.chance("limit.ties", 0.2) and leading:
        return query_of(f"{text} ORDER BY {leading[0]} {_with_ties(g)}", items)
    order = [*leading, ordering.total(g, [], ties or ())]
    keys = ", ".join(key for key in order if key)
    cut = "" if how == "order" else f" {cut_of(g)}"
    return query_of(f"{text} ORDER BY {keys}{cut}" if keys else text, items)


def cut_of(g: Gen) -> str:
    """LIMIT and OFFSET."""
    count, skipped = g.pick((1, 2, 3, 5)), g.pick((0, 1, 2))
    return g.pick(
        (
            f"LIMIT {count}",
            f"LIMIT {count}",
            f"LIMIT {count} OFFSET {skipped}",
            f"OFFSET {skipped}",
            f"OFFSET {skipped} ROWS FETCH FIRST {count} ROWS ONLY",
            f"LIMIT {count}",
            "LIMIT ALL" if skipped else "LIMIT 0",
        )
    )


def _with_ties(g: Gen) -> str:
    return f"FETCH FIRST {g.pick((1, 2, 3))} ROWS WITH TIES"
