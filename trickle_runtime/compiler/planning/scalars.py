"""Scalar subqueries: one value per outer row, or PostgreSQL's error of more than one row."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from trickle_runtime.compiler.operators.aggregate import Aggregate
from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.operators.project import Project
from trickle_runtime.compiler.planning.correlation import Planned
from trickle_runtime.compiler.planning.grouping import counting, plan_aggregate
from trickle_runtime.compiler.planning.tools import Tools
from trickle_runtime.compiler.term import cast, ref


def single(planned: Planned, tools: Tools) -> Planned:
    """At most one row per carried value (exactly one where nothing is carried).

    Where there could be more, ``n`` has their number: see ``guarded``.
    """
    operator = planned.operator
    unique = any(key <= set(planned.carried) for key in operator.keys)
    if unique and (planned.carried or _always_one(operator)):
        return planned
    value = ref(operator.alias, planned.outputs[0])
    keys = [(name, ref(operator.alias, name)) for name in planned.carried]
    type_ = tools.fact(operator, planned.outputs[0]).type
    calls = counting(value, type_)
    alias = tools.alias("g")
    grouped = plan_aggregate(alias, operator, keys, calls, tools)
    named = [("value", _only_one(alias, type_)), ("n", ref(alias, "n"))]
    named += [(name, ref(alias, name)) for name in planned.carried]
    rows = tools.project(grouped, named)
    return Planned(rows, ("value", "n"), planned.carried, None, planned.rejects)


def guarded(planned: Planned, tools: Tools, column: Callable[[str], exp.Column]) -> exp.Expr:
    """The value of a scalar subquery; PostgreSQL's own error where it has more than one row.

    The error is that of an outer row that meets them and needs the value (amendment A6), so
    it is raised where the value is used. ``column`` gives the columns of ``planned`` there.
    """
    value = column(planned.outputs[0])
    if len(planned.outputs) == 1:
        return value
    one = exp.Literal.number(1)
    series = exp.Anonymous(this="generate_series", expressions=[one.copy(), column("n")])
    rows = exp.Select(
        expressions=[cast(exp.null(), tools.fact(planned.operator, "value").type)],
        from_=exp.From(this=exp.Table(this=series)),
    )
    many = exp.If(this=exp.GT(this=column("n"), expression=one), true=exp.Subquery(this=rows))
    return exp.Paren(this=exp.Case(ifs=[many], default=value))


def _only_one(alias: str, type_: str) -> exp.Expr:
    """The value of a group of one row."""
    values = exp.Paren(this=ref(alias, "value"))
    first = exp.Bracket(this=values, expressions=[exp.Literal.number(0)])  # prints as [1]
    one = exp.EQ(this=ref(alias, "n"), expression=exp.Literal.number(1))
    return exp.Case(ifs=[exp.If(this=one, true=cast(first, type_))])


def _always_one(operator: Operator) -> bool:
    """Whether an operator always has a row: an aggregate without GROUP BY, perhaps projected."""
    while isinstance(operator, Project):
        operator = operator.child
    return isinstance(operator, Aggregate) and not operator.group
