"""WITH RECURSIVE: counters, closures, paths.

Invariant: the recursion ends: by a bounded depth, or by UNION over the finite domain of columns.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.fuzz import sqltypes
from tests.fuzz.grammar import conditions, selects, sources
from tests.fuzz.grammar.gen import Column, Env, Expr, Gen, Query, Relation, Want
from tests.fuzz.grammar.sources import From

_INTS = (sqltypes.INT, sqltypes.BIGINT)
_PAIR = (("a", sqltypes.INT), ("b", sqltypes.INT))


def recursive(g: Gen, want: Sequence[Want], outer: Sequence[Expr], depth: int) -> Query:
    """A query over a recursive one."""
    name = g.alias("rec")
    kind = g.choose("recursion", closure=4, levels=4, path=1, counter=1, cycle=0.7)
    makers = {
        "closure": _closure,
        "levels": _levels,
        "path": _path,
        "counter": _counter,
        "cycle": _cycle,
    }
    text, columns = makers[kind](g, name)
    relation = Relation(name, columns, kind="cte")
    with g.visible([relation]):
        main = selects.select(g, want, outer, min(depth, 1))
    return Query(f"WITH RECURSIVE {text} {main.sql}", main.columns)


def _edges(g: Gen) -> tuple[From, str, str]:
    """A relation and two integers of its rows."""
    source = sources.named(g)
    numbers = [e for e in source.leaves if e.type in _INTS]
    if not numbers:
        return source, "1", "2"
    one, other = g.pick(numbers), g.pick(numbers)
    return source, f"{one.sql}::int", f"{other.sql}::int"


def _where(g: Gen, source: From, chance: float) -> str:
    if g.rng.random() > chance:
        return ""
    return f" WHERE {conditions.condition(g, Env(source.leaves), 0)}"


def _anchor(g: Gen, more: str = "") -> str:
    source, one, other = _edges(g)
    return f"SELECT {one}, {other}{more} FROM {source.sql}{_where(g, source, 0.6)}"


def _closure(g: Gen, name: str) -> tuple[str, tuple[Column, ...]]:
    """What is reached, by UNION."""
    source, one, other = _edges(g)
    distinct = "DISTINCT " if g.chance("recursion.distinct", 0.1) else ""
    step = f"SELECT {distinct}{name}.a, {other} FROM {name} JOIN {source.sql} ON {one} = {name}.b"
    if g.chance("recursion.residual", 0.2):
        step += f" AND {conditions.condition(g, Env(source.leaves), 0)}"
    return _named(name, ("a", "b"), f"{_anchor(g)} UNION {step}", _PAIR)


def _levels(g: Gen, name: str) -> tuple[str, tuple[Column, ...]]:
    """What is reached in a few steps."""
    source, one, other = _edges(g)
    union = g.pick(("UNION ALL", "UNION"))
    side = "LEFT " if g.chance("recursion.outer_join", 0.12) else ""
    step = (
        f"SELECT {name}.a, {other}, {name}.d + 1 FROM {name} {side}JOIN {source.sql}"
        f" ON {one} = {name}.b WHERE {name}.d < {g.pick((1, 2))}"
    )
    if g.chance("recursion.negated", 0.1):
        other_source, there, _ = _edges(g)
        step += f" AND NOT EXISTS (SELECT 1 FROM {other_source.sql} WHERE {there} = {name}.b)"
    body = f"{_anchor(g, ', 0')} {union} {step}"
    return _named(name, ("a", "b", "d"), body, (*_PAIR, ("d", sqltypes.INT)))


def _path(g: Gen, name: str) -> tuple[str, tuple[Column, ...]]:
    """Paths without repetitions."""
    source, one, other = _edges(g)
    anchor_source, first, second = _edges(g)
    anchor = f"SELECT {first}, {second}, ARRAY[{first}, {second}] FROM {anchor_source.sql}"
    step = (
        f"SELECT {name}.a, {other}, {name}.p || {other} FROM {name} JOIN {source.sql}"
        f" ON {one} = {name}.b WHERE NOT {other} = ANY ({name}.p) AND cardinality({name}.p) < 4"
    )
    body = f"{anchor} UNION ALL {step}"
    return _named(name, ("a", "b", "p"), body, (*_PAIR, ("p", sqltypes.INTS)))


def _counter(g: Gen, name: str) -> tuple[str, tuple[Column, ...]]:
    """Numbers from each row on."""
    step = f"SELECT {name}.a, {name}.b + 1 FROM {name} WHERE {name}.b < 4"
    source, one, _ = _edges(g)
    anchor = f"SELECT {one}, greatest({one}, 1) FROM {source.sql}{_where(g, source, 0.5)}"
    return _named(name, ("a", "b"), f"{anchor} UNION ALL {step}", _PAIR)


def _cycle(g: Gen, name: str) -> tuple[str, tuple[Column, ...]]:
    """The CYCLE clause; its path column is not read."""
    source, one, other = _edges(g)
    step = f"SELECT {name}.a, {other} FROM {name} JOIN {source.sql} ON {one} = {name}.b"
    text, columns = _named(name, ("a", "b"), f"{_anchor(g)} UNION ALL {step}", _PAIR)
    if g.chance("recursion.search", 0.3):
        text += f" SEARCH {g.pick(('DEPTH', 'BREADTH'))} FIRST BY a, b SET place"
    return f"{text} CYCLE b SET again USING way", (*columns, Column("again", sqltypes.BOOL, True))


def _named(
    name: str, names: Sequence[str], body: str, columns: Sequence[tuple[str, sqltypes.SqlType]]
) -> tuple[str, tuple[Column, ...]]:
    text = f"{name}({', '.join(names)}) AS ({body})"
    return text, tuple(Column(n, type_, True) for n, type_ in columns)
