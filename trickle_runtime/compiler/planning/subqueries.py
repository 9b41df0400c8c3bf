"""Subqueries in expressions: EXISTS, IN, ANY and ALL in WHERE as semi joins, others as columns.

A condition that is a subquery test filters rows by whether they have a partner, without state. In
any other place the test is written as a scalar subquery; a scalar subquery becomes a column of a
join with it, per value of the outer columns where it is correlated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from sqlglot import exp

from trickle_runtime.compiler import nullability
from trickle_runtime.compiler.joining import output_name
from trickle_runtime.compiler.matching import match_keys
from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.operators.inner_join import InnerJoin
from trickle_runtime.compiler.operators.semi_join import SemiJoin
from trickle_runtime.compiler.planning import tests_as_queries as tests
from trickle_runtime.compiler.planning.correlation import (
    Correlated,
    Domain,
    Planned,
    complete,
    flagged,
    join_by_condition,
    make_domain,
)
from trickle_runtime.compiler.planning.from_clause import FromPlanner
from trickle_runtime.compiler.planning.gathered import conjuncts
from trickle_runtime.compiler.planning.grouping import aggregate_calls
from trickle_runtime.compiler.planning.relations import Ctes
from trickle_runtime.compiler.planning.scalars import guarded, single
from trickle_runtime.compiler.planning.scope import (
    THERE,
    Scope,
    Source,
    Visible,
    free_columns,
    is_planned,
    reads_tables,
)
from trickle_runtime.compiler.planning.tools import Tools
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.term import ref
from trickle_runtime.compiler.volatility import function_name


class Queries(Protocol):
    """What subqueries need of the planner of whole queries."""

    def query(self, tree: exp.Expr, ctes: Ctes, domain: Domain | None = None) -> Planned:
        """Plan a query."""
        ...

    def where(self, source: Source, conditions: Sequence[exp.Expr], ctes: Ctes) -> Source:
        """Filter rows by conjuncts of WHERE."""
        ...

    def plain(self, expression: exp.Expr) -> exp.Expr:
        """Refuse what an expression of a row can't hold."""
        ...


class SubqueryPlanner:
    """Plans the subqueries of one query's expressions."""

    def __init__(self, from_planner: FromPlanner, tools: Tools, queries: Queries) -> None:
        self.from_planner, self.tools, self.queries = from_planner, tools, queries

    def semi_join(self, condition: exp.Expr, source: Source, ctes: Ctes) -> Source | None:
        """Filter ``source`` by a condition that is a subquery test, or None if it is none."""
        node, negated = _stripped(condition)
        if isinstance(node, exp.Exists):
            return self._exists(node, source, ctes, negated)
        if isinstance(node, exp.In) and node.args.get("query") is not None:
            return self._in(node, source, ctes, negated)
        if tests.is_quantified(node) and reads_tables(node.args["expression"]):
            quantifier = node.args["expression"]
            return self._quantified(node, quantifier, source, ctes, negated)
        return None

    def inline(
        self, expressions: Sequence[exp.Expr], source: Source, ctes: Ctes
    ) -> tuple[list[exp.Expr], Source]:
        """Join the subqueries in ``expressions`` and put columns in their places."""
        keys = [f"inline.{self.tools.alias('e')}" for _ in expressions]
        for key, expression in zip(keys, expressions, strict=True):
            source = source.naming(key, expression.copy())
        for key in keys:
            source = self._inline(key, source, ctes)
        return [source.scope.merged[key] for key in keys], source.forgetting(keys)

    def _inline(self, key: str, source: Source, ctes: Ctes) -> Source:
        """Put columns in the places of the subqueries in one named expression.

        The expression may be over the plan's columns in part: it moves along with the source.
        """
        while True:
            holder = exp.Paren(this=source.scope.merged[key].copy())
            node = subquery_in(holder)
            if node is None:
                return source
            if not isinstance(node, exp.Subquery):
                source = self._qualified(node, source)
                self._separate(node)
                node.replace(_as_scalars(node))
                source = source.naming(key, holder.this)
                continue
            name = f"subquery.{self.tools.alias('q')}"
            source = self._scalar(node, source, ctes, name)
            holder = exp.Paren(this=source.scope.merged[key].copy())
            place = subquery_in(holder)
            assert place is not None
            place.replace(exp.column(exp.to_identifier(name, quoted=True)))
            source = source.naming(key, holder.this)

    def _separate(self, node: exp.Expr) -> None:
        """Let a subquery whose outputs decide how many rows it has stand in FROM.

        A test adds a condition on its rows, or counts them.
        """
        place = tests.query_of(node)
        query = tests.unwrapped(place)
        if not isinstance(query, exp.Select) or not tests.is_plain(query):
            return
        if not (self._looks_around(query) or self._grouped(query)):
            return
        if isinstance(node, exp.Anonymous) and query.args.get("order") is not None:
            raise NotIncremental("SUBQUERY", "ARRAY() of a query in an order of its own")
        place.replace(tests.wrapped(query))

    def _qualified(self, node: exp.Expr, source: Source) -> Source:
        """Give columns of a compared value names that mean the same inside of the subquery."""
        value = node.args.get("this")
        if isinstance(node, exp.Exists) or not isinstance(value, exp.Expr):
            return source
        holder = exp.Paren(this=value)
        for column in list(free_columns(holder)):
            if column.table and not is_planned(column):
                continue
            table = self.tools.alias("o")
            meant = column.copy() if is_planned(column) else source.scope.find(column)
            item = Visible(table, {column.name: meant})
            scope = Scope((*source.scope.items, item), source.scope.merged)
            source = replace(source, scope=scope)
            column.replace(exp.column(column.name, table=table))
        node.set("this", holder.this)
        return source

    def parameters(self, condition: exp.Expr, ctes: Ctes) -> tuple[exp.Expr, Operator] | None:
        """One row of the values of a condition's subqueries, where none is correlated.

        Returns:
            the condition with columns of that row in their places, and the row.
        """
        rows: list[Operator] = []
        holder = exp.Paren(this=condition.copy())
        while (node := subquery_in(holder)) is not None:
            if next(free_columns(node), None) is not None:
                return None
            if not isinstance(node, exp.Subquery):
                if any(next(free_columns(q), None) for q in node.find_all(exp.Query)):
                    return None
                self._separate(node)
                node.replace(_as_scalars(node))
                continue
            planned = single(self.queries.query(_query(node), ctes), self.tools)
            rows.append(planned.operator)
            node.replace(guarded(planned, self.tools, partial(ref, planned.operator.alias)))
        return self.tools.side_by_side(rows, holder.this) if rows else None

    def _exists(
        self, node: exp.Exists, source: Source, ctes: Ctes, negated: bool
    ) -> Source | None:
        query = tests.tested(node)
        if tests.is_plain(query) and self._grouped(query):
            return None  # an aggregate without GROUP BY always has a row
        right, conditions = self._inner(query, source, ctes)
        return self._filter(source, right.operator, conditions, negated)

    def _in(self, node: exp.In, source: Source, ctes: Ctes, negated: bool) -> Source | None:
        query = tests.unwrapped(node.args["query"])
        if reads_tables(node.this):
            return None
        left = [source.resolve(value) for value in _tuple(node.this)]
        if negated and len(left) == 1:
            return self._not_in(left[0], query, source, ctes)
        right, conditions = self._inner(query, source, ctes)
        outputs = [ref(right.operator.alias, name) for name in right.outputs]
        if len(left) != len(outputs):
            return None
        if negated:
            rows = [exp.Tuple(expressions=[_paren(v) for v in side]) for side in (left, outputs)]
            found = [_is_not(exp.EQ(this=rows[0], expression=rows[1]), exp.false())]
        else:
            pairs = zip(left, outputs, strict=True)
            found = [exp.EQ(this=_paren(a), expression=b) for a, b in pairs]
        return self._filter(source, right.operator, [*conditions, *found], negated)

    def _not_in(self, value: exp.Expr, query: exp.Expr, source: Source, ctes: Ctes) -> Source:
        """Three anti joins: equal values, NULLs among the values, a NULL against any (B6)."""
        right, conditions = self._inner(query, source, ctes)
        operator = right.operator
        other = ref(operator.alias, right.outputs[0])
        never = nullability.never_null(value, [source.operator])
        found: list[exp.Expr] = [exp.EQ(this=_paren(value), expression=other)]
        if not nullability.never_null(other, [operator]):
            found.append(exp.Is(this=other.copy(), expression=exp.null()))
        if not never:
            found.append(exp.Is(this=_paren(value), expression=exp.null()))
        for test in found:
            before = source
            lifted = [*conditions, test]
            source = self._filter(before, operator, lifted, True)
            conditions = [_moved(c, before, source) for c in conditions]
            found[:] = [_moved(c, before, source) for c in found]
        return source

    def _quantified(
        self,
        node: exp.Expr,
        quantifier: exp.Expr,
        source: Source,
        ctes: Ctes,
        negated: bool,
    ) -> Source | None:
        values = _tuple(node.this)
        if len(values) != 1 or reads_tables(node.this):
            return None
        right, conditions = self._inner(tests.unwrapped(quantifier.this), source, ctes)
        if len(right.outputs) != 1:
            return None
        test = node.copy()
        test.set("this", _paren(source.resolve(values[0])))
        test.set("expression", ref(right.operator.alias, right.outputs[0]))
        if isinstance(quantifier, exp.Any):
            tested = _is_not(test, exp.false()) if negated else test
            return self._filter(source, right.operator, [*conditions, tested], negated)
        tested = (
            exp.Is(this=_paren(test), expression=exp.false())
            if negated
            else _is_not(test, exp.true())
        )
        return self._filter(source, right.operator, [*conditions, tested], not negated)

    def _filter(
        self, source: Source, right: Operator, conditions: list[exp.Expr], negated: bool
    ) -> Source:
        found = tuple(condition.copy() for condition in conditions)
        keys = match_keys(source.operator, found, self.tools.types_of)
        joined = SemiJoin(self.tools.alias("s"), source.operator, right, found, keys, negated)
        return source.over(joined)

    def _inner(self, query: exp.Expr, outer: Source, ctes: Ctes) -> tuple[Planned, list[exp.Expr]]:
        """Plan a subquery, and the conditions that connect its rows with outer ones."""
        assert isinstance(query, exp.Query)
        if next(free_columns(query), None) is None:
            return self.queries.query(query, ctes), []
        plain = tests.is_plain(query) and not self._looks_around(query)
        if plain and not self._grouped(query):
            found = self._by_where(query, outer, ctes)
            if found is not None:
                return found
        query, domain, keyed = make_domain(query, outer, self.tools)
        planned = complete(self.queries.query(query, ctes, domain), domain, self.tools)
        correlated = Correlated(planned, keyed.carried)
        return planned, correlated.matches(outer.operator)

    def _by_where(
        self, query: exp.Expr, outer: Source, ctes: Ctes
    ) -> tuple[Planned, list[exp.Expr]] | None:
        """A subquery that is correlated by plain conditions of its WHERE only: no domain."""
        assert isinstance(query, exp.Select)
        where = query.args.get("where")
        conditions = conjuncts(where.this) if where is not None else []
        correlated = [c for c in conditions if next(free_columns_of(c, query), None) is not None]
        rest = query.copy()
        rest.set("where", None)
        rest.set("order", None)
        if next(free_columns(rest), None) is not None or any(map(reads_tables, correlated)):
            return None
        own = [c for c in conditions if c not in correlated]
        gathered = self.from_planner.gather(query, ctes, None, own)
        source = self.queries.where(gathered.join(self.tools), own, ctes)
        values = [source.resolve(self.queries.plain(o.unalias())) for o in query.expressions]
        names = [f"c{i}" for i in range(len(values))]
        needed = {
            (c.table, c.name): source.scope.find(c)
            for condition in correlated
            for c in condition.find_all(exp.Column)
            if source.scope.has(c)
        }
        shown = [(f"k{i}", value) for i, value in enumerate(needed.values())]
        rows = self.tools.project(source.operator, [*zip(names, values, strict=True), *shown])
        columns = {key: ref(rows.alias, f"k{i}") for i, key in enumerate(needed)}
        both = _Both(columns, outer.scope)
        tests_found = [both.resolve(self.queries.plain(c)) for c in correlated]
        return Planned(rows, tuple(names)), tests_found

    def _looks_around(self, query: exp.Expr) -> bool:
        """Whether an output of a SELECT is a set, or depends on the other rows by a window."""
        assert isinstance(query, exp.Select)
        sets = self.tools.functions.set_returning
        calls = [c for o in query.expressions for c in o.find_all(exp.Anonymous)]
        if any(function_name(call) in sets for call in calls):
            return True
        return any(output.find(exp.Window) for output in query.expressions)

    def _grouped(self, query: exp.Expr) -> bool:
        functions = self.tools.functions
        assert isinstance(query, exp.Select)
        return any(any(aggregate_calls(o, functions)) for o in query.expressions)

    def _scalar(self, node: exp.Subquery, source: Source, ctes: Ctes, name: str) -> Source:
        """Join one scalar subquery under a name."""
        query = _query(node)
        self._refuse_outer_aggregates(query)
        if next(free_columns(query), None) is None:
            return self._uncorrelated(query, source, ctes, name)
        query, domain, keyed = make_domain(query, source, self.tools)
        planned = single(self.queries.query(query, ctes, domain), self.tools)
        marked = flagged(planned, self.tools)
        settled = self.tools.net(marked.operator)
        marked = Planned(settled, marked.outputs, marked.carried, marked.empty, marked.rejects)
        found = Correlated(marked, keyed.carried)
        joined = join_by_condition(source, found, [], self.tools, left=True)
        value = guarded(
            planned,
            self.tools,
            lambda n: ref(joined.operator.alias, output_name(settled.alias, n)),
        )
        empty = found.empty(domain)
        if empty is not None:
            there = ref(joined.operator.alias, output_name(settled.alias, THERE))
            lifted = Source(source.operator, Scope((), {"v": empty[0]})).over(
                joined.operator, output_name
            )
            branch = exp.If(this=there, true=value)
            case = exp.Case(ifs=[branch], default=lifted.scope.merged["v"])
            value = exp.Paren(this=case)
        return joined.naming(name, value)

    def _uncorrelated(self, query: exp.Query, source: Source, ctes: Ctes, name: str) -> Source:
        """One row for all: a cross join."""
        planned = single(self.queries.query(query, ctes), self.tools)
        right = self.tools.net(planned.operator)
        joined = InnerJoin(self.tools.alias("j"), (source.operator, right), ())
        value = guarded(
            planned, self.tools, lambda n: ref(joined.alias, output_name(right.alias, n))
        )
        return source.over(joined, output_name).naming(name, value)

    def _refuse_outer_aggregates(self, query: exp.Query) -> None:
        """An aggregate over outer columns alone belongs to the outer query."""
        for select in query.find_all(exp.Select):
            for output in select.expressions:
                for call in aggregate_calls(output, self.tools.functions):
                    columns = list(call.find_all(exp.Column))
                    outer = {id(c) for c in free_columns_of(call, query)}
                    if columns and all(id(column) in outer for column in columns):
                        raise NotIncremental("SUBQUERY", "an aggregate of the outer query")


class _Both:
    """Names of a subquery's own columns, then those of the outer query."""

    def __init__(self, own: dict[tuple[str, str], exp.Column], outer: Scope) -> None:
        self.own, self.outer = own, outer

    def resolve(self, condition: exp.Expr) -> exp.Expr:
        holder = exp.Paren(this=condition.copy())
        for column in list(holder.find_all(exp.Column)):
            found = self.own.get((column.table, column.name))
            column.replace(self.outer.find(column) if found is None else found.copy())
        return holder.this


def subquery_in(holder: exp.Expr) -> exp.Expr | None:
    """The first subquery, or subquery test, in an expression that reads tables."""
    for node in holder.walk():
        if isinstance(node, exp.Exists) and reads_tables(node):
            return node
        if isinstance(node, exp.In) and node.args.get("query") is not None:
            if reads_tables(node.args["query"]):
                return node
        elif isinstance(node, exp.Anonymous) and _is_array(node) and reads_tables(node):
            return node
        elif tests.is_quantified(node) or tests.is_row_comparison(node):
            if reads_tables(node.args["expression"]):
                return node
        elif isinstance(node, exp.Subquery) and reads_tables(node):
            return node
    return None


def _as_scalars(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Exists):
        return tests.exists(node)
    if isinstance(node, exp.In):
        return tests.contained(node)
    if isinstance(node, exp.Anonymous):
        return tests.array(node)
    if tests.is_row_comparison(node):
        return tests.row_compared(node)
    return tests.quantified(node, node.args["expression"])


def free_columns_of(part: exp.Expr, query: exp.Expr):
    """Columns in a part of a query that belong to a query around it."""
    inside = {id(node) for node in part.find_all(exp.Column)}
    return (column for column in free_columns(query) if id(column) in inside)


def _is_array(node: exp.Anonymous) -> bool:
    is_array = isinstance(node.this, str) and node.this.upper() == "ARRAY"
    return is_array and any(isinstance(e, exp.Query) for e in node.expressions)


def _query(node: exp.Subquery) -> exp.Query:
    query = tests.unwrapped(node)
    assert isinstance(query, exp.Query)
    return query


def _stripped(condition: exp.Expr) -> tuple[exp.Expr, bool]:
    negated = False
    while isinstance(condition, (exp.Paren, exp.Not)):
        negated ^= isinstance(condition, exp.Not)
        condition = condition.this
    return condition, negated


def _moved(condition: exp.Expr, before: Source, after: Source) -> exp.Expr:
    def moved(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and node.table == before.operator.alias:
            return ref(after.operator.alias, node.name)
        return node

    return condition.copy().transform(moved)


def _tuple(value: exp.Expr) -> list[exp.Expr]:
    while isinstance(value, exp.Paren):
        value = value.this
    return list(value.expressions) if isinstance(value, exp.Tuple) else [value]


def _paren(value: exp.Expr) -> exp.Expr:
    return exp.Paren(this=value.copy())


def _is_not(test: exp.Expr, value: exp.Expr) -> exp.Expr:
    return exp.Not(this=exp.Is(this=_paren(test), expression=value))
