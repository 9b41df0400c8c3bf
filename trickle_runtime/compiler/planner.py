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

from trickle_runtime.compiler import nullability, scales, volatility
from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.from_clause import FromPlanner, conjuncts
from trickle_runtime.compiler.grouping import (
    Tools,
    aggregate_calls,
    plan_aggregate,
    plan_distinct,
)
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.operators.filter import Filter
from trickle_runtime.compiler.operators.project import Item, Project
from trickle_runtime.compiler.operators.union_all import UnionAll
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.result import Reason
from trickle_runtime.compiler.schema import Describer, Schema
from trickle_runtime.compiler.scope import Scope
from trickle_runtime.compiler.shelf import Shelf
from trickle_runtime.compiler.term import ref, union
from trickle_runtime.config import Schemas

_SUBQUERIES = (exp.Exists, exp.In, exp.Any, exp.All, exp.Subquery, exp.Select)


class Planner:
    """Plans one query; ``notes`` collects what is worth telling about its nodes."""

    def __init__(self, schema: Schema, describer: Describer) -> None:
        self.schema = schema
        self.describer = describer
        self.notes: list[Reason] = []
        self._numbers = count(1)
        self._from = FromPlanner(schema, self._alias, self._query)
        self._tools = Tools(describer, schema.functions, self._context, self._alias, self._note)

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
        return Project(self._alias("p"), root, items).prune(frozenset(names))

    def _query(self, tree: exp.Query, ctes: dict[str, exp.CTE]) -> Operator:
        with_ = tree.args.get("with_")
        if with_ is not None:
            if with_.args.get("recursive"):
                raise NotIncremental("RECURSIVE", "WITH RECURSIVE")
            ctes = ctes | {cte.alias: cte for cte in with_.expressions}
        if isinstance(tree, exp.Subquery):
            self._modifiers(tree)
            return self._query(tree.this, ctes)
        if isinstance(tree, exp.SetOperation):
            return self._set_operation(tree, ctes)
        if isinstance(tree, exp.Select):
            return self._select(tree, ctes)
        raise NotIncremental("VALUES", type(tree).__name__)

    def _modifiers(self, tree: exp.Query) -> None:
        for name in ("limit", "offset", "fetch"):
            if tree.args.get(name) is not None:
                raise NotIncremental("LIMIT", f"{name.upper()} takes part of the rows")
        if tree.args.get("locks"):
            raise NotIncremental("ROW_LOCK", "FOR UPDATE or FOR SHARE")
        if tree.args.get("order") is not None:
            self._note("ORDER_DROPPED", "ORDER BY without LIMIT: a table has no order")

    def _set_operation(self, tree: exp.SetOperation, ctes: dict[str, exp.CTE]) -> Operator:
        if not isinstance(tree, exp.Union):
            raise NotIncremental("SET_OPERATION", type(tree).__name__.upper())
        self._modifiers(tree)
        sides = [self._query(side, ctes) for side in (tree.this, tree.expression)]
        branches = tuple(self._branch(side) for side in sides)
        names = tuple(f"u{i}" for i in range(len(branches[0].columns)))
        combined: Operator = UnionAll(self._alias("u"), self._cast(branches, names), names)
        if tree.args.get("distinct"):
            combined = plan_distinct(self._alias("g"), combined, self._tools)
        return self._renamed(combined, sides[0])

    def _renamed(self, operator: Operator, like: Operator) -> Operator:
        items = [
            Item(Column(shown.name, c.not_null, c.scales), ref(operator.alias, c.name))
            for shown, c in zip(like.columns, operator.columns, strict=True)
        ]
        return Project(self._alias("p"), operator, tuple(items))

    def _branch(self, planned: Operator) -> Operator:
        items = [
            Item(Column(f"u{i}", c.not_null, c.scales), ref(planned.alias, c.name))
            for i, c in enumerate(planned.columns)
        ]
        return Project(self._alias("p"), planned, tuple(items))

    def _cast(
        self, branches: tuple[Operator, ...], names: tuple[str, ...]
    ) -> tuple[Operator, ...]:
        """Cast each branch to the union's types, as PostgreSQL does without printing it."""
        plain = UnionAll(self._alias("u"), branches, names)
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
        self._modifiers(select)
        self._refuse(select)
        gathered = self._from.gather(select, ctes)
        where = select.args.get("where")
        conditions = conjuncts(where.this) if where is not None else []
        resolved = [gathered.scope.resolve(self._plain(c)) for c in conditions]
        source, scope = self._from.join(gathered, resolved)
        outputs = [(o.alias_or_name, self._plain(o.unalias())) for o in select.expressions]
        if self._grouped(select, outputs):
            projected = self._group(select, source, scope, outputs)
        else:
            projected = self._project(source, scope, outputs)
        if select.args.get("distinct") is not None:
            return self._renamed(
                plan_distinct(self._alias("g"), projected, self._tools), projected
            )
        return projected

    def _refuse(self, select: exp.Select) -> None:
        distinct = select.args.get("distinct")
        if distinct is not None and distinct.args.get("on") is not None:
            raise NotIncremental("DISTINCT_ON", "DISTINCT ON keeps one row per group")
        if select.args.get("windows") or any(select.find_all(exp.Window)):
            raise NotIncremental("WINDOW_FUNCTION", "a window function")
        group = select.args.get("group")
        if group is not None and group.find(exp.GroupingSets, exp.Cube, exp.Rollup):
            raise NotIncremental("GROUPING_SETS", "GROUPING SETS, ROLLUP or CUBE")
        if select.args.get("laterals"):
            raise NotIncremental("LATERAL", "LATERAL")

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

    def _grouped(self, select: exp.Select, outputs: list[tuple[str, exp.Expr]]) -> bool:
        if select.args.get("group") is not None or select.args.get("having") is not None:
            return True
        functions = self.schema.functions
        return any(any(aggregate_calls(value, functions)) for _, value in outputs)

    def _project(
        self, source: Operator, scope: Scope, outputs: list[tuple[str, exp.Expr]]
    ) -> Operator:
        items = tuple(
            self._item(f"c{i}.{name}", scope.resolve(value), source)
            for i, (name, value) in enumerate(outputs)
        )
        return self._shown(Project(self._alias("p"), source, items), [n for n, _ in outputs])

    def _shown(self, project: Project, names: list[str]) -> Operator:
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
        outputs: list[tuple[str, exp.Expr]],
    ) -> Operator:
        clause = select.args.get("group")
        grouped: list[exp.Expr] = clause.expressions if clause is not None else []
        keys = [self._key(e, scope, outputs) for e in grouped]
        having = select.args.get("having")
        tests = conjuncts(having.this) if having is not None else []
        shelf = Shelf(self._alias("g"), keys, self.schema.functions)
        values = [shelf.take(scope.resolve(value)) for _, value in outputs]
        conditions = [shelf.take(scope.resolve(self._plain(test))) for test in tests]
        operator: Operator = plan_aggregate(
            shelf.alias, source, shelf.keys, shelf.calls, self._tools
        )
        if conditions:
            condition = exp.and_(*conditions, copy=False)
            operator = Filter(self._alias("f"), operator, condition)
            values = [_moved(value, shelf.alias, operator.alias) for value in values]
        items = tuple(self._item(f"c{i}", v, operator) for i, v in enumerate(values))
        return self._shown(Project(self._alias("p"), operator, items), [n for n, _ in outputs])

    def _key(self, node: exp.Expr, scope: Scope, outputs: list[tuple[str, exp.Expr]]) -> exp.Expr:
        if isinstance(node, exp.Literal) and not node.is_string:
            return scope.resolve(outputs[int(node.name) - 1][1])
        while isinstance(node, exp.Paren):
            node = node.this
        if isinstance(node, exp.Tuple):
            raise NotIncremental("GROUPING_SETS", "a row in GROUP BY")
        return scope.resolve(self._plain(node))

    def _alias(self, prefix: str) -> str:
        return f"{prefix}{next(self._numbers)}"

    def _context(self) -> Context:
        return Context(Schemas(), 0, stateless=True)

    def _note(self, code: str, message: str) -> None:
        self.notes.append(Reason(code, message))


def _moved(expression: exp.Expr, old: str, new: str) -> exp.Expr:
    """The same expression over an operator that passes its child's columns on."""

    def move(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and node.table == old:
            return ref(new, node.name)
        return node

    return expression.transform(move)
