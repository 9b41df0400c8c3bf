"""UNION, INTERSECT and EXCEPT, with and without ALL, from unions, groups and counts.

Per row the counts (r, s) of both sides decide how often it is shown: INTERSECT once where both are
positive, EXCEPT once where only r is, INTERSECT ALL min(r, s) times, EXCEPT ALL max(0, r - s).
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from trickle_runtime.compiler.grouping import Tools, counted, plan_aggregate, plan_distinct
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.operators.filter import Filter
from trickle_runtime.compiler.operators.project import Item, Project
from trickle_runtime.compiler.operators.repeat import Repeat
from trickle_runtime.compiler.operators.union_all import unite
from trickle_runtime.compiler.term import ref

_SIDE = "side"


def plan_set_operation(
    node: exp.SetOperation,
    sides: tuple[Operator, Operator],
    tools: Tools,
    cast: Callable[[tuple[Operator, ...], tuple[str, ...]], tuple[Operator, ...]],
) -> Operator:
    """Combine two planned queries; the columns are named as those of the first.

    Args:
        node: says which operation it is.
        sides: the planned queries.
        tools: see ``Tools``.
        cast: brings branches to common types.
    """
    names = tuple(f"u{i}" for i in range(len(sides[0].columns)))
    branches = cast(tuple(_numbered(side, tools) for side in sides), names)
    if isinstance(node, exp.Union):
        combined: Operator = unite(tools.alias("u"), branches, names)
        if node.args.get("distinct"):
            combined = plan_distinct(tools.alias("g"), combined, tools)
    else:
        combined = _counted(node, branches, names, tools)
    return renamed(combined, sides[0], tools)


def renamed(operator: Operator, like: Operator, tools: Tools) -> Operator:
    """The same rows, columns named as those of another operator."""
    items = [
        Item(Column(shown.name, c.not_null, c.scales), ref(operator.alias, c.name))
        for shown, c in zip(like.columns, operator.columns, strict=False)
    ]
    return Project(tools.alias("p"), operator, tuple(items))


def _numbered(side: Operator, tools: Tools) -> Operator:
    items = [
        Item(Column(f"u{i}", c.not_null, c.scales), ref(side.alias, c.name))
        for i, c in enumerate(side.columns)
    ]
    return Project(tools.alias("p"), side, tuple(items))


def _counted(
    node: exp.SetOperation, branches: tuple[Operator, ...], names: tuple[str, ...], tools: Tools
) -> Operator:
    """Group the rows of both sides and filter, or repeat, by their counts."""
    marked = tuple(_marked(b, number, tools) for number, b in enumerate(branches, 1))
    both = unite(tools.alias("u"), marked, (*names, _SIDE))
    side = ref(both.alias, _SIDE)
    calls = [
        counted(name, exp.EQ(this=side.copy(), expression=exp.Literal.number(number)))
        for name, number in (("r", 1), ("s", 2))
    ]
    keys = [(name, ref(both.alias, name)) for name in names]
    grouped = plan_aggregate(tools.alias("g"), both, keys, calls, tools)
    left, right = ref(grouped.alias, "r"), ref(grouped.alias, "s")
    zero = exp.Literal.number(0)
    if node.args.get("distinct"):
        here = exp.GT(this=left, expression=zero)
        there = exp.GT if isinstance(node, exp.Intersect) else exp.EQ
        test = exp.And(this=here, expression=there(this=right, expression=zero.copy()))
        return Filter(tools.alias("f"), grouped, test)
    if isinstance(node, exp.Intersect):
        times = exp.Anonymous(this="least", expressions=[left, right])
    else:
        difference = exp.Sub(this=left, expression=right)
        times = exp.Anonymous(this="greatest", expressions=[difference, zero])
    return Repeat(tools.alias("r"), grouped, times)


def _marked(branch: Operator, number: int, tools: Tools) -> Operator:
    items = [Item(c, ref(branch.alias, c.name)) for c in branch.columns]
    items.append(Item(Column(_SIDE, True, (0,)), exp.Literal.number(number)))
    return Project(tools.alias("p"), branch, tuple(items))
