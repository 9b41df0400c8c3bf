"""Rows as values, ``r.*``; and the side of an outer join that is padded with NULLs.

A padded row is NULL, which is not the row of NULLs. Invariant: what tells them apart is a column
of the padded side that is true in each of its rows; where no row is used it is pruned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from sqlglot import exp

from trickle_runtime.compiler.operators.base import Column
from trickle_runtime.compiler.operators.project import Item, Project
from trickle_runtime.compiler.planning.scope import THERE, Scope, Source, Visible
from trickle_runtime.compiler.planning.tools import Tools
from trickle_runtime.compiler.term import record, ref

_COMPUTED = "__pgt_v"


def shown_rows(name: str, columns: Mapping[str, exp.Expr], width: int) -> Visible:
    """A FROM item whose row has no type of its own.

    Args:
        name: in the query.
        columns: in their order.
        width: how many there are; more than can be named, if names are there twice.
    """
    complete = len(columns) == width and not any(map(partial(_is_made, columns), columns))
    return Visible(name, columns, (lambda: record(columns)) if complete else None)


def _is_made(names: Mapping[str, object], name: str) -> bool:
    """Whether a name may be ours, for the second column of a name."""
    first, _, number = name.rpartition("_")
    return number.isdigit() and first in names


def used_rows(node: exp.Expr) -> frozenset[str]:
    """Names of FROM items whose rows are used as values in the statement of a node."""
    columns = node.root().find_all(exp.Column)
    return frozenset(column.table for column in columns if isinstance(column.this, exp.Star))


def padded(source: Source, used: frozenset[str], tools: Tools) -> Source:
    """A side of an outer join whose rows may be padding; ``used`` names rows to keep as values.

    What is computed from the side's columns, such as the count over no rows of a LATERAL
    aggregate, becomes a column of the side: in padding it is NULL, whatever it is over NULLs.
    """
    kept = {item.name for item in source.scope.items if item.row is not None} & used
    below = source.operator
    computed: dict[str, exp.Expr] = {}

    def column(value: exp.Expr) -> exp.Expr:
        if isinstance(value, exp.Column):
            return value
        name = f"{_COMPUTED}{len(computed)}"
        computed[name] = value
        return ref(below.alias, name)

    items = tuple(
        replace(
            item,
            columns={name: column(value) for name, value in item.columns.items()},
            row=item.row if item.name in kept else None,
        )
        for item in source.scope.items
    )
    merged = {name: column(value) for name, value in source.scope.merged.items()}
    source = replace(source, scope=Scope(items, merged))
    if not kept and not computed:
        return source
    plain = [Item(c, ref(below.alias, c.name)) for c in below.columns]
    there = Item(Column(THERE, True), exp.true())
    values = [Item(Column(name), value) for name, value in computed.items()]
    source = source.over(Project(tools.alias("p"), below, (*plain, *values, there)))
    flag = ref(source.operator.alias, THERE)
    items = tuple(replace(i, row=guarded_row(i.row, flag)) for i in source.scope.items)
    return replace(source, scope=Scope(items, source.scope.merged))


def guarded_row(
    row: Callable[[], exp.Expr] | None, there: exp.Expr
) -> Callable[[], exp.Expr] | None:
    """A row that is NULL in padding, where ``there`` is not true."""
    if row is None:
        return None
    return lambda: exp.Paren(
        this=exp.Case(ifs=[exp.If(this=there.copy(), true=exp.Paren(this=row()))])
    )
