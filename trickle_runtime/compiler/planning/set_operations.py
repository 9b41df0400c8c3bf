"""UNION, INTERSECT and EXCEPT, with and without ALL, from unions, groups and counts.

Per row the counts (r, s) of both sides decide how often it is shown: INTERSECT once where both are
positive, EXCEPT once where only r is, INTERSECT ALL min(r, s) times, EXCEPT ALL max(0, r - s).
"""

from __future__ import annotations

from sqlglot import exp

from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.operators.filter import Filter
from trickle_runtime.compiler.operators.project import Item, Project
from trickle_runtime.compiler.operators.repeat import Repeat
from trickle_runtime.compiler.operators.union_all import unite
from trickle_runtime.compiler.planning.correlation import Planned
from trickle_runtime.compiler.planning.grouping import counted, plan_aggregate, plan_distinct
from trickle_runtime.compiler.planning.tools import Tools
from trickle_runtime.compiler.term import cast, ref, union

_SIDE = "side"


def plan_set_operation(
    node: exp.SetOperation, sides: tuple[Planned, Planned], tools: Tools
) -> Planned:
    """Combine two planned queries; the columns are named as those of the first.

    Args:
        node: says which operation it is.
        sides: the planned queries, over the same domain where they are correlated.
        tools: see ``Tools``.
    """
    width = len(sides[0].outputs)
    carried = tuple(f"d{i}" for i in range(len(sides[0].carried)))
    names = (*(f"u{i}" for i in range(width)), *carried)
    branches = _cast(tuple(_numbered(side, names, tools) for side in sides), names, tools)
    if isinstance(node, exp.Union):
        combined: Operator = unite(tools.alias("u"), branches, names)
        if node.args.get("distinct"):
            combined = plan_distinct(tools.alias("g"), combined, tools)
    else:
        combined = _counted(node, branches, names, tools)
    rows = _renamed(combined, sides[0], names[:width], carried, tools)
    rejects = tuple(a and b for a, b in zip(*(side.rejects for side in sides), strict=True))
    return Planned(rows, sides[0].outputs, carried, None, rejects)


def _numbered(side: Planned, names: tuple[str, ...], tools: Tools) -> Operator:
    operator = side.operator
    pairs = zip(names, (*side.outputs, *side.carried), strict=True)
    items = [Item(_as(operator.column(old), new), ref(operator.alias, old)) for new, old in pairs]
    return Project(tools.alias("p"), operator, tuple(items))


def _as(column: Column, name: str) -> Column:
    return Column(name, column.not_null, column.scales)


def _cast(
    branches: tuple[Operator, ...], names: tuple[str, ...], tools: Tools
) -> tuple[Operator, ...]:
    """Cast each branch to the union's types, as PostgreSQL does without printing it."""
    given = [[d.type for d in tools.facts(branch)] for branch in branches]
    if given[0] == given[1]:
        return branches
    plain = unite(tools.alias("u"), branches, names)
    text = union(plain.current(tools.stateless()), names, weighted=False)
    wanted = [d.type for d in tools.describe(text)]
    made: list[Operator] = []
    for branch, types in zip(branches, given, strict=True):
        items: list[Item] = []
        for column, have, want in zip(branch.columns, types, wanted, strict=True):
            value: exp.Expr = ref(branch.alias, column.name)
            shown = column
            if have != want:
                value = cast(value, want)
                shown = Column(column.name, column.not_null, None)
            items.append(Item(shown, value))
        made.append(Project(tools.alias("p"), branch, tuple(items)))
    return tuple(made)


def _renamed(
    operator: Operator,
    like: Planned,
    names: tuple[str, ...],
    carried: tuple[str, ...],
    tools: Tools,
) -> Operator:
    pairs = [*zip(like.outputs, names, strict=True), *((name, name) for name in carried)]
    items = [Item(_as(operator.column(old), new), ref(operator.alias, old)) for new, old in pairs]
    return Project(tools.alias("p"), operator, tuple(items))


def _counted(
    node: exp.SetOperation,
    branches: tuple[Operator, ...],
    names: tuple[str, ...],
    tools: Tools,
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
