"""FROM: tables, views, subqueries, functions and joins.

Inner joins of a FROM clause become one flat join; an outer join, and what is LATERAL, ends the
flat join so far and becomes one input of the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sqlglot import exp

from trickle_runtime.compiler.joining import output_name
from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.operators.filter import Filter
from trickle_runtime.compiler.operators.inner_join import InnerJoin
from trickle_runtime.compiler.planning import functions, time
from trickle_runtime.compiler.planning.correlation import Domain
from trickle_runtime.compiler.planning.gathered import Gathered, Queries, conjuncts
from trickle_runtime.compiler.planning.lateral import LateralPlanner, shown, unwrapped
from trickle_runtime.compiler.planning.outer_joins import join_of_pairs, outer_join
from trickle_runtime.compiler.planning.relations import Ctes
from trickle_runtime.compiler.planning.rows import padded, used_rows
from trickle_runtime.compiler.planning.scope import (
    Scope,
    Source,
    Visible,
    free_columns,
    joins,
    reads_tables,
)
from trickle_runtime.compiler.planning.tests_as_queries import is_quantified
from trickle_runtime.compiler.planning.tools import Tools
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.term import ref

_SIDES = frozenset({"", "LEFT", "RIGHT", "FULL"})
_KINDS = frozenset({"", "INNER", "CROSS", "OUTER"})


class FromPlanner:
    """Plans FROM clauses of one query."""

    def __init__(self, tools: Tools, queries: Queries) -> None:
        self.tools, self.queries = tools, queries
        self.lateral = LateralPlanner(tools, queries)

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
        if clause is None:
            return gathered
        if domain is not None and any(_uses(node, domain) for node in (clause, *joins(select))):
            gathered = self._correlated(domain, gathered.pending)
        self._item(clause.this, gathered, ctes)
        for join in joins(select):
            self._join(join, gathered, ctes)
        return gathered

    def _correlated(self, domain: Domain, pending: list[exp.Expr]) -> Gathered:
        """FROM items that begin with the outer values."""
        gathered = Gathered(domain, pending=pending)
        gathered.become(domain.instance(self.tools))
        return gathered

    def _side(self, node: exp.Expr, into: Gathered, ctes: Ctes, *, all_values: bool) -> Source:
        """A side of a join that is planned by itself; with the outer values if it uses them.

        ``all_values``: it has them in any case.
        """
        domain, side = into.domain, Gathered()
        if domain is not None and (all_values or _uses(node, domain)):
            side = self._correlated(domain, [])
        self._item(node, side, ctes)
        return side.join(self.tools)

    def _item(self, node: exp.Expr, into: Gathered, ctes: Ctes) -> None:
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            operator, visible = self.queries.relation(node, ctes)
            into.parts.append(operator)
            into.items.append(visible)
        elif functions.is_call(node):
            self.lateral.function(node, into, None)
        elif isinstance(node, exp.Lateral):
            self._query(node.this, node, into, ctes)
        elif isinstance(node, exp.Subquery):
            self._subquery(node, into, ctes)
        elif isinstance(node, exp.Values):
            self.lateral.values(node, into, None)
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
        joined = self._side(node, into, ctes, all_values=False)
        into.conditions += _same_values(into.carried, joined.carried)
        into.parts.append(joined.operator)
        into.items += _own(joined, into.domain)
        into.merged |= joined.scope.merged

    def _join(self, join: exp.Join, into: Gathered, ctes: Ctes) -> None:
        side, kind = (join.side or "").upper(), (join.kind or "").upper()
        if side not in _SIDES or kind not in _KINDS:
            raise NotIncremental("UNSUPPORTED", join.sql("postgres")[:80])
        if side == "LEFT" and self.lateral.left(join, into, ctes):
            return
        if side:
            self._outer(side, join, into, ctes)
            return
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
            if time.depends(condition):
                into.become(self.queries.where(into.join(self.tools), [condition], ctes))
            elif reads_tables(condition):
                found, source = self.queries.inline([condition], into.join(self.tools), ctes)
                into.become(source)
                into.conditions.append(source.resolve(self.queries.plain(found[0])))
            else:
                into.conditions.append(into.scope.resolve(self.queries.plain(condition)))

    def _outer(self, side: str, join: exp.Join, into: Gathered, ctes: Ctes) -> None:
        """An outer join ends the flat join so far: it becomes one side of the new operator."""
        if side != "LEFT":
            into.pending.clear()  # what WHERE says may not be applied below this join
        right = self._side(join.this, into, ctes, all_values=side != "LEFT")
        left = into.join(self.tools)
        rows = used_rows(join)
        if side != "LEFT":
            left = padded(left, rows, self.tools)
        if side != "RIGHT":
            right = padded(right, rows, self.tools)
        tests = conjuncts(join.args["on"]) if join.args.get("on") is not None else []
        if side == "LEFT":
            tests, right = self._timed(tests, right, ctes)
        elif side == "RIGHT":
            tests, left = self._timed(tests, left, ctes)
        over_both: list[exp.Expr] = []
        for test in [test for test in tests if reads_tables(test)]:
            tests.remove(test)
            found = self._side_test(test, left, right, ctes)
            if found is None:
                over_both.append(test)
            else:
                plain, left, right = found
                tests.append(plain)
        names = _using(join)
        pairs = [tuple(s.scope.find(exp.column(name)) for s in (left, right)) for name in names]
        conditions: list[exp.Expr] = [exp.EQ(this=a, expression=b) for a, b in pairs]
        both = _together(left, right)
        conditions += [both.resolve(self.queries.plain(test)) for test in tests]
        conditions += _same_values(left.carried, right.carried)
        if over_both:
            operator = self._over_pairs(side, (left, right), conditions, over_both, ctes)
        else:
            operator = outer_join(side, left.operator, right.operator, conditions, self.tools)
        merged: dict[str, exp.Expr] = {**left.scope.merged, **right.scope.merged}
        merged |= {name: _kept(side, a, b) for name, (a, b) in zip(names, pairs, strict=True)}
        carried = tuple(
            _kept(side, a, b)
            for a, b in zip(left.carried, right.carried or left.carried, strict=True)
        )
        domain = into.domain
        items = (
            *(domain.visible(list(carried)) if domain is not None else ()),
            *_own(left, domain),
            *_own(right, domain),
        )
        source = Source(left.operator, Scope(items, merged), carried)
        into.become(source.over(operator, output_name))

    def _timed(
        self, tests: list[exp.Expr], padded_side: Source, ctes: Ctes
    ) -> tuple[list[exp.Expr], Source]:
        """Filter the side that is padded by what ON says of it and the time."""
        found = [
            test
            for test in tests
            if time.depends(test) and all(map(padded_side.scope.has, free_columns(test)))
        ]
        rest = [test for test in tests if not any(test is one for one in found)]
        return rest, self.queries.where(padded_side, found, ctes)

    def _side_test(
        self, condition: exp.Expr, left: Source, right: Source, ctes: Ctes
    ) -> tuple[exp.Expr, Source, Source] | None:
        """Subqueries in an ON condition become columns of the side that they belong to, if any."""
        used = [c for q in condition.find_all(exp.Query) for c in free_columns(q)]
        used += [c for t in _compared(condition) for c in t.find_all(exp.Column)]
        if all(right.scope.has(column) for column in used):
            (found,), right = self.queries.inline([condition], right, ctes)
        elif all(left.scope.has(column) for column in used):
            (found,), left = self.queries.inline([condition], left, ctes)
        else:
            return None
        return found, left, right

    def _over_pairs(
        self,
        side: str,
        sides: tuple[Source, Source],
        conditions: list[exp.Expr],
        over_both: list[exp.Expr],
        ctes: Ctes,
    ) -> Operator:
        """An outer join with subqueries over both sides in its condition."""
        left, right = sides
        both = _together(left, right)
        free = [column for test in over_both for column in free_columns(test)]
        used = [c for e in (*conditions, *map(both.resolve, free)) for c in e.find_all(exp.Column)]
        parts = (left.operator, right.operator)
        joined = InnerJoin(self.tools.alias("j"), parts, tuple(conditions))
        # All columns of the sides, under names that no query can use.
        every = tuple(
            Visible(part.alias, {c.name: ref(part.alias, c.name) for c in part.columns})
            for part in parts
        )
        pairs = Source(joined, Scope((*both.items, *every), both.merged)).over(joined, output_name)
        found, pairs = self.queries.inline(over_both, pairs, ctes)
        resolved = [pairs.resolve(self.queries.plain(test)) for test in found]
        predicate = exp.and_(*resolved, copy=False)
        pairs = pairs.over(Filter(self.tools.alias("f"), pairs.operator, predicate))
        pairs = replace(pairs, scope=Scope(pairs.scope.items[-len(parts) :]))
        return join_of_pairs(side, parts, pairs, used, self.tools)

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
        query = unwrapped(inner)
        if next(free_columns(query), None) is not None:
            self.lateral.correlated(query, node, into, ctes)
            return
        planned = self.queries.query(query, ctes)
        into.parts.append(planned.operator)
        into.items.append(shown(node, planned.operator.alias, planned.outputs))


def _compared(condition: exp.Expr) -> Iterator[exp.Expr]:
    """What is compared with subqueries: it will stand inside of them."""
    for node in condition.walk():
        if node.args.get("query") is not None or is_quantified(node):
            yield node.this


def _uses(node: exp.Expr, domain: Domain) -> bool:
    """Whether a part of a FROM clause uses outer columns."""
    used = {(c.table, c.name) for c in free_columns(node)}
    return bool(used & {(c.table, c.name) for c in domain.columns})


def _own(source: Source, domain: Domain | None) -> tuple[Visible, ...]:
    """The FROM items of a side, without the outer values that it may carry."""
    values = len(domain.visible(list(source.carried))) if domain and source.carried else 0
    return source.scope.items[values:]


def _same_values(left: Sequence[exp.Expr], right: Sequence[exp.Expr]) -> list[exp.Expr]:
    """That two sides are of the same outer values, where both carry them."""
    if not left or not right:
        return []
    pairs = zip(left, right, strict=True)
    return [exp.NullSafeEQ(this=a.copy(), expression=b.copy()) for a, b in pairs]


def _kept(side: str, left: exp.Expr, right: exp.Expr) -> exp.Expr:
    """The value of two equal columns that is there in every row of an outer join."""
    if side == "FULL":
        return exp.Coalesce(this=left.copy(), expressions=[right.copy()])
    return (right if side == "RIGHT" else left).copy()


def _together(left: Source, right: Source) -> Scope:
    """What an ON condition can name."""
    merged = {**left.scope.merged, **right.scope.merged}
    return Scope((*left.scope.items, *right.scope.items), merged)


def _using(join: exp.Join) -> list[str]:
    names: list[exp.Identifier] = join.args.get("using") or []
    return [name.name for name in names]
