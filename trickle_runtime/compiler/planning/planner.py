"""Canonical query to operator tree.

Everything that is not one of the few operators is rewritten into them: DISTINCT and UNION into a
keyed aggregate, HAVING into a filter above it, correlated queries into joins. Where a query inside
of the whole can't be maintained by a rule, that node is recomputed and its difference flows on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlglot import exp

from trickle_runtime.compiler import volatility
from trickle_runtime.compiler.dialect import parse
from trickle_runtime.compiler.joining import output_name
from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.operators.filter import Filter
from trickle_runtime.compiler.operators.inner_join import InnerJoin
from trickle_runtime.compiler.operators.parameter_filter import ParameterFilter
from trickle_runtime.compiler.operators.project import Item, Project
from trickle_runtime.compiler.operators.recompute import Recompute
from trickle_runtime.compiler.operators.reference import Reference
from trickle_runtime.compiler.operators.union_all import unite
from trickle_runtime.compiler.operators.values import Values
from trickle_runtime.compiler.planning import fragments, functions, grouping_sets, recursion, time
from trickle_runtime.compiler.planning.correlation import Domain, Planned, complete
from trickle_runtime.compiler.planning.from_clause import FromPlanner
from trickle_runtime.compiler.planning.grouping import aggregate_calls
from trickle_runtime.compiler.planning.relations import (
    POLLED,
    Cte,
    Ctes,
    alias_columns,
    read_with,
    scan,
    visible_table,
)
from trickle_runtime.compiler.planning.rows import shown_rows
from trickle_runtime.compiler.planning.scope import (
    Source,
    Visible,
    expose,
    free_columns,
    reads_tables,
)
from trickle_runtime.compiler.planning.select import SelectPlanner, limit_named
from trickle_runtime.compiler.planning.set_operations import plan_set_operation
from trickle_runtime.compiler.planning.subqueries import SubqueryPlanner
from trickle_runtime.compiler.planning.tools import Tools
from trickle_runtime.compiler.planning.windows import inline_windows, limits_of
from trickle_runtime.compiler.pruning import prune
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.schema import Describer, Schema, SourceRelation
from trickle_runtime.compiler.term import ref
from trickle_runtime.compiler.volatility import function_name


class Planner:
    """Plans one query; ``tools.notes`` collects what is worth telling about its nodes."""

    def __init__(
        self,
        schema: Schema,
        describer: Describer,
        polled: frozenset[int] = frozenset(),
        unreadable: Mapping[int, NotIncremental] | None = None,
        most_sets: int = grouping_sets.MOST_SETS,
    ) -> None:
        """Prepare.

        Args:
            schema: the relations and functions of the query.
            describer: asks PostgreSQL.
            polled: relids of tables whose changes can't be captured.
            unreadable: views whose text is not understood, and why.
            most_sets: grouping sets that one query may have.
        """
        self.schema, self.polled, self.unreadable = schema, polled, unreadable or {}
        self.most_sets = most_sets
        self.tools = Tools(schema, describer)
        self._from = FromPlanner(self.tools, self)
        self._subqueries = SubqueryPlanner(self._from, self.tools, self)
        self._select = SelectPlanner(self._from, self._subqueries, self.tools, self)
        self._views: dict[int, tuple[Operator, tuple[str, ...]]] = {}

    def plan(self, tree: exp.Expr, names: Sequence[str]) -> Operator:
        """Plan a canonical query.

        Args:
            tree: the query.
            names: its output columns' names.

        Returns:
            the root operator, with exactly these columns.

        Raises:
            NotIncremental: only the query as a whole can be recomputed.
        """
        volatility.check(tree, self.schema.functions)
        planned = self._query(tree, {}, None)
        root = planned.operator
        items = tuple(
            Item(replace(root.column(old), name=name), ref(root.alias, old))
            for name, old in zip(names, planned.outputs, strict=True)
        )
        plan = prune(Project(self.tools.alias("p"), root, items), names)
        _check_captured(plan)
        return plan

    def query(self, tree: exp.Expr, ctes: Ctes, domain: Domain | None = None) -> Planned:
        """Plan a query inside of another; where no rule covers it, it is recomputed as a node."""
        noted = len(self.tools.notes)
        try:
            return self._query(tree, ctes, domain)
        except NotIncremental as refusal:
            if domain is not None or refusal.whole:
                raise
            del self.tools.notes[noted:]
            return self._recomputed(tree, ctes, refusal)

    def without_nodes(self, tree: exp.Expr, ctes: Ctes) -> Planned:
        """Plan a query that can't be recomputed by itself, for it reads what a recursion found."""
        return self._query(tree, ctes, None)

    def relation(self, node: exp.Table, ctes: Ctes) -> tuple[Operator, Visible]:
        """Plan a table, a view or a common table expression."""
        if node.args.get("sample"):
            raise NotIncremental("TABLE_SAMPLE", node.sql("postgres"), whole=True)
        shown, renamed = node.alias or node.name, alias_columns(node)
        if not node.db and node.name in ctes:
            operator, outputs = self._cte(ctes[node.name], ctes)
            return self._reference(operator, outputs, shown, renamed)
        relation = self.schema.relations.get((node.db, node.name))
        if relation is None:
            raise NotIncremental("SYSTEM_CATALOG", node.sql("postgres"), whole=True)
        if relation.kind == "view":
            operator, outputs = self._view(relation)
            return self._reference(operator, outputs, shown, renamed)
        if relation.kind in POLLED or relation.relid in self.polled:
            operator = self._polled(relation)
            return operator, expose(shown, operator, renamed)
        if node.args.get("only"):
            operator = self._without_children(relation)
            return operator, expose(shown, operator, renamed)
        rows = scan(relation, self.tools.alias("t"))
        return rows, visible_table(shown, rows, renamed)

    def where(self, source: Source, conditions: Sequence[exp.Expr], ctes: Ctes) -> Source:
        """Filter rows by conjuncts that may be, or contain, subqueries, or ask for the time."""
        for condition in conditions:
            if reads_tables(condition):
                joined = self._subqueries.semi_join(condition, source, ctes)
                if joined is not None:
                    source = joined
                    continue
            source = self._filtered(source, condition, ctes)
        return source

    def plain(self, expression: exp.Expr, *, sets: bool = False) -> exp.Expr:
        """Refuse what an expression of a row can't hold; ``sets``: it may return several rows."""
        if reads_tables(expression):
            raise NotIncremental("SUBQUERY", expression.sql("postgres")[:80])
        if time.depends(expression):
            raise NotIncremental("STABLE_FUNCTION", f"{expression.sql('postgres')[:80]}")
        for node in () if sets else expression.find_all(exp.Anonymous):
            inside = node.find_ancestor(exp.Query) is not None
            if function_name(node) in self.schema.functions.set_returning and not inside:
                raise NotIncremental("SET_RETURNING", f"{function_name(node)}() returns a set")
        return expression

    def inline(
        self, expressions: Sequence[exp.Expr], source: Source, ctes: Ctes
    ) -> tuple[list[exp.Expr], Source]:
        """Put columns in the places of the subqueries in expressions."""
        return self._subqueries.inline(expressions, source, ctes)

    def _query(self, tree: exp.Expr, ctes: Ctes, domain: Domain | None) -> Planned:
        ctes = read_with(tree.args.get("with_"), ctes)
        if isinstance(tree, exp.Subquery):
            planned = self._query(tree.this, ctes, domain)
            if not _limited(tree, self.tools):
                return planned
            return limit_named(tree, self._complete(planned, domain), self.tools)
        if isinstance(tree, exp.SetOperation):
            return self._set_operation(tree, ctes, domain)
        if isinstance(tree, exp.Select):
            return self._plan_select(tree, ctes, domain)
        if isinstance(tree, exp.Values):
            return self._distributed(self._values(tree), domain)
        raise NotIncremental("UNSUPPORTED", type(tree).__name__)

    def _plan_select(self, select: exp.Select, ctes: Ctes, domain: Domain | None) -> Planned:
        select = inline_windows(select)
        if _any_rows(select):
            return self._first_of_one(select, ctes, domain)
        limited = _limited(select, self.tools)
        if domain is not None and next(free_columns(select), None) is None:
            return self._distributed(self.query(select, ctes), domain)
        if grouping_sets.has_sets(select):
            return self._grouping_sets(select, ctes, domain)
        return self._select.plan(select, ctes, domain, limited=limited)

    def _first_of_one(self, select: exp.Select, ctes: Ctes, domain: Domain | None) -> Planned:
        """LIMIT without ORDER BY is defined where there is one row at most."""
        limits = limits_of(select)
        plain = select.copy()
        plain.set("limit", None)
        if limits.constant and (limits.limit is None or limits.limit > 0):
            planned = self._query(plain, ctes, domain)
            if any(key <= set(planned.carried) for key in planned.operator.keys):
                return planned
        raise NotIncremental("LIMIT", "LIMIT without ORDER BY takes any rows")

    def _set_operation(self, tree: exp.SetOperation, ctes: Ctes, domain: Domain | None) -> Planned:
        limited = _limited(tree, self.tools)
        sides = tuple(
            self._complete(self._side(side, ctes, domain), domain)
            for side in (tree.this, tree.expression)
        )
        combined = plan_set_operation(tree, (sides[0], sides[1]), self.tools)
        return limit_named(tree, combined, self.tools) if limited else combined

    def _side(self, side: exp.Expr, ctes: Ctes, domain: Domain | None) -> Planned:
        if domain is not None and next(free_columns(side), None) is None:
            return self._distributed(self.query(side, ctes), domain)
        return self.query(side, ctes, domain)

    def _complete(self, planned: Planned, domain: Domain | None) -> Planned:
        return planned if domain is None else complete(planned, domain, self.tools)

    def _distributed(self, planned: Planned, domain: Domain | None) -> Planned:
        """The same rows for every value of the domain."""
        if domain is None or planned.carried:
            return planned
        place = domain.instance(self.tools)
        joined = InnerJoin(self.tools.alias("j"), (planned.operator, place.operator), ())
        source = place.over(joined, output_name)
        outputs = [
            (n, ref(joined.alias, output_name(planned.operator.alias, n))) for n in planned.outputs
        ]
        carried = [(f"__pgt_d{i}", value) for i, value in enumerate(source.carried)]
        rows = self.tools.project(joined, [*outputs, *carried])
        rejects = tuple(False for _ in carried)
        return Planned(rows, planned.outputs, tuple(n for n, _ in carried), None, rejects)

    def _grouping_sets(self, select: exp.Select, ctes: Ctes, domain: Domain | None) -> Planned:
        """One GROUP BY per set, united, and what is left of the query above."""
        gathered = self._from.gather(select, ctes, domain, [])
        if domain is not None and not gathered.carried:
            place = domain.instance(self.tools)
            gathered.parts.append(place.operator)
            gathered.items += place.scope.items
        source = gathered.join(self.tools)
        select = grouping_sets.qualified(select, source.scope)
        sets = grouping_sets.expand(select, self.most_sets)

        def calls(expression: exp.Expr) -> list[exp.Expr]:
            return list(aggregate_calls(expression, self.schema.functions))

        united = f"{grouping_sets.UNITED} {self.tools.alias('u')}"
        found = grouping_sets.split(select, sets, calls, united)
        values = [source.resolve(self.plain(e)) for e in found.keys.values()]
        described = self.tools.types_of(values, source.operator)
        types = {text: d.type for text, d in zip(found.keys, described, strict=True)}

        def meaning(expression: exp.Expr) -> str:
            return grouping_sets.text(source.resolve(expression))

        selects = [grouping_sets.branch(select, found, s, types, meaning) for s in sets]
        if domain is not None:
            return self._query(grouping_sets.over_union(found, selects), ctes, domain)
        branches = [self._query(one, ctes, None) for one in selects]
        names = branches[0].outputs
        rows = unite(self.tools.alias("u"), [self._outputs(branch) for branch in branches], names)
        node = exp.CTE(this=select, alias=exp.TableAlias(this=exp.to_identifier(united)))
        cte = Cte(node, ctes, recursive=False, planned=(rows, names))
        return self._query(found.above, {**ctes, united: cte}, None)

    def _outputs(self, planned: Planned) -> Operator:
        """An operator with just the outputs, in order."""
        operator = planned.operator
        items = tuple(Item(operator.column(n), ref(operator.alias, n)) for n in planned.outputs)
        return Project(self.tools.alias("p"), operator, items)

    def _filtered(self, source: Source, condition: exp.Expr, ctes: Ctes) -> Source:
        """Filter by one condition, as a parameter of the filter what is the same for all rows."""
        rows: list[Operator] = []
        if reads_tables(condition):
            found = self._subqueries.parameters(condition, ctes)
            if found is not None:
                condition = found[0]
                rows.append(found[1])
            else:
                (condition,), source = self._subqueries.inline([condition], source, ctes)
        clock = time.parameters(condition, self.tools)
        if clock is not None:
            condition = clock[0]
            rows.append(clock[1])
        if not rows:
            predicate = source.resolve(self.plain(condition))
            return source.over(Filter(self.tools.alias("f"), source.operator, predicate))
        condition, parameters = self.tools.side_by_side(rows, condition)
        settled = self.tools.net(parameters)
        condition = _moved(condition, parameters.alias, settled.alias)
        predicate = source.resolve(self.plain(condition))
        filtered = ParameterFilter(self.tools.alias("f"), source.operator, settled, predicate)
        return source.over(filtered)

    def _cte(self, cte: Cte, ctes: Ctes) -> tuple[Operator, tuple[str, ...]]:
        if cte.planned is None:
            if cte.recursive and recursion.is_recursive(cte.node):
                planned = self._recursive(cte)
            else:
                if next(free_columns(cte.node.this), None) is not None:
                    raise NotIncremental("SUBQUERY", "WITH in a correlated query")
                planned = self.query(cte.node.this, cte.visible)
            names = [column.name for column in cte.node.args["alias"].columns]
            shown = (*names, *planned.outputs[len(names) :])
            pairs = list(zip(shown, planned.outputs, strict=True))
            operator = planned.operator
            items = tuple(
                Item(replace(operator.column(old), name=new), ref(operator.alias, old))
                for new, old in pairs
            )
            cte.planned = Project(self.tools.alias("p"), operator, items), tuple(shown)
        return cte.planned

    def _recursive(self, cte: Cte) -> Planned:
        noted = len(self.tools.notes)
        try:
            return recursion.plan(cte, self.tools, self)
        except NotIncremental as refusal:
            if refusal.whole:
                raise
            del self.tools.notes[noted:]
            text = exp.Select(
                expressions=[exp.column(name) for name in recursion.names(cte)],
                from_=exp.From(this=exp.Table(this=exp.to_identifier(cte.node.alias))),
            )
            return self._recomputed(text, {**cte.visible, cte.node.alias: cte}, refusal)

    def _view(self, relation: SourceRelation) -> tuple[Operator, tuple[str, ...]]:
        if relation.relid not in self._views:
            refusal = self.unreadable.get(relation.relid)
            if refusal is not None:
                planned = self._recomputed(_everything(relation), {}, refusal)
            else:
                planned = self.query(parse(relation.definition or ""), {})
            names = [column.name for column in relation.columns]
            operator = planned.operator
            items = tuple(
                Item(replace(operator.column(old), name=new), ref(operator.alias, old))
                for new, old in zip(names, planned.outputs, strict=True)
            )
            rows = Project(self.tools.alias("p"), operator, items)
            self._views[relation.relid] = rows, tuple(names)
        return self._views[relation.relid]

    def _reference(
        self, operator: Operator, outputs: tuple[str, ...], shown: str, renamed: list[str]
    ) -> tuple[Operator, Visible]:
        reference = Reference(self.tools.alias("r"), operator)
        labels = [*renamed, *outputs[len(renamed) :]]
        columns = {
            label: ref(reference.alias, name) for label, name in zip(labels, outputs, strict=True)
        }
        return reference, shown_rows(shown, dict(columns), len(labels))

    def _values(self, tree: exp.Values) -> Planned:
        names = tuple(functions.values_names(tree))
        rows = Values(self.tools.alias("v"), functions.values_text(tree), names)
        return Planned(rows, names)

    def _without_children(self, relation: SourceRelation) -> Operator:
        """FROM ONLY: the buffer has the changes of the children, too."""
        rows = _everything(relation)
        rows.args["from_"].this.set("only", True)
        refusal = NotIncremental("ONLY", f"FROM ONLY {relation.name}")
        return self._recomputed(rows, {}, refusal).operator

    def _polled(self, relation: SourceRelation) -> Recompute:
        """A source that can't carry triggers: read again at each refresh, by difference."""
        refusal = NotIncremental("POLLED_SOURCE", f"{relation.kind} {relation.name}")
        self.tools.note_refusal(refusal)
        return fragments.polled(relation, self.tools, refusal)

    def _recomputed(self, tree: exp.Expr, ctes: Ctes, refusal: NotIncremental) -> Planned:
        """Recompute a query as a node."""
        self.tools.note_refusal(refusal)
        node = fragments.recompute(tree, ctes, self.schema, self.polled, self.tools, refusal)
        return Planned(node, tuple(item.name for item in node.identity))


def _check_captured(plan: Operator) -> None:
    """Where no source is captured, recomputing the whole needs no kept rows."""
    nodes = [node for node in plan.walk() if isinstance(node, Recompute)]
    tables = {relid for node in plan.walk() for relid in node.tables()}
    if tables and tables <= {relid for node in nodes for relid in node.always}:
        raise NotIncremental("POLLED_SOURCE", "no source of the query is captured")


def _everything(relation: SourceRelation) -> exp.Expr:
    """All columns of a relation."""
    table = exp.Table(
        this=exp.to_identifier(relation.name, quoted=True),
        db=exp.to_identifier(relation.schema, quoted=True),
    )
    columns = [exp.column(exp.to_identifier(c.name, quoted=True)) for c in relation.columns]
    return exp.Select(expressions=list(columns), from_=exp.From(this=table))


def _moved(expression: exp.Expr, old: str, new: str) -> exp.Expr:
    """An expression over an operator that passes on the columns of another."""

    def moved(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and node.table == old:
            return ref(new, node.name)
        return node

    return expression.transform(moved)


def _any_rows(select: exp.Select) -> bool:
    """Whether LIMIT takes some rows without saying which."""
    plain = select.args.get("order") is None and select.args.get("offset") is None
    return plain and select.args.get("limit") is not None


def _limited(tree: exp.Expr, tools: Tools) -> bool:
    """Whether LIMIT, OFFSET or FETCH takes a part of the rows."""
    if tree.args.get("locks"):
        raise NotIncremental("ROW_LOCK", "FOR UPDATE or FOR SHARE")
    limited = any(tree.args.get(name) is not None for name in ("limit", "offset"))
    if limited and tree.args.get("order") is None:
        raise NotIncremental("LIMIT", "LIMIT without ORDER BY takes any rows")
    if tree.args.get("order") is not None and not limited:
        tools.note("ORDER_DROPPED", "ORDER BY without LIMIT: a table has no order")
    return limited
