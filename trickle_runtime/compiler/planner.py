"""Canonical query to operator tree.

Everything that is not one of the few operators is rewritten into them here: DISTINCT and UNION
into a keyed aggregate, HAVING into a filter above it. The only place, with ``from_clause`` and
``grouping``, that decides which shapes are incremental. Invariant: what is not understood raises
``NotIncremental``; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from sqlglot import exp

from trickle_runtime.compiler import grouping_sets, nullability, scales, volatility
from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.from_clause import FromPlanner, Gathered, conjuncts, lift
from trickle_runtime.compiler.grouping import (
    Tools,
    aggregate_calls,
    plan_aggregate,
    plan_distinct,
)
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.operators.filter import Filter
from trickle_runtime.compiler.operators.project import Item, Project
from trickle_runtime.compiler.operators.union_all import unite
from trickle_runtime.compiler.pruning import prune
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.result import Reason
from trickle_runtime.compiler.schema import Describer, Schema
from trickle_runtime.compiler.scope import Scope
from trickle_runtime.compiler.set_operations import plan_set_operation, renamed
from trickle_runtime.compiler.shelf import Shelf
from trickle_runtime.compiler.subqueries import SubqueryPlanner
from trickle_runtime.compiler.term import ref, union
from trickle_runtime.compiler.windows import (
    inline_windows,
    limits_of,
    plan_distinct_on,
    plan_limit,
    plan_windows,
)
from trickle_runtime.config import Schemas

_SUBQUERIES = (exp.Exists, exp.In, exp.Any, exp.All, exp.Subquery, exp.Select)


class Planner:
    """Plans one query; ``notes`` collects what is worth telling about its nodes."""

    def __init__(self, schema: Schema, describer: Describer) -> None:
        self.schema = schema
        self.describer = describer
        self.notes: list[Reason] = []
        self._numbers = count(1)
        self._from = FromPlanner(schema, self._alias, self._query, self._describe, self._plain)
        self._tools = Tools(describer, schema.functions, self._context, self._alias, self._note)

        self._subqueries = SubqueryPlanner(self._from, self._tools, self._query, self._where)

    def plan(self, tree: exp.Query, names: Sequence[str]) -> Operator:
        """Plan a canonical query.

        Args:
            tree: the query.
            names: its output columns' names.

        Returns:
            the root operator, with exactly these columns.

        Raises:
            NotIncremental: a construct that only FULL maintains.
        """
        volatility.check(tree, self.schema.functions)
        root = self._query(tree, {})
        items = tuple(
            Item(Column(name, c.not_null, c.scales), ref(root.alias, c.name))
            for name, c in zip(names, root.columns, strict=True)
        )
        return prune(Project(self._alias("p"), root, items), names)

    def _query(self, tree: exp.Query, ctes: dict[str, exp.CTE]) -> Operator:
        with_ = tree.args.get("with_")
        if with_ is not None:
            if with_.args.get("recursive"):
                raise NotIncremental("RECURSIVE", "WITH RECURSIVE")
            ctes = ctes | {cte.alias: cte for cte in with_.expressions}
        if isinstance(tree, exp.Subquery):
            if self._modifiers(tree):
                raise NotIncremental("LIMIT", "LIMIT on a query in parentheses")
            return self._query(tree.this, ctes)
        if isinstance(tree, exp.SetOperation):
            return self._set_operation(tree, ctes)
        if isinstance(tree, exp.Select):
            return self._select(tree, ctes)
        raise NotIncremental("VALUES", type(tree).__name__)

    def _modifiers(self, tree: exp.Query) -> bool:
        """Whether LIMIT, OFFSET or FETCH takes a part of the rows."""
        if tree.args.get("locks"):
            raise NotIncremental("ROW_LOCK", "FOR UPDATE or FOR SHARE")
        limited = any(tree.args.get(name) is not None for name in ("limit", "offset"))
        if limited and tree.args.get("order") is None:
            raise NotIncremental("LIMIT", "LIMIT without ORDER BY takes any rows")
        if tree.args.get("order") is not None and not limited:
            self._note("ORDER_DROPPED", "ORDER BY without LIMIT: a table has no order")
        return limited

    def _set_operation(self, tree: exp.SetOperation, ctes: dict[str, exp.CTE]) -> Operator:
        limited = self._modifiers(tree)
        sides = (self._query(tree.this, ctes), self._query(tree.expression, ctes))
        combined = plan_set_operation(tree, sides, self._tools, self._cast)
        return self._limit_named(tree, combined, {}) if limited else combined

    def _cast(
        self, branches: tuple[Operator, ...], names: tuple[str, ...]
    ) -> tuple[Operator, ...]:
        """Cast each branch to the union's types, as PostgreSQL does without printing it."""
        plain = unite(self._alias("u"), branches, names)
        wanted = self._describe(plain)
        cast: list[Operator] = []
        for branch in branches:
            given = self._describe(branch)
            items: list[Item] = []
            for column, have, want in zip(branch.columns, given, wanted, strict=True):
                value: exp.Expr = ref(branch.alias, column.name)
                shown = column
                if have != want:
                    value = exp.Cast(this=value, to=exp.DataType.build(want, dialect="postgres"))
                    shown = Column(column.name, column.not_null, None)
                items.append(Item(shown, value))
            cast.append(Project(self._alias("p"), branch, tuple(items)))
        return tuple(cast)

    def _describe(self, operator: Operator) -> list[str]:
        names = [column.name for column in operator.columns]
        query = union(operator.current(self._context()), names, weighted=False)
        return [column.type for column in self.describer.describe(query)]

    def _select(self, select: exp.Select, ctes: dict[str, exp.CTE]) -> Operator:
        limited = self._modifiers(select)
        select = inline_windows(select)
        if select.args.get("laterals"):
            raise NotIncremental("LATERAL", "LATERAL")
        if grouping_sets.has_sets(select):
            combined = self._grouping_sets(select, ctes)
            return self._limit_named(select, combined, _texts(select)) if limited else combined
        distinct = select.args.get("distinct")
        on = distinct.args.get("on") if distinct is not None else None
        keys: list[exp.Expr] = [] if on is None else list(on.expressions)
        clause = select.args.get("order")
        order: list[exp.Ordered] = list(clause.expressions) if clause and (limited or keys) else []
        sorted_by = [_output(o.this, select) for o in order]
        names = [o.alias_or_name for o in select.expressions]
        values = [o.unalias() for o in select.expressions]
        every, source = self._values(select, [*values, *sorted_by, *keys], ctes)
        every, source = plan_windows(every, source, self._tools)
        values, by, keys = _cut(every, len(values), len(order))
        if keys:
            ordered = [_by(o, value) for o, value in zip(order, by, strict=True)]
            kept = plan_distinct_on(keys, ordered, source, self._tools)
            values = [_moved(v, source.alias, kept.alias) for v in values]
            by = [_moved(v, source.alias, kept.alias) for v in by]
            source = kept
        if distinct is not None and not keys:
            rows = self._project(source, names, values)
            single = plan_distinct(self._alias("g"), rows, self._tools)
            shown = renamed(single, rows, self._tools)
            return self._limit_named(select, shown, _texts(select)) if limited else shown
        if not limited:
            return self._project(source, names, values)
        return self._limit_hidden(select, source, names, values, order, by)

    def _values(
        self, select: exp.Select, values: list[exp.Expr], ctes: dict[str, exp.CTE]
    ) -> tuple[list[exp.Expr], Operator]:
        """FROM, WHERE, GROUP BY and HAVING; ``values`` over the rows that these give."""
        gathered = self._from.gather(select, ctes)
        where = select.args.get("where")
        conditions = conjuncts(where.this) if where is not None else []
        source, scope = self._sourced(gathered, conditions, ctes)
        if self._grouped(select, values):
            return self._group(select, source, scope, values, ctes)
        values, source, scope = self._subqueries.scalars(values, source, scope, ctes)
        return [scope.resolve(self._plain(value)) for value in values], source

    def _limit_hidden(
        self,
        select: exp.Select,
        source: Operator,
        names: list[str],
        values: list[exp.Expr],
        order: list[exp.Ordered],
        by: list[exp.Expr],
    ) -> Operator:
        """LIMIT over rows that carry what they are ordered by beside their columns."""
        hidden = [f"__o{number}" for number in range(len(by))]
        rows = self._project(source, [*names, *hidden], [*values, *by])
        ordered = [_by(o, ref(rows.alias, n)) for o, n in zip(order, hidden, strict=True)]
        first = plan_limit(ordered, limits_of(select), rows, self._tools)
        shown = rows.columns[: len(names)]
        items = tuple(Item(c, ref(first.alias, c.name)) for c in shown)
        return Project(self._alias("p"), first, items)

    def _limit_named(self, tree: exp.Query, rows: Operator, texts: dict[str, int]) -> Operator:
        """LIMIT over rows that are ordered by some of their own columns."""
        ordered: list[exp.Ordered] = []
        for item in tree.args["order"].expressions:
            position = _position(item.this, rows, texts)
            ordered.append(_by(item, ref(rows.alias, rows.columns[position].name)))
        return plan_limit(ordered, limits_of(tree), rows, self._tools)

    def _grouping_sets(self, select: exp.Select, ctes: dict[str, exp.CTE]) -> Operator:
        """One GROUP BY per set, united."""
        if select.args.get("distinct") is not None:
            raise NotIncremental("GROUPING_SETS", "DISTINCT over grouping sets")
        sets = grouping_sets.expand(select)
        keys = {grouping_sets.text(e): e for chosen in sets for e in chosen}
        source, scope = self._from.join(self._from.gather(select, ctes), [])
        items = [
            Item(Column(f"v{i}"), scope.resolve(self._plain(e)))
            for i, e in enumerate(keys.values())
        ]
        described = (
            self._describe(Project(self._alias("p"), source, tuple(items))) if items else []
        )
        types = dict(zip(keys, described, strict=True))

        def calls(expression: exp.Expr) -> list[exp.Expr]:
            return list(aggregate_calls(expression, self.schema.functions))

        branches = [
            self._select(grouping_sets.branch(select, chosen, types, calls), ctes)
            for chosen in sets
        ]
        names = tuple(column.name for column in branches[0].columns)
        return unite(self._alias("u"), tuple(branches), names)

    def _sourced(
        self, gathered: Gathered, conditions: list[exp.Expr], ctes: dict[str, exp.CTE]
    ) -> tuple[Operator, Scope]:
        """FROM and WHERE: plain conditions belong to the join, subquery tests come above it."""
        plain = [c for c in conditions if c.find(*_SUBQUERIES) is None or _constant_list(c)]
        resolved = [gathered.scope.resolve(self._plain(c)) for c in plain]
        source, scope = self._from.join(gathered, resolved)
        return self._where(source, scope, [c for c in conditions if c not in plain], ctes)

    def _where(
        self,
        source: Operator,
        scope: Scope,
        conditions: list[exp.Expr],
        ctes: dict[str, exp.CTE],
    ) -> tuple[Operator, Scope]:
        """Filter an operator by conditions that may be, or contain, subqueries."""
        for condition in conditions:
            joined = self._subqueries.semi_join(condition, source, scope, ctes)
            if joined is not None:
                source, scope = joined
                continue
            tests, source, scope = self._subqueries.scalars([condition], source, scope, ctes)
            test = scope.resolve(self._plain(tests[0]))
            filtered = Filter(self._alias("f"), source, test)
            source, scope = filtered, lift(scope, filtered.alias, lambda _, name: name)
        return source, scope

    def _plain(self, expression: exp.Expr) -> exp.Expr:
        """Refuse what an expression of this issue can't hold."""
        for node in expression.find_all(*_SUBQUERIES):
            if isinstance(node, exp.In) and node.args.get("query") is None:
                continue
            if isinstance(node, (exp.Any, exp.All)) and node.find(exp.Query) is None:
                continue
            raise NotIncremental("SUBQUERY", node.sql("postgres")[:80])
        for name in volatility.function_names(expression):
            if name in self.schema.functions.set_returning:
                raise NotIncremental("SET_RETURNING", f"{name}() returns a set")
        return expression

    def _grouped(self, select: exp.Select, values: list[exp.Expr]) -> bool:
        if select.args.get("group") is not None or select.args.get("having") is not None:
            return True
        functions = self.schema.functions
        return any(any(aggregate_calls(value, functions)) for value in values)

    def _project(self, source: Operator, names: list[str], values: list[exp.Expr]) -> Project:
        items = tuple(self._item(f"c{i}", value, source) for i, value in enumerate(values))
        return self._shown(Project(self._alias("p"), source, items), names)

    def _shown(self, project: Project, names: list[str]) -> Project:
        """Give the items their names, made unique where the query repeats one."""
        seen: set[str] = set()
        items: list[Item] = []
        for number, (item, name) in enumerate(zip(project.items, names, strict=True)):
            unique = name if name and name not in seen else f"{name}.{number}"
            seen.add(unique)
            column = item.column
            items.append(Item(Column(unique, column.not_null, column.scales), item.value))
        return Project(project.alias, project.child, tuple(items))

    def _item(self, name: str, value: exp.Expr, source: Operator) -> Item:
        never = nullability.never_null(value, [source])

        def resolve(column: exp.Column) -> tuple[int, ...] | None:
            return source.column(column.name).scales

        return Item(Column(name, never, scales.scales_of(value, resolve)), value)

    def _group(
        self,
        select: exp.Select,
        source: Operator,
        scope: Scope,
        values: list[exp.Expr],
        ctes: dict[str, exp.CTE],
    ) -> tuple[list[exp.Expr], Operator]:
        """GROUP BY and HAVING; the values over the groups."""
        clause = select.args.get("group")
        grouped: list[exp.Expr] = clause.expressions if clause is not None else []
        keys = [self._key(e, scope, values) for e in grouped]
        having = select.args.get("having")
        tests = conjuncts(having.this) if having is not None else []
        if grouped:  # a scalar subquery has one value for all groups: as good as a key
            before = source.alias
            replaced, source, scope = self._subqueries.scalars(
                [*values, *tests], source, scope, ctes
            )
            if source.alias != before:
                keys = [self._key(e, scope, values) for e in grouped]
            values, tests = replaced[: len(values)], replaced[len(values) :]
        shelf = Shelf(self._alias("g"), keys, self.schema.functions)
        values = [shelf.take(scope.resolve(self._plain(value))) for value in values]
        conditions = [shelf.take(scope.resolve(self._plain(test))) for test in tests]
        operator: Operator = plan_aggregate(
            shelf.alias, source, shelf.keys, shelf.calls, self._tools
        )
        if conditions:
            condition = exp.and_(*conditions, copy=False)
            operator = Filter(self._alias("f"), operator, condition)
            values = [_moved(value, shelf.alias, operator.alias) for value in values]
        return values, operator

    def _key(self, node: exp.Expr, scope: Scope, values: list[exp.Expr]) -> exp.Expr:
        if isinstance(node, exp.Literal) and not node.is_string:
            return scope.resolve(values[int(node.name) - 1])
        while isinstance(node, exp.Paren):
            node = node.this
        return scope.resolve(self._plain(node))

    def _alias(self, prefix: str) -> str:
        return f"{prefix}{next(self._numbers)}"

    def _context(self) -> Context:
        return Context(Schemas(), 0, stateless=True)

    def _note(self, code: str, message: str) -> None:
        self.notes.append(Reason(code, message))


def _constant_list(condition: exp.Expr) -> bool:
    """Whether the tests in a condition are over lists and arrays, not over queries."""
    return condition.find(exp.Query) is None


def _texts(select: exp.Select) -> dict[str, int]:
    """Position of each output by its text."""
    found: dict[str, int] = {}
    for number, output in enumerate(select.expressions):
        found.setdefault(grouping_sets.text(output.unalias()), number)
    return found


def _output(node: exp.Expr, select: exp.Select) -> exp.Expr:
    """What an item of ORDER BY means: an ordinal is an output."""
    if isinstance(node, exp.Literal) and not node.is_string:
        return select.expressions[int(node.name) - 1].unalias()
    return node


def _position(node: exp.Expr, rows: Operator, texts: dict[str, int]) -> int:
    """The output column that an item of ORDER BY names, by ordinal, name or text."""
    if isinstance(node, exp.Literal) and not node.is_string:
        return int(node.name) - 1
    position = texts.get(grouping_sets.text(node))
    names = [column.name for column in rows.columns]
    if position is None and isinstance(node, exp.Column) and node.name in names:
        return names.index(node.name)
    if position is None:
        raise NotIncremental("LIMIT", "ORDER BY something that is not shown")
    return position


def _by(ordered: exp.Ordered, value: exp.Expr) -> exp.Ordered:
    """The same direction over another expression."""
    copied = ordered.copy()
    copied.set("this", value.copy())
    return copied


def _cut(
    every: list[exp.Expr], outputs: int, order: int
) -> tuple[list[exp.Expr], list[exp.Expr], list[exp.Expr]]:
    return every[:outputs], every[outputs : outputs + order], every[outputs + order :]


def _moved(expression: exp.Expr, old: str, new: str) -> exp.Expr:
    """The same expression over an operator that passes its child's columns on."""

    def move(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and node.table == old:
            return ref(new, node.name)
        return node

    return expression.transform(move)
