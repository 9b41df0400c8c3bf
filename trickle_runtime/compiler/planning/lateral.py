"""FROM items that are computed for each row before them: LATERAL, correlated, functions.

Invariant: a row before them that gets no row from them goes, unless they are joined by LEFT JOIN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from trickle_runtime.compiler.joining import output_name
from trickle_runtime.compiler.operators.base import Column
from trickle_runtime.compiler.operators.table_function import MATCHED, TableFunction
from trickle_runtime.compiler.operators.values import Values
from trickle_runtime.compiler.planning import functions, relations, time
from trickle_runtime.compiler.planning.correlation import (
    Correlated,
    Domain,
    complete,
    flagged,
    join_by_condition,
    make_domain,
)
from trickle_runtime.compiler.planning.fragments import unique
from trickle_runtime.compiler.planning.gathered import Gathered, Queries, conjuncts
from trickle_runtime.compiler.planning.relations import Ctes
from trickle_runtime.compiler.planning.rows import guarded_row, shown_rows
from trickle_runtime.compiler.planning.scope import (
    THERE,
    Scope,
    Source,
    Visible,
    free_columns,
    joins,
    reads_tables,
)
from trickle_runtime.compiler.planning.tools import Tools
from trickle_runtime.compiler.term import ref


class LateralPlanner:
    """Plans such items of one query's FROM clauses."""

    def __init__(self, tools: Tools, queries: Queries) -> None:
        self.tools, self.queries = tools, queries

    def correlated(self, query: exp.Expr, node: exp.Expr, into: Gathered, ctes: Ctes) -> None:
        """A subquery that uses columns of the FROM items before it, or of an outer query."""
        if not reads_tables(query):
            self.function(node, into, None)
            return
        into.apply_pending(self.queries.plain)
        outer = into.join(self.tools)
        query, domain, keyed = make_domain(query, outer, self.tools)
        planned = self.queries.query(query, ctes, domain)
        found = Correlated(planned, keyed.carried)
        if planned.empty is None:
            joined = join_by_condition(outer, found, [], self.tools, left=False)
            names = [output_name(planned.operator.alias, n) for n in planned.outputs]
            into.become(joined)
            into.items.append(shown(node, joined.operator.alias, planned.outputs, names))
            return
        self._with_empty(node, outer, found, domain, into)

    def _with_empty(
        self, node: exp.Expr, outer: Source, found: Correlated, domain: Domain, into: Gathered
    ) -> None:
        """A subquery that has a row for every outer row, also over no rows."""
        marked = Correlated(flagged(found.planned, self.tools), found.values)
        joined = join_by_condition(outer, marked, [], self.tools, left=True)
        right = marked.planned.operator.alias
        there = ref(joined.operator.alias, output_name(right, THERE))
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
        into.items.append(shown_rows(node.alias, columns, len(named)))

    def left(self, join: exp.Join, into: Gathered, ctes: Ctes) -> bool:
        """LEFT JOIN of something LATERAL: rows without a partner stay.

        Returns:
            False: it is an outer join of two independent sides.
        """
        node = join.this
        condition = join.args.get("on")
        tests = conjuncts(condition) if condition is not None else []
        if functions.is_call(node) and next(free_columns(node), None) is not None:
            self.function(node, into, tests)
            return True
        if not isinstance(node, (exp.Lateral, exp.Subquery)) or not node.alias:
            return False
        query = node.this
        if not isinstance(query, exp.Query) or next(free_columns(query), None) is None:
            return False
        query = unwrapped(query)
        if not reads_tables(query):
            self.function(node, into, tests)
            return True
        above = [test for test in tests if reads_tables(test) or time.depends(test)]
        if above:
            tests = [test for test in tests if not any(test is one for one in above)]
            query = _filtered(query, node, above)
        outer = into.join(self.tools)
        query, domain, keyed = make_domain(query, outer, self.tools)
        planned = complete(self.queries.query(query, ctes, domain), domain, self.tools)
        planned = flagged(planned, self.tools)
        alias = planned.operator.alias
        inner_item = shown(node, alias, planned.outputs)
        both = Scope((*outer.scope.items, inner_item), outer.scope.merged)
        extra = [both.resolve(self.queries.plain(test)) for test in tests]
        found = Correlated(planned, keyed.carried)
        joined = join_by_condition(outer, found, extra, self.tools, left=True)
        names = [output_name(alias, n) for n in planned.outputs]
        into.become(joined)
        item = shown(node, joined.operator.alias, planned.outputs, names)
        there = ref(joined.operator.alias, output_name(alias, THERE))
        into.items.append(replace(item, row=guarded_row(item.row, there)))
        return True

    def function(self, node: exp.Expr, into: Gathered, tests: list[exp.Expr] | None) -> None:
        """A function, VALUES, or a subquery that reads no table: applied to each row so far.

        Args:
            node: the FROM item.
            into: the FROM items before it.
            tests: conditions of the LEFT JOIN by which it is joined; None: of no outer join.
        """
        call = functions.read(node)
        independent = next(free_columns(call.expression), None) is None and tests is None
        source = (Gathered() if independent else into).join(self.tools)
        if not independent:
            into.apply_pending(self.queries.plain)
            source = into.join(self.tools)
        expression = source.resolve(call.expression)
        names = call.names or functions.result_names(call, expression, source.operator, self.tools)
        alias = self.tools.alias("f")
        results = tuple((n, Column(output_name(alias, n))) for n in names)
        if call.ordinality:
            last = names[-1]
            results = (*results[:-1], (last, Column(output_name(alias, last), True, (0,))))
        columns = {n: ref(alias, output_name(alias, n)) for n in names}
        item = shown_rows(node.alias, columns, len(names))
        condition: exp.Expr | None = None
        if tests is not None:
            inner = Visible(node.alias, {n: ref(alias, n) for n in names})
            scope = Scope((*source.scope.items, inner), source.scope.merged)
            found = [scope.resolve(self.queries.plain(test)) for test in tests]
            condition = exp.and_(*found, copy=False) if found else exp.true()
            results = tuple((n, replace(c, not_null=False)) for n, c in results)
            there = Column(output_name(alias, MATCHED))
            results = (*results, (MATCHED, there))
            item = replace(item, row=guarded_row(item.row, ref(alias, there.name)))
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

    def values(self, node: exp.Values, into: Gathered, tests: list[exp.Expr] | None) -> None:
        """Constant rows, unless they use columns; ``tests`` as in ``function``."""
        if next(free_columns(node), None) is not None:
            self.function(node, into, tests)
            return
        names = functions.values_names(node)
        operator = Values(self.tools.alias("v"), functions.values_text(node), tuple(names))
        into.parts.append(operator)
        columns = {name: ref(operator.alias, name) for name in names}
        into.items.append(shown_rows(node.alias, dict(columns), len(names)))


def _filtered(query: exp.Expr, node: exp.Expr, tests: list[exp.Expr]) -> exp.Expr:
    """The rows of a LATERAL query for which conditions of ON are true: they may stand inside."""
    alias = node.args["alias"]
    given = [column.name for column in alias.columns]
    labels = unique([*given, *functions.output_names(query)[len(given) :]])
    named = alias.copy()
    named.set("columns", [exp.to_identifier(label, quoted=True) for label in labels])
    columns = [
        exp.column(exp.to_identifier(label, quoted=True), table=alias.this.copy())
        for label in labels
    ]
    return exp.Select(
        expressions=list(columns),
        from_=exp.From(this=exp.Subquery(this=query.copy(), alias=named)),
        where=exp.Where(this=exp.and_(*tests)),
    )


def shown(
    node: exp.Expr, alias: str, outputs: Sequence[str], columns: Sequence[str] | None = None
) -> Visible:
    """What can be named of a FROM item whose operator gives ``outputs`` in ``columns``."""
    labels = relations.alias_columns(node)
    named = [*labels, *outputs[len(labels) :]]
    pairs = zip(named, columns or outputs, strict=True)
    return shown_rows(node.alias, {label: ref(alias, n) for label, n in pairs}, len(named))


def unwrapped(query: exp.Expr) -> exp.Expr:
    """A query without parentheses that say nothing."""
    while isinstance(query, exp.Subquery) and not query.alias and not joins(query):
        if any(query.args.get(n) for n in ("limit", "offset", "order", "with_")):
            break
        query = query.this
    return query
