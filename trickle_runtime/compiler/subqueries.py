"""Subqueries as joins: EXISTS, IN, ANY and ALL as semi joins, scalar ones as columns.

A condition that is one of these in WHERE filters rows by whether they have a partner; a scalar
subquery becomes a column of a join with it, per correlation value where it is correlated.
Invariant: three-valued logic is kept as PostgreSQL has it (amendments A3, A6, B6).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlglot import exp

from trickle_runtime.compiler import nullability
from trickle_runtime.compiler.from_clause import FromPlanner, conjuncts, lift
from trickle_runtime.compiler.grouping import Tools, aggregate_calls, plan_aggregate
from trickle_runtime.compiler.joining import output_name
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.operators.inner_join import InnerJoin
from trickle_runtime.compiler.operators.left_join import LeftJoin
from trickle_runtime.compiler.operators.project import Item, Project
from trickle_runtime.compiler.operators.semi_join import SemiJoin
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.scope import Scope
from trickle_runtime.compiler.shelf import Shelf
from trickle_runtime.compiler.term import ref

Ctes = dict[str, exp.CTE]
Where = Callable[[Operator, Scope, list[exp.Expr], Ctes], "tuple[Operator, Scope]"]
_SPECIAL = ("group", "having", "distinct", "limit", "offset", "fetch", "with_", "windows")
_MATCH = "matched"


@dataclass(frozen=True)
class Inner:
    """A planned subquery: its rows, its outputs over them, and the correlated conditions."""

    operator: Operator
    outputs: list[exp.Expr]
    conditions: list[exp.Expr]


class SubqueryPlanner:
    """Plans the subqueries of one query's expressions."""

    def __init__(
        self,
        from_planner: FromPlanner,
        tools: Tools,
        plan_query: Callable[[exp.Query, Ctes], Operator],
        where: Where,
    ) -> None:
        self.from_planner, self.tools = from_planner, tools
        self.plan_query, self.where = plan_query, where
        self.alias = tools.alias

    def semi_join(
        self, condition: exp.Expr, source: Operator, scope: Scope, ctes: Ctes
    ) -> tuple[Operator, Scope] | None:
        """Filter ``source`` by a condition that is a subquery test, or None if it is none."""
        node, negated = _stripped(condition)
        if isinstance(node, exp.Exists):
            inner = self._inner(node.this, scope, ctes)
            return self._filter(source, scope, inner.operator, inner.conditions, negated)
        if isinstance(node, exp.In) and node.args.get("query") is not None:
            return self._in(node, source, scope, ctes, negated)
        quantified = node.args.get("expression")
        if isinstance(quantified, (exp.Any, exp.All)) and quantified.find(exp.Query):
            return self._quantified(node, quantified, source, scope, ctes, negated)
        return None

    def scalars(
        self, expressions: list[exp.Expr], source: Operator, scope: Scope, ctes: Ctes
    ) -> tuple[list[exp.Expr], Operator, Scope]:
        """Join the scalar subqueries in ``expressions`` and put columns in their places."""
        found: list[exp.Expr] = []
        for expression in expressions:
            holder = exp.Paren(this=expression.copy())
            while (node := _scalar_in(holder)) is not None:
                name = f"subquery.{self.alias('q')}"
                source, scope = self._scalar(node, source, scope, ctes, name)
                node.replace(exp.column(exp.to_identifier(name, quoted=True)))
            found.append(holder.this)
        return found, source, scope

    def _in(
        self, node: exp.In, source: Operator, scope: Scope, ctes: Ctes, negated: bool
    ) -> tuple[Operator, Scope]:
        inner = self._inner(node.args["query"].this, scope, ctes)
        left = [scope.resolve(value) for value in _tuple(node.this)]
        pairs = list(zip(left, inner.outputs, strict=True))
        if negated and len(pairs) == 1:
            return self._not_in(node, source, scope, ctes)
        if negated:
            both = [exp.Tuple(expressions=[p[side].copy() for p in pairs]) for side in (0, 1)]
            tests = [_is_not(exp.EQ(this=both[0], expression=both[1]), exp.false())]
        else:
            tests = [exp.EQ(this=_paren(a), expression=_paren(b)) for a, b in pairs]
        return self._filter(source, scope, inner.operator, [*inner.conditions, *tests], negated)

    def _not_in(
        self, node: exp.In, source: Operator, scope: Scope, ctes: Ctes
    ) -> tuple[Operator, Scope]:
        """Three anti joins: equal values, NULLs among the values, a NULL against any (B6)."""
        for step in ("equal", "null among", "null against"):
            inner = self._inner(node.args["query"].this, scope, ctes)
            value, other = scope.resolve(_tuple(node.this)[0]), inner.outputs[0]
            test: exp.Expr = exp.EQ(this=_paren(value), expression=_paren(other))
            if step == "null among":
                if nullability.never_null(other, [inner.operator]):
                    continue
                test = exp.Is(this=_paren(other), expression=exp.null())
            elif step == "null against":
                if nullability.never_null(value, [source]):
                    continue
                test = exp.Is(this=_paren(value), expression=exp.null())
            conditions = [*inner.conditions, test]
            source, scope = self._filter(source, scope, inner.operator, conditions, True)
        return source, scope

    def _quantified(
        self,
        node: exp.Expr,
        quantified: exp.Expr,
        source: Operator,
        scope: Scope,
        ctes: Ctes,
        negated: bool,
    ) -> tuple[Operator, Scope]:
        query = (
            quantified.this.unnest()
            if isinstance(quantified.this, exp.Subquery)
            else quantified.this
        )
        inner = self._inner(query, scope, ctes)
        test = node.copy()
        values = _tuple(test.this)
        if len(values) != 1 or len(inner.outputs) != 1:
            raise NotIncremental("SUBQUERY", "a row compared with ANY or ALL")
        test.set("this", _paren(scope.resolve(values[0])))
        test.set("expression", _paren(inner.outputs[0]))
        if isinstance(quantified, exp.Any):
            tested = _is_not(test, exp.false()) if negated else test
            return self._filter(
                source, scope, inner.operator, [*inner.conditions, tested], negated
            )
        tested = (
            exp.Is(this=_paren(test), expression=exp.false())
            if negated
            else _is_not(test, exp.true())
        )
        return self._filter(
            source, scope, inner.operator, [*inner.conditions, tested], not negated
        )

    def _filter(
        self,
        source: Operator,
        scope: Scope,
        right: Operator,
        conditions: list[exp.Expr],
        negated: bool,
    ) -> tuple[Operator, Scope]:
        for condition in conditions:
            if condition.find(exp.Query):
                raise NotIncremental("SUBQUERY", "a subquery inside a correlated condition")
        joined = SemiJoin(
            self.alias("s"), source, right, tuple(c.copy() for c in conditions), negated
        )
        return joined, lift(scope, joined.alias, lambda _, name: name)

    def _inner(self, query: exp.Expr, outer: Scope, ctes: Ctes) -> Inner:
        """Plan a subquery that may use columns of ``outer``."""
        while isinstance(query, exp.Subquery) and not query.alias:
            query = query.this
        assert isinstance(query, exp.Query)
        if not self._plain_select(query):
            operator = self.plan_query(query, ctes)
            return Inner(operator, [ref(operator.alias, c.name) for c in operator.columns], [])
        assert isinstance(query, exp.Select)
        gathered = self.from_planner.gather(query, ctes)
        where = query.args.get("where")
        tests = conjuncts(where.this) if where is not None else []
        own = [test for test in tests if not _reaches(test, gathered.scope)]
        operator, scope = self.where(*self.from_planner.join(gathered, []), own, ctes)
        both = Scope((*scope.items, *outer.items), {**outer.merged, **scope.merged})
        correlated = [both.resolve(test) for test in tests if test not in own]
        outputs = [both.resolve(o.unalias()) for o in query.expressions]
        return Inner(operator, outputs, correlated)

    def _plain_select(self, query: exp.Query) -> bool:
        if not isinstance(query, exp.Select) or any(query.args.get(n) for n in _SPECIAL):
            return False
        functions = self.tools.functions
        return not any(any(aggregate_calls(o, functions)) for o in query.expressions)

    def _scalar(
        self, node: exp.Expr, source: Operator, scope: Scope, ctes: Ctes, name: str
    ) -> tuple[Operator, Scope]:
        """Join one scalar subquery; it must be an aggregate, so that it has one row."""
        select = node.this
        while isinstance(select, exp.Subquery):
            select = select.this
        functions = self.tools.functions
        lone = isinstance(select, exp.Select) and not any(select.args.get(n) for n in _SPECIAL)
        if not lone or not any(aggregate_calls(select.expressions[0], functions)):
            raise NotIncremental("SUBQUERY", "a scalar subquery that may have several rows")
        gathered = self.from_planner.gather(select, ctes)
        where = select.args.get("where")
        tests = conjuncts(where.this) if where is not None else []
        if not any(_reaches(test, gathered.scope) for test in tests):
            return self._uncorrelated(select, source, scope, ctes, name)
        own = [test for test in tests if not _reaches(test, gathered.scope)]
        inner, inner_scope = self.where(*self.from_planner.join(gathered, []), own, ctes)
        pairs = [_pair(t, inner_scope, scope) for t in tests if t not in own]
        return self._per_value(select, source, scope, inner, inner_scope, pairs, name)

    def _uncorrelated(
        self, select: exp.Select, source: Operator, scope: Scope, ctes: Ctes, name: str
    ) -> tuple[Operator, Scope]:
        """One row for all: a cross join."""
        right = self.plan_query(select, ctes)
        joined = InnerJoin(self.alias("j"), (source, right), ())
        lifted = lift(scope, joined.alias, output_name)
        value = ref(joined.alias, output_name(right.alias, right.columns[0].name))
        return joined, Scope(lifted.items, {**lifted.merged, name: value})

    def _per_value(
        self,
        select: exp.Select,
        source: Operator,
        scope: Scope,
        inner: Operator,
        inner_scope: Scope,
        pairs: list[tuple[exp.Expr, exp.Expr]],
        name: str,
    ) -> tuple[Operator, Scope]:
        """One row per correlation value: a left join; no match means the value over no rows."""
        shelf = Shelf(self.alias("g"), [key for key, _ in pairs], self.tools.functions)
        before = len(shelf.keys)
        value = shelf.take(inner_scope.resolve(select.expressions[0].unalias()))
        if len(shelf.keys) != before:
            raise NotIncremental("SUBQUERY", "an ungrouped column in a scalar subquery")
        aggregate = plan_aggregate(shelf.alias, inner, shelf.keys, shelf.calls, self.tools)
        keys = [Item(Column(n, True), ref(aggregate.alias, n)) for n, _ in shelf.keys]
        shown = [
            *keys,
            Item(Column("value"), value),
            Item(Column(_MATCH, True), exp.true()),
        ]
        right = Project(self.alias("p"), aggregate, tuple(shown))
        tests = tuple(
            exp.EQ(this=_paren(outer), expression=ref(right.alias, key.column.name))
            for (_, outer), key in zip(pairs, keys, strict=True)
        )
        join = InnerJoin(self.alias("j"), (source, right), tests)
        names = [c.name for c in right.columns]
        types = tuple(zip(names, self.from_planner.describe(right), strict=True))
        joined = LeftJoin(self.alias("o"), join, types)
        lifted = lift(scope, joined.alias, output_name)
        there = ref(joined.alias, output_name(right.alias, _MATCH))
        found = ref(joined.alias, output_name(right.alias, "value"))
        empty = _over_nothing(value, shelf)
        case = exp.Case(ifs=[exp.If(this=there, true=found)], default=empty)
        return joined, Scope(lifted.items, {**lifted.merged, name: exp.Paren(this=case)})


def _pair(test: exp.Expr, inner: Scope, outer: Scope) -> tuple[exp.Expr, exp.Expr]:
    """The two sides of a correlated equality: over the inner rows, and over the outer row."""
    while isinstance(test, exp.Paren):
        test = test.this
    if isinstance(test, exp.EQ):
        for this, that in ((test.this, test.expression), (test.expression, test.this)):
            if not _reaches(this, inner) and not _reaches(that, outer):
                return inner.resolve(this), outer.resolve(that)
    raise NotIncremental("SUBQUERY", "a scalar subquery correlated by more than equalities")


def _over_nothing(value: exp.Expr, shelf: Shelf) -> exp.Expr:
    """The output expression over empty input: counts are 0, other aggregates NULL (A6)."""
    counts = {call.name for call in shelf.calls if call.function == "count"}

    def empty(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and node.table == shelf.alias:
            return exp.Literal.number(0) if node.name in counts else exp.null()
        return node

    if any(call.function not in _KNOWN_EMPTY for call in shelf.calls):
        raise NotIncremental("SUBQUERY", "an aggregate whose value over no rows is not known")
    return value.copy().transform(empty)


_KNOWN_EMPTY = frozenset(
    {"count", "sum", "avg", "min", "max", "bool_and", "bool_or", "every", "variance", "stddev"}
    | {"var_pop", "var_samp", "stddev_pop", "stddev_samp", "string_agg", "array_agg"}
)


def _stripped(condition: exp.Expr) -> tuple[exp.Expr, bool]:
    negated = False
    while isinstance(condition, (exp.Paren, exp.Not)):
        negated ^= isinstance(condition, exp.Not)
        condition = condition.this
    return condition, negated


def _scalar_in(expression: exp.Expr) -> exp.Expr | None:
    """The first scalar subquery in an expression."""
    for node in expression.find_all(exp.Subquery):
        parent = node.parent
        if isinstance(parent, (exp.In, exp.Any, exp.All, exp.Exists, exp.From, exp.Join)):
            raise NotIncremental("SUBQUERY", "a subquery test that is not a condition of its own")
        return node
    if expression.find(exp.Exists, exp.Select) is not None:
        raise NotIncremental("SUBQUERY", "a subquery test that is not a condition of its own")
    return None


def _reaches(expression: exp.Expr, scope: Scope) -> bool:
    """Whether an expression uses columns from outside of ``scope``."""
    own: set[int] = set()
    for query in expression.find_all(exp.Select):
        own |= {id(column) for column in query.find_all(exp.Column)}
    return any(
        not scope.has(column)
        for column in expression.find_all(exp.Column)
        if id(column) not in own
    )


def _tuple(value: exp.Expr) -> list[exp.Expr]:
    while isinstance(value, exp.Paren):
        value = value.this
    return list(value.expressions) if isinstance(value, exp.Tuple) else [value]


def _paren(value: exp.Expr) -> exp.Expr:
    return exp.Paren(this=value.copy())


def _is_not(test: exp.Expr, value: exp.Expr) -> exp.Expr:
    return exp.Not(this=exp.Is(this=_paren(test), expression=value))
