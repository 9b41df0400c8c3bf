"""Correlated queries: planned once for all rows of the query around them.

A correlated query Q(c) is planned as one query over the *domain*, the distinct values of the outer
columns c: the domain joins its FROM clause, and every grouping, partition and set of rows is kept
apart per value (Neumann and Kemper, Unnesting Arbitrary Queries, BTW 2015). The result carries the
values, by which it is joined with the outer rows. All of it is made of the ordinary operators, so
all of it is maintained by their rules (amendment A7: the domain's reference counts are the counts
of its groups).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from trickle_runtime.compiler.dialect import render
from trickle_runtime.compiler.joining import output_name
from trickle_runtime.compiler.matching import compared, match_keys
from trickle_runtime.compiler.operators.aggregate import Aggregate
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.operators.filter import Filter
from trickle_runtime.compiler.operators.inner_join import InnerJoin
from trickle_runtime.compiler.operators.left_join import LeftJoin
from trickle_runtime.compiler.operators.project import Item, Project
from trickle_runtime.compiler.operators.reference import Reference
from trickle_runtime.compiler.operators.semi_join import SemiJoin
from trickle_runtime.compiler.planning.grouping import plan_distinct
from trickle_runtime.compiler.planning.scope import (
    THERE,
    Scope,
    Source,
    Visible,
    free_columns,
    is_planned,
)
from trickle_runtime.compiler.planning.tools import Tools
from trickle_runtime.compiler.schema import Described
from trickle_runtime.compiler.term import image_of, ref

_IMAGE = "image of "
_PICKS = (exp.EQ, exp.Like)  # comparisons with a constant that few rows pass
_STRICT = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)


@dataclass(frozen=True)
class Planned:
    """A planned query.

    Attributes:
        operator: its rows.
        outputs: the operator's columns that are the query's, in order.
        carried: those that hold the domain's values, in order.
        empty: for a value of the domain without a row: the outputs over no rows, in terms of the
            domain's columns; None where such a value has no row.
        rejects: for each column of the domain, whether NULL in it gives no row (or the empty one).
    """

    operator: Operator
    outputs: tuple[str, ...]
    carried: tuple[str, ...] = ()
    empty: tuple[exp.Expr, ...] | None = None
    rejects: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Domain:
    """The distinct values of outer columns.

    ``columns`` are their names in the query, in order; then come the images of those that the
    query tells apart further than ``=`` does, under names that no query can use.
    """

    operator: Aggregate
    columns: tuple[exp.Column, ...]

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.columns)

    def instance(self, tools: Tools) -> Source:
        """The domain as a FROM item of its own."""
        operator = Reference(tools.alias("d"), self.operator)
        values = [ref(operator.alias, column.name) for column in self.operator.columns]
        return Source(operator, Scope(self.visible(values)), tuple(values))

    def visible(self, values: list[exp.Expr] | list[exp.Column]) -> tuple[Visible, ...]:
        """The outer names over given values."""
        tables: dict[str, dict[str, exp.Expr]] = {}
        for column, value in zip(self.columns, values, strict=True):
            tables.setdefault(column.table, {})[column.name] = value
        return tuple(Visible(table, columns) for table, columns in tables.items())


PlanQuery = Callable[[exp.Query, Domain], Planned]


@dataclass(frozen=True)
class Correlated:
    """A planned correlated query and the outer rows' values to join it by."""

    planned: Planned
    values: tuple[exp.Expr, ...]  # over the outer rows

    def matches(self, outer: Operator) -> list[exp.Expr]:
        """The conditions that bring the query's rows to the outer ones."""
        found: list[exp.Expr] = []
        for number, (value, name) in enumerate(
            zip(self.values, self.planned.carried, strict=True)
        ):
            carried = ref(self.planned.operator.alias, name)
            strict = self.planned.rejects[number] or _not_null(value, outer)
            kind = exp.EQ if strict else exp.NullSafeEQ
            found.append(kind(this=exp.Paren(this=value.copy()), expression=carried))
        return found

    def empty(self, domain: Domain) -> tuple[exp.Expr, ...] | None:
        """The outputs over no rows, in terms of the outer rows."""
        if self.planned.empty is None:
            return None
        names = [column.name for column in domain.operator.columns]
        values = dict(zip(names, self.values, strict=True))

        def bound(node: exp.Expr) -> exp.Expr:
            if isinstance(node, exp.Column) and node.table == domain.operator.alias:
                return exp.Paren(this=values[node.name].copy())
            return node

        return tuple(value.copy().transform(bound) for value in self.planned.empty)


def make_domain(query: exp.Expr, outer: Source, tools: Tools) -> tuple[exp.Expr, Domain, Source]:
    """The domain of a query over outer rows.

    Args:
        query: has free columns.
        outer: the rows that they belong to.
        tools: see ``Tools``.

    Returns:
        the query, which names all outer values as columns; the domain; and the outer rows with
        the values by which to join, as ``carried``.

    Raises:
        NotIncremental: a value's type can't be grouped.
    """
    query, outer = _without_rows(query, outer, tools)
    columns = outer_columns(query)
    values = [outer.resolve(column) for column in columns]
    for column, value in _told_apart(query, list(zip(columns, values, strict=True)), outer, tools):
        columns.append(exp.column(column.name, table=f"{_IMAGE}{column.table}"))
        values.append(image_of(value))
    keyed = Source(outer.operator, outer.scope, tuple(values))
    operator, below = _preserved(outer.operator, values)

    def distinct() -> Aggregate:
        named = [(f"d{i}", value) for i, value in enumerate(below)]
        return plan_distinct(tools.alias("g"), tools.project(operator, named), tools)

    shared = (operator.alias, *(render(value) for value in below))
    return query, Domain(tools.once(shared, distinct), tuple(columns)), keyed


def _without_rows(query: exp.Expr, outer: Source, tools: Tools) -> tuple[exp.Expr, Source]:
    """Outer rows that are values in a query, written as rows of columns that the domain can have.

    A row of a type of its own can be no column of a state table.
    """
    if not any(isinstance(column.this, exp.Star) for column in free_columns(query)):
        return query, outer
    table = tools.alias("o")
    columns: dict[str, exp.Expr] = {}

    def named(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Column):
            return node
        columns[node.name] = node.copy()
        return exp.column(node.name, table=table)

    query = query.copy()
    for column in list(free_columns(query)):
        if isinstance(column.this, exp.Star):
            column.replace(exp.Paren(this=outer.scope.find(column)).transform(named))
    scope = Scope((*outer.scope.items, Visible(table, columns)), outer.scope.merged)
    return query, Source(outer.operator, scope, outer.carried)


def _told_apart(
    query: exp.Expr,
    named: list[tuple[exp.Column, exp.Expr]],
    outer: Source,
    tools: Tools,
) -> list[tuple[exp.Column, exp.Expr]]:
    """The outer columns that are not only compared and whose equal values may differ (A9)."""
    used = {render(column) for column in free_columns(query) if not compared(column)}
    found = [(column, value) for column, value in named if render(column) in used]
    facts = tools.types_of([value for _, value in found], outer.operator)
    return [pair for pair, described in zip(found, facts, strict=True) if not described.exact]


def _preserved(operator: Operator, values: list[exp.Expr]) -> tuple[Operator, list[exp.Expr]]:
    """The values over the rows that an outer join keeps all of: the same values are distinct.

    Without it the domain of each of n subqueries in a select list has those before it inside.
    """
    while isinstance(operator, LeftJoin):
        left = operator.left
        names = {output_name(left.alias, c.name): c.name for c in left.columns}
        used = [c for value in values for c in value.find_all(exp.Column)]
        if any(c.table != operator.alias or c.name not in names for c in used):
            break
        values = [_lowered(value, left.alias, names) for value in values]
        operator = left
    return operator, values


def _lowered(value: exp.Expr, alias: str, names: Mapping[str, str]) -> exp.Expr:
    def lowered(node: exp.Expr) -> exp.Expr:
        return ref(alias, names[node.name]) if isinstance(node, exp.Column) else node

    return value.copy().transform(lowered)


def outer_columns(query: exp.Expr) -> list[exp.Column]:
    """The outer columns that a query uses, each once."""
    found: dict[str, exp.Column] = {}
    for column in free_columns(query):
        if not is_planned(column):
            found.setdefault(render(column), column.copy())
    return list(found.values())


def join_by_condition(
    outer: Source, found: Correlated, extra: list[exp.Expr], tools: Tools, *, left: bool
) -> Source:
    """Join outer rows with a correlated query's, whose columns become ``alias.name``."""
    conditions = (*found.matches(outer.operator), *extra)
    pair = (outer.operator, found.planned.operator)
    inner = InnerJoin(tools.alias("j"), pair, conditions)
    if not left:
        return outer.over(inner, output_name)
    return outer.over(left_join(inner, tools), output_name)


def left_join(inner: InnerJoin, tools: Tools) -> LeftJoin:
    """The left join over the two inputs and the condition of an inner one."""
    right = inner.parts[1]
    types = tuple((d.name, d.type) for d in tools.facts(right))
    keys = match_keys(inner.parts[0], inner.predicates, tools.types_of)
    return LeftJoin(tools.alias("o"), inner, types, keys)


def complete(planned_query: Planned, domain: Domain, tools: Tools) -> Planned:
    """A row for every value of the domain, where the query gives one over no rows."""
    if planned_query.empty is None:
        return planned_query
    place = domain.instance(tools)
    found = Correlated(flagged(planned_query, tools), place.carried)
    joined = join_by_condition(place, found, [], tools, left=True)
    right = found.planned.operator.alias
    there = ref(joined.operator.alias, output_name(right, THERE))
    empty = found.empty(domain) or ()
    named: list[tuple[str, exp.Expr]] = []
    for name, default in zip(planned_query.outputs, empty, strict=True):
        value = ref(joined.operator.alias, output_name(right, name))
        lifted = _over(default, place.operator.alias, joined.operator.alias)
        case = exp.Case(ifs=[exp.If(this=there.copy(), true=value)], default=lifted)
        named.append((name, case))
    named += [(f"d{i}", value) for i, value in enumerate(joined.carried)]
    rows = tools.project(joined.operator, named)
    carried = tuple(f"d{i}" for i in range(domain.width))
    rejects = tuple(False for _ in carried)  # NULL has the row that the query gives over no rows
    return Planned(rows, planned_query.outputs, carried, None, rejects)


def flagged(planned_query: Planned, tools: Tools) -> Planned:
    """The same rows with a column ``THERE`` that is true, to tell them from padding."""
    operator = planned_query.operator
    names = dict.fromkeys((*planned_query.outputs, *planned_query.carried))
    items = [Item(operator.column(n), ref(operator.alias, n)) for n in names]
    items.append(Item(Column(THERE, True), exp.true()))
    rows = Project(tools.alias("p"), operator, tuple(items))
    return Planned(
        rows,
        planned_query.outputs,
        planned_query.carried,
        planned_query.empty,
        planned_query.rejects,
    )


def _over(expression: exp.Expr, old: str, new: str) -> exp.Expr:
    """An expression over one input of a join, over the join."""

    def moved(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and node.table == old:
            return ref(new, output_name(old, node.name))
        return node

    return expression.copy().transform(moved)


def _not_null(value: exp.Expr, outer: Operator) -> bool:
    plain = isinstance(value, exp.Column) and value.table == outer.alias
    return plain and outer.column(value.name).not_null


def rejects_null(column: exp.Column, conditions: list[exp.Expr]) -> bool:
    """Whether one of the conjuncts is not true wherever an outer column is NULL."""
    text = render(column)
    for condition in conditions:
        test = condition
        while isinstance(test, exp.Paren):
            test = test.this
        if isinstance(test, _STRICT):
            for side in (test.this, test.expression):
                if _strictly(side) == text:
                    return True
    return False


def _strictly(side: exp.Expr) -> str:
    while isinstance(side, (exp.Paren, exp.Cast, exp.Neg)):
        side = side.this
    return render(side)


def is_narrow(domain: Domain) -> bool:
    """Whether the outer rows seem to be few of their tables'.

    A guess by the form of the query: a column is equal to a constant, or a semi join picks rows.
    Then it costs less to keep their values than what the query gives for all values.
    """
    return _is_picked(domain.operator.child)


def _is_picked(operator: Operator) -> bool:
    if isinstance(operator, SemiJoin):
        return not operator.negated or _is_picked(operator.left)
    if isinstance(operator, LeftJoin):
        return _is_picked(operator.left)
    if not isinstance(operator, Filter | InnerJoin | Project | Reference):
        return False
    return any(map(_picks, operator.expressions())) or any(map(_is_picked, operator.inputs))


def _picks(predicate: exp.Expr) -> bool:
    """Whether one of the conjuncts compares a column with a constant."""
    if isinstance(predicate, exp.Paren):
        return _picks(predicate.this)
    if isinstance(predicate, exp.And):
        return _picks(predicate.this) or _picks(predicate.expression)
    if not isinstance(predicate, _PICKS):
        return False
    sides = (predicate.this, predicate.expression)
    return [side.find(exp.Column) is None for side in sides].count(True) == 1


def eliminated(
    domain: Domain,
    conditions: list[exp.Expr],
    own: Scope,
    parts: Sequence[Operator],
    others: list[exp.Expr],
    tools: Tools,
) -> tuple[list[exp.Expr], list[exp.Expr]] | None:
    """The query's own expressions that stand in for the domain's columns, and what is left.

    Where every outer column is set equal to an expression over the query's own rows, these rows
    know the values by themselves and no domain is needed.

    Args:
        domain: of the query.
        conditions: conjuncts of WHERE, as in the query.
        own: what the FROM clause makes visible.
        parts: the operators behind it.
        others: everything else in the query that may use outer columns.
        tools: see ``Tools``.
    """
    rest = list(conditions)
    found: list[exp.Expr] = []
    for column in domain.columns:
        text = render(column)
        equal = next(((c, e) for c in rest if (e := _equal_to(c, text, own)) is not None), None)
        if equal is None:
            return None
        rest.remove(equal[0])
        found.append(own.resolve(equal[1]))
    used = {render(c) for expression in [*rest, *others] for c in free_columns(expression)}
    outer = tools.facts(domain.operator.child)
    for column, value, facts in zip(domain.columns, found, outer, strict=True):
        if render(column) in used and not _identical(value, parts, facts, tools):
            return None
    return found, rest


def _identical(value: exp.Expr, parts: Sequence[Operator], outer: Described, tools: Tools) -> bool:
    """Whether an equal value is the same value."""
    if not outer.exact or not isinstance(value, exp.Column):
        return False
    part = next((part for part in parts if part.alias == value.table), None)
    return part is not None and tools.fact(part, value.name).type == outer.type


def _equal_to(condition: exp.Expr, text: str, own: Scope) -> exp.Expr | None:
    """The side of an equality with an outer column that is an expression over own columns."""
    test = condition
    while isinstance(test, exp.Paren):
        test = test.this
    if not isinstance(test, exp.EQ):
        return None
    for this, that in ((test.this, test.expression), (test.expression, test.this)):
        while isinstance(that, exp.Paren):
            that = that.this
        if render(that) == text and _is_own(this, own):
            return this
    return None


def _is_own(expression: exp.Expr, own: Scope) -> bool:
    columns = list(free_columns(expression))
    plain = expression.find(exp.Query) is None
    return plain and bool(columns) and all(own.has(column) for column in columns)
