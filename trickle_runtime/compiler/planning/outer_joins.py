"""Outer joins as plans: by matching rows, and what is left without a partner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from trickle_runtime.compiler.joining import output_name
from trickle_runtime.compiler.matching import match_keys
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.operators.inner_join import InnerJoin
from trickle_runtime.compiler.operators.project import Item, Project
from trickle_runtime.compiler.operators.semi_join import SemiJoin
from trickle_runtime.compiler.operators.union_all import unite
from trickle_runtime.compiler.planning.correlation import left_join
from trickle_runtime.compiler.planning.scope import Source
from trickle_runtime.compiler.planning.tools import Tools
from trickle_runtime.compiler.schema import Described
from trickle_runtime.compiler.term import image_of, raw, ref


def outer_join(
    side: str, left: Operator, right: Operator, conditions: Sequence[exp.Expr], tools: Tools
) -> Operator:
    """One operator for an outer join.

    Args:
        side: ``LEFT``, ``RIGHT`` or ``FULL``.
        left: the left input.
        right: the right input.
        conditions: conjuncts of the join condition, resolved.
        tools: of the query.
    """
    if side == "RIGHT":
        left, right = right, left
    inner = InnerJoin(tools.alias("j"), (left, right), tuple(conditions))
    first = left_join(inner, tools)
    if side != "FULL":
        return first
    return _full_join(first, left, right, conditions, tools)


def _full_join(
    first: Operator,
    left: Operator,
    right: Operator,
    conditions: Sequence[exp.Expr],
    tools: Tools,
) -> Operator:
    """The left join, and the right rows that have no partner at all."""
    tests = tuple(conditions)
    keys = match_keys(right, tests, tools.types_of)
    alone = SemiJoin(tools.alias("a"), right, left, tests, keys, negated=True)
    names = [column.name for column in first.columns]
    plain = tuple(Item(c, ref(first.alias, c.name)) for c in first.columns)
    branches = (
        Project(tools.alias("p"), first, plain),
        _padded(alone, (left, right), tools),
    )
    return unite(tools.alias("u"), branches, names)


def join_of_pairs(
    side: str,
    sides: tuple[Operator, Operator],
    pairs: Source,
    used: Sequence[exp.Column],
    tools: Tools,
) -> Operator:
    """An outer join whose condition is known for pairs only, such as by subqueries over both.

    The pairs, and the rows of the kept sides that are in no pair. Rows that agree in the columns
    which the condition uses have the same partners, so they are found by these; where equal values
    may differ, by what tells them apart (A9).

    Args:
        side: ``LEFT``, ``RIGHT`` or ``FULL``.
        sides: the left and the right input.
        pairs: rows of both for which the condition holds; its scope has one item for each input.
        used: the columns of the inputs that the condition uses.
        tools: of the query.
    """
    values = [dict(item.columns) for item in pairs.scope.items]
    items = [
        Item(Column(output_name(part.alias, name)), value)
        for part, columns in zip(sides, values, strict=True)
        for name, value in columns.items()
    ]
    branches = [Project(tools.alias("p"), pairs.operator, tuple(items))]
    for number, part in enumerate(sides):
        if side in ("FULL", ("LEFT", "RIGHT")[number]):
            names = {column.name for column in used if column.table == part.alias}
            tests = tuple(
                _identical(tools.fact(part, name), ref(part.alias, name), values[number][name])
                for name in sorted(names)
            )
            keys = match_keys(part, tests, tools.types_of)
            alone = SemiJoin(tools.alias("a"), part, pairs.operator, tests, keys, negated=True)
            branches.append(_padded(alone, sides, tools))
    return unite(tools.alias("u"), branches, [item.column.name for item in items])


def _identical(facts: Described, one: exp.Expr, other: exp.Expr) -> exp.Expr:
    """Whether two values of one type are the same value, or both NULL."""
    if not facts.exact:
        one, other = image_of(one), image_of(other)
    return exp.NullSafeEQ(this=one, expression=other)


def _padded(alone: SemiJoin, sides: tuple[Operator, Operator], tools: Tools) -> Project:
    """Rows of one side beside NULLs for the columns of the other."""
    items: list[Item] = []
    for part in sides:
        for column, facts in zip(part.columns, tools.facts(part), strict=True):
            name = output_name(part.alias, column.name)
            if part.alias == alone.left.alias:
                items.append(Item(replace(column, name=name), ref(alone.alias, column.name)))
            else:
                items.append(Item(Column(name), raw(f"NULL::{facts.type}")))
    return Project(tools.alias("p"), alone, tuple(items))
