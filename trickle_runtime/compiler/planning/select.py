"""One SELECT: FROM, WHERE, GROUP BY, HAVING, windows, sets in the select list, DISTINCT, LIMIT.

In a correlated query every step keeps the rows of each value of the domain apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sqlglot import exp

from trickle_runtime.compiler.operators.base import Column
from trickle_runtime.compiler.operators.table_function import TableFunction
from trickle_runtime.compiler.planning import time
from trickle_runtime.compiler.planning.correlation import (
    Domain,
    Planned,
    eliminated,
    is_narrow,
    rejects_null,
)
from trickle_runtime.compiler.planning.fragments import unique
from trickle_runtime.compiler.planning.from_clause import FromPlanner
from trickle_runtime.compiler.planning.gathered import conjuncts
from trickle_runtime.compiler.planning.grouping import aggregate_calls, plan_distinct
from trickle_runtime.compiler.planning.groups import Grouped, GroupPlanner
from trickle_runtime.compiler.planning.relations import Ctes
from trickle_runtime.compiler.planning.scope import Source, reads_tables
from trickle_runtime.compiler.planning.subqueries import SubqueryPlanner
from trickle_runtime.compiler.planning.tools import Tools
from trickle_runtime.compiler.planning.windows import (
    Values,
    limits_of,
    plan_distinct_on,
    plan_limit,
    plan_windows,
    text,
)
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.term import ref
from trickle_runtime.compiler.volatility import function_name


class Queries(Protocol):
    """What a SELECT needs of the planner of whole queries."""

    def where(self, source: Source, conditions: Sequence[exp.Expr], ctes: Ctes) -> Source:
        """Filter rows by conjuncts of WHERE."""
        ...

    def plain(self, expression: exp.Expr, *, sets: bool = False) -> exp.Expr:
        """Refuse what an expression of a row can't hold."""
        ...


class SelectPlanner:
    """Plans SELECTs without grouping sets."""

    def __init__(
        self,
        from_planner: FromPlanner,
        subqueries: SubqueryPlanner,
        tools: Tools,
        queries: Queries,
    ) -> None:
        self.from_planner, self.subqueries = from_planner, subqueries
        self.tools, self.queries = tools, queries
        self.groups = GroupPlanner(subqueries, tools, queries)

    def plan(
        self, select: exp.Select, ctes: Ctes, domain: Domain | None, *, limited: bool
    ) -> Planned:
        """Plan one SELECT.

        Args:
            select: windows are written where they are used.
            ctes: the common table expressions that it can name.
            domain: the outer values, where it is correlated.
            limited: it has LIMIT, OFFSET or FETCH.
        """
        distinct = select.args.get("distinct")
        on = distinct.args.get("on") if distinct is not None else None
        keys: list[exp.Expr] = [] if on is None else [_output(k, select) for k in on.expressions]
        clause = select.args.get("order")
        order: list[exp.Ordered] = list(clause.expressions) if clause and (limited or keys) else []
        values = [output.unalias() for output in select.expressions]
        by = [_output(o.this, select) for o in order]
        found, rejects = self._values(select, [*values, *by, *keys], ctes, domain)
        empty = self._empty(found, len(values)) if not (limited or distinct) else None
        if empty is None and domain is not None:
            found = self.groups.completed(found, domain)
        if found.completed:
            rejects = tuple(False for _ in rejects)
        rows = self._expand(plan_windows(found.values, self.tools))
        cut = _Cut(rows.wanted, len(values), len(order))
        if keys:
            ordered = [_by(o, value) for o, value in zip(order, cut.order, strict=True)]
            kept = plan_distinct_on(cut.keys, ordered, rows, self.tools)
            rows = rows.moved(kept)
            cut = _Cut(rows.wanted, len(values), len(order))
        names = unique([output.alias_or_name for output in select.expressions])
        if distinct is not None and not keys:
            planned = self._distinct(rows, names, cut.outputs, rejects)
            if not limited:
                return planned
            found_at = [_shown_at(pair, values, cut) for pair in zip(by, cut.order, strict=True)]
            return limit_shown(select, planned, found_at, self.tools)
        if limited:
            return self._limit_hidden(select, rows, names, cut, order, rejects)
        return self._shown(rows, names, cut.outputs, empty, rejects)

    def _values(
        self,
        select: exp.Select,
        values: list[exp.Expr],
        ctes: Ctes,
        domain: Domain | None,
    ) -> tuple[Grouped, tuple[bool, ...]]:
        """FROM, WHERE, GROUP BY and HAVING; ``values`` over the rows that these give."""
        where = select.args.get("where")
        conditions = conjuncts(where.this) if where is not None else []
        source, rest = self._sourced(select, conditions, ctes, domain)
        source = self.queries.where(source, rest, ctes)
        columns = domain.columns if domain is not None else ()
        rejects = tuple(rejects_null(column, conditions) for column in columns)
        if self._is_grouped(select, values):
            return self.groups.plan(select, source, values, ctes, domain), rejects
        found, source = self.subqueries.inline(values, source, ctes)
        resolved = tuple(source.resolve(self.queries.plain(v, sets=True)) for v in found)
        return Grouped(Values(source.operator, resolved, source.carried)), rejects

    def _sourced(
        self,
        select: exp.Select,
        conditions: list[exp.Expr],
        ctes: Ctes,
        domain: Domain | None,
    ) -> tuple[Source, list[exp.Expr]]:
        """FROM with the plain conditions of WHERE in its flat join; and the other conditions."""
        early = [c for c in conditions if not self._above(c)]
        gathered = self.from_planner.gather(select, ctes, domain, early)
        applied = {id(condition) for condition in gathered.applied}
        early = [c for c in early if id(c) not in applied]
        rest = [c for c in conditions if self._above(c)]
        if domain is not None and not gathered.carried:
            others = [*select.expressions, *(select.args.get(n) for n in ("group", "having"))]
            used = [*rest, *(o for o in others if o is not None)]
            own = gathered.scope
            stood = None
            if not is_narrow(domain):
                stood = eliminated(domain, early, own, gathered.parts, used, self.tools)
            if stood is not None:
                gathered.carried, early = tuple(stood[0]), stood[1]
                gathered.items += domain.visible(list(gathered.carried))
                gathered.conditions += [_is_not_null(value) for value in gathered.carried]
            else:
                place = domain.instance(self.tools)
                gathered.parts.append(place.operator)
                gathered.items += place.scope.items
                gathered.carried = place.carried
        scope = gathered.scope
        resolved = [scope.resolve(self.queries.plain(c)) for c in early]
        return gathered.join(self.tools, resolved), rest

    def _above(self, condition: exp.Expr) -> bool:
        """Whether a condition can't be part of the flat join."""
        return reads_tables(condition) or time.depends(condition)

    def _is_grouped(self, select: exp.Select, values: list[exp.Expr]) -> bool:
        if select.args.get("group") is not None or select.args.get("having") is not None:
            return True
        functions = self.tools.functions
        return any(any(aggregate_calls(value, functions)) for value in values)

    def _empty(self, found: Grouped, width: int) -> tuple[exp.Expr, ...] | None:
        """The outputs over no rows, where they can be told by themselves."""
        if found.empty is None or any(v.find(exp.Window) for v in found.values.wanted):
            return None
        if any(self._sets(value) for value in found.values.wanted):
            return None
        return found.empty[:width]

    def _expand(self, values: Values) -> Values:
        """Set-returning functions in the select list: rows side by side, as in ROWS FROM."""
        holders = [exp.Paren(this=value.copy()) for value in values.wanted]
        calls = [call for holder in holders for call in self._sets(holder)]
        if not calls:
            return values
        if any(self._sets(argument) for call in calls for argument in call.expressions):
            raise NotIncremental("SET_RETURNING", "a set in the argument of a set")
        texts = list(dict.fromkeys(text(call) for call in calls))
        first = {text(call): call.copy() for call in reversed(calls)}
        alias = self.tools.alias("f")
        names = [f"s{i}" for i in range(len(texts))]
        expression: exp.Expr = exp.Anonymous(
            this="rows_from", expressions=[first[t] for t in texts]
        )
        results = tuple((n, Column(f"{alias}.{n}")) for n in names)
        definition = f" ({', '.join(names)})"
        operator = TableFunction(alias, values.operator, expression, "", definition, results)
        for call in calls:
            name = f"{alias}.{names[texts.index(text(call))]}"
            outer = call.parent if isinstance(call.parent, exp.Dot) else call
            outer.replace(ref(values.operator.alias, name))
        return values.moved(operator, [holder.this for holder in holders])

    def _sets(self, expression: exp.Expr) -> list[exp.Anonymous]:
        """Calls of set-returning functions outside of subqueries."""
        return [
            node
            for node in expression.find_all(exp.Anonymous)
            if function_name(node) in self.tools.functions.set_returning
            and node.find_ancestor(exp.Query) is None
        ]

    def _shown(
        self,
        rows: Values,
        names: list[str],
        outputs: Sequence[exp.Expr],
        empty: tuple[exp.Expr, ...] | None,
        rejects: tuple[bool, ...],
    ) -> Planned:
        carried = [f"__pgt_d{i}" for i in range(len(rows.carried))]
        named = [*zip(names, outputs, strict=True), *zip(carried, rows.carried, strict=True)]
        project = self.tools.project(rows.operator, named)
        return Planned(project, tuple(names), tuple(carried), empty, rejects)

    def _distinct(
        self,
        rows: Values,
        names: list[str],
        outputs: Sequence[exp.Expr],
        rejects: tuple[bool, ...],
    ) -> Planned:
        shown = self._shown(rows, names, outputs, None, rejects)
        single = plan_distinct(self.tools.alias("g"), shown.operator, self.tools)
        return Planned(single, shown.outputs, shown.carried, None, rejects)

    def _limit_hidden(
        self,
        select: exp.Select,
        rows: Values,
        names: list[str],
        cut: _Cut,
        order: list[exp.Ordered],
        rejects: tuple[bool, ...],
    ) -> Planned:
        """LIMIT over rows that carry what they are ordered by beside their columns."""
        hidden = [f"__pgt_o{number}" for number in range(len(cut.order))]
        shown = self._shown(rows, [*names, *hidden], [*cut.outputs, *cut.order], None, rejects)
        operator = shown.operator
        ordered = [_by(o, ref(operator.alias, n)) for o, n in zip(order, hidden, strict=True)]
        carried = tuple(ref(operator.alias, name) for name in shown.carried)
        first = plan_limit(ordered, limits_of(select), Values(operator, (), carried), self.tools)
        return Planned(first, tuple(names), shown.carried, None, rejects)


def limit_named(tree: exp.Query, planned: Planned, tools: Tools) -> Planned:
    """LIMIT over rows that are ordered by some of their own columns, by ordinal or name.

    Args:
        tree: has ORDER BY and LIMIT.
        planned: its rows without them.
        tools: see ``Tools``.
    """
    items = tree.args["order"].expressions
    return limit_shown(tree, planned, [_position(item.this, planned) for item in items], tools)


def limit_shown(
    tree: exp.Query, planned: Planned, positions: Sequence[int], tools: Tools
) -> Planned:
    """The same, the columns given by their positions."""
    operator = planned.operator
    ordered = [
        _by(item, ref(operator.alias, planned.outputs[position]))
        for item, position in zip(tree.args["order"].expressions, positions, strict=True)
    ]
    carried = tuple(ref(operator.alias, name) for name in planned.carried)
    first = plan_limit(ordered, limits_of(tree), Values(operator, (), carried), tools)
    return Planned(first, planned.outputs, planned.carried, None, planned.rejects)


class _Cut:
    """Values taken apart: outputs, what is ordered by, keys of DISTINCT ON."""

    def __init__(self, every: Sequence[exp.Expr], outputs: int, order: int) -> None:
        self.outputs = every[:outputs]
        self.order = every[outputs : outputs + order]
        self.keys = every[outputs + order :]


def _output(node: exp.Expr, select: exp.Select) -> exp.Expr:
    """What an item of ORDER BY means: an ordinal is an output."""
    if isinstance(node, exp.Literal) and not node.is_string:
        return select.expressions[int(node.name) - 1].unalias()
    return node


def _position(node: exp.Expr, planned: Planned) -> int:
    """The output column that an item of ORDER BY names, by ordinal or name."""
    if isinstance(node, exp.Literal) and not node.is_string:
        return int(node.name) - 1
    if isinstance(node, exp.Column) and node.name in planned.outputs:
        return planned.outputs.index(node.name)
    raise NotIncremental("LIMIT", "ORDER BY something that is not shown")


def _shown_at(item: tuple[exp.Expr, exp.Expr], written: Sequence[exp.Expr], cut: _Cut) -> int:
    """The output that is the same value; DISTINCT orders by nothing else.

    Args:
        item: of ORDER BY, as written and as planned: subqueries are planned once for each place,
            and columns are written in two ways.
        written: the outputs.
        cut: has the planned outputs.
    """
    for value, outputs in zip(item, (written, cut.outputs), strict=True):
        texts = [text(output) for output in outputs]
        if text(value) in texts:
            return texts.index(text(value))
    raise NotIncremental("LIMIT", "ORDER BY something that is not shown")


def _by(ordered: exp.Ordered, value: exp.Expr) -> exp.Ordered:
    """The same direction over another expression."""
    copied = ordered.copy()
    copied.set("this", value.copy())
    return copied


def _is_not_null(value: exp.Expr) -> exp.Expr:
    return exp.Not(this=exp.Is(this=exp.Paren(this=value.copy()), expression=exp.null()))
