"""GROUP BY and HAVING of one SELECT.

Subqueries inside of aggregates and group keys belong to the rows before grouping; all others are
computed for the groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sqlglot import exp

from trickle_runtime.compiler.operators.aggregate import Aggregate
from trickle_runtime.compiler.planning.correlation import Domain, Planned, complete
from trickle_runtime.compiler.planning.gathered import conjuncts
from trickle_runtime.compiler.planning.grouping import Call, aggregate_calls, plan_aggregate
from trickle_runtime.compiler.planning.relations import Ctes
from trickle_runtime.compiler.planning.scope import (
    Scope,
    Source,
    Visible,
    free_columns,
    reads_tables,
)
from trickle_runtime.compiler.planning.shelf import Shelf
from trickle_runtime.compiler.planning.subqueries import SubqueryPlanner
from trickle_runtime.compiler.planning.tools import Tools
from trickle_runtime.compiler.planning.windows import Values, text
from trickle_runtime.compiler.term import raw, ref

_MASK = "masked"


class Queries(Protocol):
    """What grouping needs of the planner of whole queries."""

    def where(self, source: Source, conditions: Sequence[exp.Expr], ctes: Ctes) -> Source:
        """Filter rows by conjuncts."""
        ...

    def plain(self, expression: exp.Expr, *, sets: bool = False) -> exp.Expr:
        """Refuse what an expression of a row can't hold."""
        ...


@dataclass(frozen=True)
class Grouped:
    """Values over rows, or over groups.

    Attributes:
        values: the expressions, over ``values.operator``.
        empty: of an aggregate without GROUP BY in a correlated query: the values over no rows, in
            terms of the domain's columns.
        completed: that there is a group for every value of the domain, NULL among them, whatever
            WHERE rejects.
    """

    values: Values
    empty: tuple[exp.Expr, ...] | None = None
    completed: bool = False


class GroupPlanner:
    """Plans the grouping of one SELECT."""

    def __init__(self, subqueries: SubqueryPlanner, tools: Tools, queries: Queries) -> None:
        self.subqueries, self.tools, self.queries = subqueries, tools, queries

    def plan(
        self,
        select: exp.Select,
        source: Source,
        values: list[exp.Expr],
        ctes: Ctes,
        domain: Domain | None,
    ) -> Grouped:
        """GROUP BY and HAVING; the values over the groups."""
        clause = select.args.get("group")
        grouped: list[exp.Expr] = clause.expressions if clause is not None else []
        keys = [_key(e, values) for e in grouped]
        having = select.args.get("having")
        tests = conjuncts(having.this) if having is not None else []
        every, keys, source = self._before([*values, *tests], keys, source, ctes)
        masked = _Masked(every)
        alias = self.tools.alias("g")
        resolved = [source.resolve(self.queries.plain(key)) for key in keys]
        shelf = Shelf(alias, [*resolved, *source.carried], self.tools.functions)
        over = [
            shelf.take(source.resolve(self.queries.plain(value, sets=True)))
            for value in masked.expressions
        ]
        outer = masked.outer(source.scope, shelf)
        carried = tuple(shelf.take(value) for value in source.carried)
        aggregate = plan_aggregate(alias, source.operator, shelf.keys, shelf.calls, self.tools)
        groups = Source(aggregate, Scope(outer), carried)
        lone = _Lone(aggregate, tuple(shelf.calls), carried, domain) if not keys else None
        completed = False
        if lone is not None and domain is not None and (tests or masked.queries):
            groups, over = self._complete(groups, over, lone, domain)
            lone, completed = None, True
        over = [masked.unmasked(value) for value in over]
        found = self._after(groups, over, len(values), ctes, lone)
        return replace(found, completed=completed)

    def _before(
        self,
        expressions: list[exp.Expr],
        keys: list[exp.Expr],
        source: Source,
        ctes: Ctes,
    ) -> tuple[list[exp.Expr], list[exp.Expr], Source]:
        """Subqueries in group keys and inside of aggregates, as columns of the rows."""
        found = [exp.Paren(this=e.copy()) for e in expressions]
        kept: list[exp.Expr] = []
        for key in keys:
            if not reads_tables(key):
                kept.append(key)
                continue
            (column,), source = self.subqueries.inline([key], source, ctes)
            kept.append(column)
            for holder in found:
                for node in [n for n in holder.walk() if text(n) == text(key)]:
                    if node.parent is not None:
                        node.replace(column.copy())
        for holder in found:
            for call in list(aggregate_calls(holder, self.tools.functions)):
                if reads_tables(call):
                    (made,), source = self.subqueries.inline([call], source, ctes)
                    call.replace(made)
        return [holder.this for holder in found], kept, source

    def _after(
        self,
        groups: Source,
        over: list[exp.Expr],
        width: int,
        ctes: Ctes,
        lone: _Lone | None,
    ) -> Grouped:
        """HAVING, then subqueries in the values."""
        tests, over = over[width:], over[:width]
        groups = _naming(groups, "value", over)
        groups = _naming(groups, "test", tests)
        for number in range(len(tests)):
            groups = self.queries.where(groups, [groups.scope.merged[f"test {number}"]], ctes)
        over = [groups.scope.merged[f"value {number}"].copy() for number in range(width)]
        if any(reads_tables(value) for value in over):
            over, groups = self.subqueries.inline(over, groups, ctes)
        wanted = tuple(groups.resolve(value) for value in over)
        values = Values(groups.operator, wanted, groups.carried)
        if lone is None or lone.domain is None:
            return Grouped(values)
        empty = tuple(lone.over_nothing(value, self.tools) for value in wanted)
        return Grouped(values, empty)

    def _complete(
        self, groups: Source, over: list[exp.Expr], lone: _Lone, domain: Domain
    ) -> tuple[Source, list[exp.Expr]]:
        """A row for every value of the domain, before HAVING and subqueries look at it."""
        names = [column.name for column in groups.operator.columns]
        values = [ref(groups.operator.alias, name) for name in names]
        empty = tuple(lone.over_nothing(value, self.tools) for value in values)
        found = self.completed(
            Grouped(Values(groups.operator, tuple(values), groups.carried), empty), domain
        )
        by_name = dict(zip(names, found.values.wanted, strict=True))

        def filled(node: exp.Expr) -> exp.Expr:
            if isinstance(node, exp.Column) and node.table == groups.operator.alias:
                return by_name[node.name].copy()
            return node

        items = tuple(
            Visible(i.name, {n: v.copy().transform(filled) for n, v in i.columns.items()})
            for i in groups.scope.items
        )
        source = Source(found.values.operator, Scope(items), found.values.carried)
        return source, [value.copy().transform(filled) for value in over]

    def completed(self, found: Grouped, domain: Domain) -> Grouped:
        """An aggregate without GROUP BY has a row for every value of the domain."""
        if found.empty is None:
            return found
        names = [f"v{i}" for i in range(len(found.values.wanted))]
        carried = [f"__pgt_d{i}" for i in range(len(found.values.carried))]
        named = [
            *zip(names, found.values.wanted, strict=True),
            *zip(carried, found.values.carried, strict=True),
        ]
        rows = self.tools.project(found.values.operator, named)
        rejects = tuple(False for _ in carried)
        planned = Planned(rows, tuple(names), tuple(carried), found.empty, rejects)
        whole = complete(planned, domain, self.tools)
        wanted = tuple(ref(whole.operator.alias, name) for name in whole.outputs)
        held = tuple(ref(whole.operator.alias, name) for name in whole.carried)
        return Grouped(Values(whole.operator, wanted, held), completed=True)


@dataclass(frozen=True)
class _Lone:
    """An aggregate without GROUP BY in a correlated query: it has a row also over no rows."""

    aggregate: Aggregate
    calls: tuple[Call, ...]
    carried: tuple[exp.Expr, ...]
    domain: Domain | None

    def over_nothing(self, value: exp.Expr, tools: Tools) -> exp.Expr:
        """An expression over no rows, in terms of the domain's columns (A6)."""
        calls = {call.name: call for call in self.calls}
        names = [c.name for c in self.domain.operator.columns] if self.domain else []
        alias = self.domain.operator.alias if self.domain else ""
        held = {
            column.name: ref(alias, name)
            for column, name in zip(self.carried, names, strict=True)
            if isinstance(column, exp.Column)
        }

        def empty(node: exp.Expr) -> exp.Expr:
            if not isinstance(node, exp.Column) or node.table != self.aggregate.alias:
                return node
            if node.name in held:
                return held[node.name].copy()
            return self._nothing(calls[node.name], tools)

        return value.copy().transform(empty)

    def _nothing(self, call: Call, tools: Tools) -> exp.Expr:
        """A call over an empty set of the right types."""
        if call.function == "count":
            return exp.Literal.number(0)
        node = exp.Paren(this=call.node.copy())
        for column in list(node.find_all(exp.Column)):
            kind = tools.fact(self.aggregate.child, column.name).type
            column.replace(raw(f"(NULL::{kind})"))
        nothing = exp.Select(expressions=[node.this], where=exp.Where(this=exp.false()))
        return exp.Subquery(this=nothing)


def _naming(groups: Source, name: str, values: Sequence[exp.Expr]) -> Source:
    for number, value in enumerate(values):
        groups = groups.naming(f"{name} {number}", value)
    return groups


def _key(node: exp.Expr, values: list[exp.Expr]) -> exp.Expr:
    if isinstance(node, exp.Literal) and not node.is_string:
        return values[int(node.name) - 1]
    while isinstance(node, exp.Paren):
        node = node.this
    return node


class _Masked:
    """Expressions with marks in the places of the queries in them that read tables."""

    def __init__(self, expressions: Sequence[exp.Expr]) -> None:
        self.queries: list[exp.Expr] = []
        self.expressions = [self._mask(expression) for expression in expressions]

    def _mask(self, expression: exp.Expr) -> exp.Expr:
        holder = exp.Paren(this=expression.copy())
        while (node := _query_in(holder)) is not None:
            self.queries.append(node.copy())
            node.replace(exp.Placeholder(this=f"{_MASK}{len(self.queries) - 1}"))
        return holder.this

    def unmasked(self, expression: exp.Expr) -> exp.Expr:
        """Put the queries back."""
        holder = exp.Paren(this=expression.copy())
        for mark in list(holder.find_all(exp.Placeholder)):
            if mark.name.startswith(_MASK):
                mark.replace(self.queries[int(mark.name[len(_MASK) :])].copy())
        return holder.this

    def outer(self, scope: Scope, shelf: Shelf) -> tuple[Visible, ...]:
        """The columns of groups that the queries use."""
        tables: dict[str, dict[str, exp.Expr]] = {}
        for query in self.queries:
            for column in free_columns(query):
                value = shelf.take(scope.find(column))
                tables.setdefault(column.table, {})[column.name] = value
        return tuple(Visible(table, columns) for table, columns in tables.items())


def _query_in(holder: exp.Expr) -> exp.Expr | None:
    return next((n for n in holder.walk() if isinstance(n, exp.Query) and reads_tables(n)), None)
