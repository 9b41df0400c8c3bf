"""FROM: tables, views, subqueries, functions and joins.

Inner joins of a FROM clause become one flat join; an outer join, and what is LATERAL, ends the
flat join so far and becomes one input of the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from sqlglot import exp

from trickle_runtime.compiler.joining import output_name
from trickle_runtime.compiler.matching import match_keys
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.operators.constant import Constant
from trickle_runtime.compiler.operators.filter import Filter
from trickle_runtime.compiler.operators.inner_join import InnerJoin
from trickle_runtime.compiler.operators.project import Item, Project
from trickle_runtime.compiler.operators.semi_join import SemiJoin
from trickle_runtime.compiler.operators.table_function import TableFunction
from trickle_runtime.compiler.operators.union_all import unite
from trickle_runtime.compiler.operators.values import Values
from trickle_runtime.compiler.planning import functions, relations
from trickle_runtime.compiler.planning.correlation import (
    Correlated,
    Domain,
    Planned,
    complete,
    flagged,
    join_by_condition,
    left_join,
    make_domain,
)
from trickle_runtime.compiler.planning.relations import Ctes
from trickle_runtime.compiler.planning.scope import (
    Scope,
    Source,
    Visible,
    expose,
    free_columns,
    joins,
    reads_tables,
)
from trickle_runtime.compiler.planning.tools import Tools
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.term import raw, ref

_OUTER = frozenset({"LEFT", "RIGHT", "FULL"})


class Queries(Protocol):
    """What FROM needs of the planner of whole queries."""

    def query(self, tree: exp.Expr, ctes: Ctes, domain: Domain | None = None) -> Planned:
        """Plan a query."""
        ...

    def relation(self, node: exp.Table, ctes: Ctes) -> tuple[Operator, Visible]:
        """Plan a table, a view or a common table expression."""
        ...

    def plain(self, expression: exp.Expr) -> exp.Expr:
        """Refuse what an expression of a row can't hold."""
        ...

    def inline(
        self, expressions: Sequence[exp.Expr], source: Source, ctes: Ctes
    ) -> tuple[list[exp.Expr], Source]:
        """Put columns in the places of the subqueries in expressions."""
        ...


@dataclass
class Gathered:
    """Inputs of the join, what the query can name, and the join conditions."""

    parts: list[Operator] = field(default_factory=list)
    items: list[Visible] = field(default_factory=list)
    merged: dict[str, exp.Expr] = field(default_factory=dict[str, exp.Expr])
    conditions: list[exp.Expr] = field(default_factory=list)
    carried: tuple[exp.Expr, ...] = ()
    pending: list[exp.Expr] = field(default_factory=list)  # conjuncts of WHERE, unresolved
    applied: list[exp.Expr] = field(default_factory=list)  # those of them that are applied

    @property
    def scope(self) -> Scope:
        """What can be named so far."""
        return Scope(tuple(self.items), self.merged)

    def become(self, source: Source) -> None:
        """Replace everything so far by one input."""
        self.parts, self.conditions = [source.operator], []
        self.items, self.merged = list(source.scope.items), dict(source.scope.merged)
        self.carried = source.carried


class FromPlanner:
    """Plans FROM clauses of one query."""

    def __init__(self, tools: Tools, queries: Queries) -> None:
        self.tools, self.queries = tools, queries

    def gather(
        self, select: exp.Select, ctes: Ctes, domain: Domain | None, where: list[exp.Expr]
    ) -> Gathered:
        """Plan every FROM item of a SELECT.

        Args:
            select: the query.
            ctes: the common table expressions that it can name.
            domain: the outer values, where it is correlated.
            where: conjuncts of WHERE that may be applied as soon as they can be.
        """
        gathered = Gathered(pending=list(where))
        clause = select.args.get("from_")
        if domain is not None and _correlated_from(select, domain):
            gathered.become(domain.instance(self.tools))
        if clause is None:
            return gathered
        self._item(clause.this, gathered, ctes)
        for join in joins(select):
            self._join(join, gathered, ctes)
        return gathered

    def join(self, gathered: Gathered, where: Sequence[exp.Expr] = ()) -> Source:
        """One operator for all FROM items and the conditions.

        Args:
            gathered: the FROM items.
            where: conjuncts of WHERE, resolved.
        """
        conditions = [*gathered.conditions, *where]
        if len(gathered.parts) > 1:
            parts = tuple(gathered.parts)
            joined = InnerJoin(self.tools.alias("j"), parts, tuple(conditions))
            source = Source(joined, gathered.scope, gathered.carried)
            return source.over(joined, output_name)
        operator = gathered.parts[0] if gathered.parts else Constant(self.tools.alias("one"))
        source = Source(operator, gathered.scope, gathered.carried)
        if not conditions:
            return source
        predicate = exp.and_(*conditions, copy=False)
        return source.over(Filter(self.tools.alias("f"), operator, predicate))

    def _item(self, node: exp.Expr, into: Gathered, ctes: Ctes) -> None:
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            operator, visible = self.queries.relation(node, ctes)
            into.parts.append(operator)
            into.items.append(visible)
        elif functions.is_call(node):
            self._function(node, into, None)
        elif isinstance(node, exp.Lateral):
            self._query(node.this, node, into, ctes)
        elif isinstance(node, exp.Subquery):
            self._subquery(node, into, ctes)
        elif isinstance(node, exp.Values):
            self._values(node, into, None)
        elif isinstance(node, exp.Paren):
            self._nested(node.this, into, ctes)
        else:
            raise NotIncremental("UNSUPPORTED", node.sql("postgres")[:80])
        for join in joins(node):
            self._join(join, into, ctes)

    def _nested(self, node: exp.Expr, into: Gathered, ctes: Ctes) -> None:
        """A join in parentheses: part of the flat join, unless it keeps rows of its right side."""
        sides = {join.side.upper() for join in node.find_all(exp.Join)}
        if not into.parts or sides <= {"", "LEFT"}:
            self._item(node, into, ctes)
            return
        own = Gathered()
        self._item(node, own, ctes)
        joined = self.join(own)
        into.parts.append(joined.operator)
        into.items += joined.scope.items
        into.merged |= joined.scope.merged

    def _join(self, join: exp.Join, into: Gathered, ctes: Ctes) -> None:
        side, kind = (join.side or "").upper(), (join.kind or "").upper()
        if join.args.get("method") or (side and side not in _OUTER):
            raise NotIncremental("OUTER_JOIN", join.sql("postgres")[:80])
        if side == "LEFT" and self._lateral(join, into, ctes):
            return
        if side:
            self._outer(side, join, into, ctes)
            return
        if kind not in {"", "INNER", "CROSS"}:
            raise NotIncremental("OUTER_JOIN", f"{kind} JOIN")
        before = into.scope
        known = len(into.items)
        self._item(join.this, into, ctes)
        names = _using(join)
        right = Scope(tuple(into.items[known:]))
        for name in names:
            first, second = (s.find(exp.column(name)) for s in (before, right))
            into.conditions.append(exp.EQ(this=first, expression=second))
            into.merged[name] = first.copy()
        condition = join.args.get("on")
        if condition is not None:
            self._on(conjuncts(condition), into, ctes)

    def _on(self, conditions: list[exp.Expr], into: Gathered, ctes: Ctes) -> None:
        """Conditions of an inner join are as good as in WHERE."""
        for condition in conditions:
            if reads_tables(condition):
                found, source = self.queries.inline([condition], self.join(into), ctes)
                into.become(source)
                into.conditions.append(source.resolve(self.queries.plain(found[0])))
            else:
                into.conditions.append(into.scope.resolve(self.queries.plain(condition)))

    def _outer(self, side: str, join: exp.Join, into: Gathered, ctes: Ctes) -> None:
        """An outer join ends the flat join so far: it becomes one side of the new operator."""
        if side != "LEFT":
            if into.carried:
                raise NotIncremental("OUTER_JOIN", f"{side} JOIN in a correlated FROM clause")
            into.pending.clear()  # what WHERE says may not be applied below this join
        other = Gathered()
        self._item(join.this, other, ctes)
        left, right = self.join(into), self.join(other)
        tests = conjuncts(join.args["on"]) if join.args.get("on") is not None else []
        for number, test in enumerate(tests):
            if reads_tables(test):
                tests[number], left, right = self._side_tests(test, left, right, ctes)
        names = _using(join)
        pairs = [tuple(s.scope.find(exp.column(name)) for s in (left, right)) for name in names]
        conditions: list[exp.Expr] = [exp.EQ(this=a, expression=b) for a, b in pairs]
        both = Scope(
            (*left.scope.items, *right.scope.items), {**left.scope.merged, **right.scope.merged}
        )
        conditions += [both.resolve(self.queries.plain(test)) for test in tests]
        operator = self._outer_operator(side, left.operator, right.operator, conditions)
        shown_left = left if side == "LEFT" else _padded(left)
        shown_right = right if side == "RIGHT" else _padded(right)
        items = (*shown_left.scope.items, *shown_right.scope.items)
        merged: dict[str, exp.Expr] = {**left.scope.merged, **right.scope.merged}
        for name, (a, b) in zip(names, pairs, strict=True):
            either: exp.Expr = exp.Coalesce(this=a.copy(), expressions=[b.copy()])
            merged[name] = either if side == "FULL" else (b if side == "RIGHT" else a).copy()
        source = Source(left.operator, Scope(items, merged), left.carried)
        into.become(source.over(operator, output_name))

    def _side_tests(
        self, condition: exp.Expr, left: Source, right: Source, ctes: Ctes
    ) -> tuple[exp.Expr, Source, Source]:
        """Subqueries in an ON condition become columns of the side that they belong to."""
        used = [c for q in condition.find_all(exp.Query) for c in free_columns(q)]
        used += [c for t in _compared(condition) for c in t.find_all(exp.Column)]
        if all(right.scope.has(column) for column in used):
            (found,), right = self.queries.inline([condition], right, ctes)
        elif all(left.scope.has(column) for column in used):
            (found,), left = self.queries.inline([condition], left, ctes)
        else:
            raise NotIncremental("SUBQUERY", "a subquery over both sides of an outer join")
        return found, left, right

    def _outer_operator(
        self, side: str, left: Operator, right: Operator, conditions: list[exp.Expr]
    ) -> Operator:
        if side == "RIGHT":
            left, right = right, left
        inner = InnerJoin(self.tools.alias("j"), (left, right), tuple(conditions))
        first = left_join(inner, self.tools)
        if side != "FULL":
            return first
        return self._full_join(first, left, right, conditions)

    def _full_join(
        self, first: Operator, left: Operator, right: Operator, conditions: list[exp.Expr]
    ) -> Operator:
        """The left join, and the right rows that have no partner at all."""
        tests = tuple(conditions)
        keys = match_keys(right, tests, self.tools.types_of)
        alone = SemiJoin(self.tools.alias("a"), right, left, tests, keys, negated=True)
        padded: list[Item] = []
        for column, facts in zip(left.columns, self.tools.facts(left), strict=True):
            null = raw(f"NULL::{facts.type}")
            padded.append(Item(Column(output_name(left.alias, column.name)), null))
        for column in right.columns:
            shown = replace(column, name=output_name(right.alias, column.name))
            padded.append(Item(shown, ref(alone.alias, column.name)))
        names = [column.name for column in first.columns]
        plain = tuple(Item(c, ref(first.alias, c.name)) for c in first.columns)
        branches = (
            Project(self.tools.alias("p"), first, plain),
            Project(self.tools.alias("p"), alone, tuple(padded)),
        )
        return unite(self.tools.alias("u"), branches, names)

    def _subquery(self, node: exp.Subquery, into: Gathered, ctes: Ctes) -> None:
        if node.args.get("sample"):
            raise NotIncremental("TABLE_SAMPLE", "TABLESAMPLE", whole=True)
        if not node.alias:  # a join in parentheses; canonical subqueries have a name
            self._nested(node.this, into, ctes)
        elif isinstance(node.this, (exp.Query, exp.Values)):
            self._query(node.this, node, into, ctes)
        else:
            raise NotIncremental("UNSUPPORTED", "an alias on a parenthesised join")

    def _query(self, inner: exp.Expr, node: exp.Expr, into: Gathered, ctes: Ctes) -> None:
        """A subquery, which may be LATERAL or correlated with an outer query."""
        query = _unwrapped(inner)
        if next(free_columns(query), None) is not None:
            self._correlated(query, node, into, ctes)
            return
        planned = self.queries.query(query, ctes)
        into.parts.append(planned.operator)
        into.items.append(_shown(node, planned.operator.alias, planned.outputs))

    def _correlated(self, query: exp.Expr, node: exp.Expr, into: Gathered, ctes: Ctes) -> None:
        """A subquery that uses columns of the FROM items before it, or of an outer query."""
        if not reads_tables(query):
            self._function(node, into, None)
            return
        self._apply_pending(into)
        outer = self.join(into)
        domain, keyed = make_domain(query, outer, self.tools)
        planned = self.queries.query(query, ctes, domain)
        found = Correlated(planned, keyed.carried)
        if planned.empty is None:
            joined = join_by_condition(outer, found, [], self.tools, left=False)
            shown = [output_name(planned.operator.alias, n) for n in planned.outputs]
            into.become(joined)
            into.items.append(_shown(node, joined.operator.alias, planned.outputs, shown))
            return
        self._with_empty(node, outer, found, domain, into)

    def _with_empty(
        self, node: exp.Expr, outer: Source, found: Correlated, domain: Domain, into: Gathered
    ) -> None:
        """A subquery that has a row for every outer row, also over no rows."""
        marked = Correlated(flagged(found.planned, self.tools), found.values)
        joined = join_by_condition(outer, marked, [], self.tools, left=True)
        right = marked.planned.operator.alias
        there = ref(joined.operator.alias, output_name(right, "there"))
        values: dict[str, exp.Expr] = {}
        empty = marked.empty(domain) or ()
        for name, default in zip(found.planned.outputs, empty, strict=True):
            value = ref(joined.operator.alias, output_name(right, name))
            lifted = Source(outer.operator, Scope((), {"v": default})).over(
                joined.operator, output_name
            )
            branch = exp.If(this=there.copy(), true=value)
            case = exp.Case(ifs=[branch], default=lifted.scope.merged["v"])
            values[name] = exp.Paren(this=case)
        labels = relations.alias_columns(node) or []
        named = [*labels, *list(values)[len(labels) :]]
        into.become(joined)
        columns = dict(zip(named, values.values(), strict=True))
        into.items.append(Visible(node.alias, columns))

    def _lateral(self, join: exp.Join, into: Gathered, ctes: Ctes) -> bool:
        """LEFT JOIN of something LATERAL: rows without a partner stay."""
        node = join.this
        condition = join.args.get("on")
        tests = conjuncts(condition) if condition is not None else []
        if functions.is_call(node) and next(free_columns(node), None) is not None:
            self._function(node, into, tests)
            return True
        if not isinstance(node, (exp.Lateral, exp.Subquery)) or not node.alias:
            return False
        query = node.this
        if not isinstance(query, exp.Query) or next(free_columns(query), None) is None:
            return False
        query = _unwrapped(query)
        if not reads_tables(query):
            self._function(node, into, tests)
            return True
        outer = self.join(into)
        domain, keyed = make_domain(query, outer, self.tools)
        planned = complete(self.queries.query(query, ctes, domain), domain, self.tools)
        alias = planned.operator.alias
        inner_item = _shown(node, alias, planned.outputs)
        both = Scope((*outer.scope.items, inner_item), outer.scope.merged)
        extra = [both.resolve(self.queries.plain(test)) for test in tests]
        found = Correlated(planned, keyed.carried)
        joined = join_by_condition(outer, found, extra, self.tools, left=True)
        shown = [output_name(alias, n) for n in planned.outputs]
        into.become(joined)
        into.items.append(_shown(node, joined.operator.alias, planned.outputs, shown))
        return True

    def _apply_pending(self, into: Gathered) -> None:
        """Apply what WHERE says of the FROM items so far before they become a domain."""
        for condition in list(into.pending):
            columns = list(free_columns(condition))
            plain = condition.find(exp.Query) is None and bool(columns)
            if plain and all(into.scope.has(column) for column in columns):
                into.conditions.append(into.scope.resolve(self.queries.plain(condition)))
                into.pending.remove(condition)
                into.applied.append(condition)

    def _function(self, node: exp.Expr, into: Gathered, tests: list[exp.Expr] | None) -> None:
        """A function, VALUES, or a subquery that reads no table: applied to each row so far."""
        call = functions.read(node)
        independent = next(free_columns(call.expression), None) is None and tests is None
        source = self.join(Gathered() if independent else into)
        if not independent:
            self._apply_pending(into)
            source = self.join(into)
        expression = source.resolve(call.expression)
        names = call.names or self._described(call, expression, source)
        alias = self.tools.alias("f")
        results = tuple((n, Column(output_name(alias, n))) for n in names)
        if call.ordinality:
            last = names[-1]
            results = (*results[:-1], (last, Column(output_name(alias, last), True, (0,))))
        item = Visible(node.alias, {n: ref(alias, output_name(alias, n)) for n in names})
        condition: exp.Expr | None = None
        if tests is not None:
            inner = Visible(node.alias, {n: ref(alias, n) for n in names})
            scope = Scope((*source.scope.items, inner), source.scope.merged)
            found = [scope.resolve(self.queries.plain(test)) for test in tests]
            condition = exp.and_(*found, copy=False) if found else exp.true()
            results = tuple((n, replace(c, not_null=False)) for n, c in results)
        operator = TableFunction(
            alias,
            source.operator,
            expression,
            call.suffix,
            call.definition(names),
            results,
            output_name(alias, names[-1]) if call.ordinality and tests is None else None,
            condition,
        )
        if independent:
            into.parts.append(operator)
        else:
            into.become(source.over(operator))
        into.items.append(item)

    def _described(self, call: functions.Call, expression: exp.Expr, source: Source) -> list[str]:
        """The names of a function's columns, where the query does not say them."""
        return functions.result_names(call, expression, source.operator, self.tools)

    def _values(self, node: exp.Values, into: Gathered, tests: list[exp.Expr] | None) -> None:
        if next(free_columns(node), None) is not None:
            self._function(node, into, tests)
            return
        names = functions.values_names(node)
        operator = Values(self.tools.alias("v"), functions.values_text(node), tuple(names))
        into.parts.append(operator)
        into.items.append(expose(node.alias, operator))


def _compared(condition: exp.Expr) -> Iterator[exp.Expr]:
    """What is compared with subqueries: it will stand inside of them."""
    for node in condition.walk():
        right = node.args.get("expression")
        if node.args.get("query") is not None or isinstance(right, (exp.Any, exp.All)):
            yield node.this


def conjuncts(condition: exp.Expr) -> list[exp.Expr]:
    """The conditions that AND connects."""
    while isinstance(condition, exp.Paren):
        condition = condition.this
    if isinstance(condition, exp.And):
        return [*conjuncts(condition.this), *conjuncts(condition.expression)]
    return [condition]


def _correlated_from(select: exp.Select, domain: Domain) -> bool:
    """Whether the FROM clause itself uses outer columns."""
    clause = select.args.get("from_")
    if clause is None:
        return False
    alone = exp.Select(from_=clause.copy(), joins=[join.copy() for join in joins(select)])
    used = {(c.table, c.name) for c in free_columns(alone)}
    return bool(used & {(c.table, c.name) for c in domain.columns})


def _padded(source: Source) -> Source:
    """A side of an outer join whose rows may be padding: a row as a value may be NULL."""
    items = tuple(replace(item, row=None) for item in source.scope.items)
    return replace(source, scope=Scope(items, source.scope.merged))


def _shown(
    node: exp.Expr, alias: str, outputs: Sequence[str], columns: Sequence[str] | None = None
) -> Visible:
    labels = relations.alias_columns(node)
    named = [*labels, *outputs[len(labels) :]]
    pairs = zip(named, columns or outputs, strict=True)
    return Visible(node.alias, {label: ref(alias, name) for label, name in pairs})


def _unwrapped(query: exp.Expr) -> exp.Expr:
    while isinstance(query, exp.Subquery) and not query.alias and not joins(query):
        if any(query.args.get(n) for n in ("limit", "offset", "order", "with_")):
            break
        query = query.this
    return query


def _using(join: exp.Join) -> list[str]:
    names: list[exp.Identifier] = join.args.get("using") or []
    return [name.name for name in names]
