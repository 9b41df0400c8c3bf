"""FROM: tables, views, subqueries and joins to inputs of one flat inner join.

Invariant: what is not an inner join of tables, views and plain subqueries raises
``NotIncremental`` with the code of the construct.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sqlglot import exp

from trickle_runtime.compiler.dialect import parse
from trickle_runtime.compiler.joining import output_name
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.operators.constant import Constant
from trickle_runtime.compiler.operators.filter import Filter
from trickle_runtime.compiler.operators.inner_join import InnerJoin
from trickle_runtime.compiler.operators.left_join import LeftJoin
from trickle_runtime.compiler.operators.project import Item, Project
from trickle_runtime.compiler.operators.scan import Scan
from trickle_runtime.compiler.operators.semi_join import SemiJoin
from trickle_runtime.compiler.operators.union_all import unite
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.schema import Schema, SourceRelation
from trickle_runtime.compiler.scope import Scope, Visible, expose
from trickle_runtime.compiler.term import raw, ref

PlanQuery = Callable[[exp.Query, "dict[str, exp.CTE]"], Operator]
_POLLED = {"matview", "foreign"}


@dataclass
class Gathered:
    """Inputs of the join, what the query can name, and the join conditions."""

    parts: list[Operator] = field(default_factory=list)
    items: list[Visible] = field(default_factory=list)
    merged: dict[str, exp.Expr] = field(default_factory=dict[str, exp.Expr])
    conditions: list[exp.Expr] = field(default_factory=list)

    @property
    def scope(self) -> Scope:
        """What can be named so far."""
        return Scope(tuple(self.items), self.merged)


class FromPlanner:
    """Plans FROM clauses of one query."""

    def __init__(
        self,
        schema: Schema,
        alias: Callable[[str], str],
        plan_query: PlanQuery,
        describe: Callable[[Operator], list[str]],
        check: Callable[[exp.Expr], exp.Expr],
    ) -> None:
        self.schema, self.alias, self.plan_query = schema, alias, plan_query
        self.describe, self.check = describe, check

    def gather(self, select: exp.Select, ctes: dict[str, exp.CTE]) -> Gathered:
        """Plan every FROM item of a SELECT."""
        gathered = Gathered()
        clause = select.args.get("from_")
        if clause is None:
            return gathered
        self._item(clause.this, gathered, ctes)
        for join in _joins(select):
            self._join(join, gathered, ctes)
        return gathered

    def join(self, gathered: Gathered, where: list[exp.Expr]) -> tuple[Operator, Scope]:
        """One operator for all FROM items and the conditions; and the scope over it.

        Args:
            gathered: the FROM items.
            where: conjuncts of WHERE, resolved.
        """
        conditions = [*gathered.conditions, *where]
        if len(gathered.parts) > 1:
            joined = InnerJoin(self.alias("j"), tuple(gathered.parts), tuple(conditions))
            return joined, lift(gathered.scope, joined.alias, output_name)
        operator = gathered.parts[0] if gathered.parts else Constant(self.alias("one"))
        if not conditions:
            return operator, gathered.scope
        filtered = Filter(self.alias("f"), operator, exp.and_(*conditions, copy=False))
        return filtered, lift(gathered.scope, filtered.alias, lambda _, name: name)

    def _item(self, node: exp.Expr, into: Gathered, ctes: dict[str, exp.CTE]) -> None:
        if isinstance(node, exp.Table):
            self._table(node, into, ctes)
        elif isinstance(node, exp.Subquery):
            self._subquery(node, into, ctes)
        elif isinstance(node, exp.Lateral):
            raise NotIncremental("LATERAL", node.sql("postgres")[:80])
        elif isinstance(node, exp.Values):
            raise NotIncremental("VALUES", "VALUES in FROM")
        elif isinstance(node, exp.Paren):
            self._item(node.this, into, ctes)
        else:
            raise NotIncremental("SET_RETURNING", node.sql("postgres")[:80])
        for join in _joins(node):
            self._join(join, into, ctes)

    def _join(self, join: exp.Join, into: Gathered, ctes: dict[str, exp.CTE]) -> None:
        side, kind = (join.side or "").upper(), (join.kind or "").upper()
        if join.args.get("method"):
            raise NotIncremental("OUTER_JOIN", "NATURAL JOIN")
        if side in {"LEFT", "RIGHT", "FULL"}:
            self._outer(side, join, into, ctes)
            return
        if side or kind not in {"", "INNER", "CROSS"}:
            raise NotIncremental("OUTER_JOIN", f"{side} {kind} JOIN".strip())
        before = into.scope
        known = len(into.items)
        self._item(join.this, into, ctes)
        using = _using(join)
        if using:
            right = Scope(tuple(into.items[known:]))
            self._using(using, before, right, into)
        condition = join.args.get("on")
        if condition is not None:
            into.conditions += [into.scope.resolve(c) for c in conjuncts(condition)]

    def _outer(self, side: str, join: exp.Join, into: Gathered, ctes: dict[str, exp.CTE]) -> None:
        """An outer join ends the flat join so far: it becomes one side of the new operator."""
        other = Gathered()
        self._item(join.this, other, ctes)
        left, left_scope = self.join(into, [])
        right, right_scope = self.join(other, [])
        conditions: list[exp.Expr] = []
        both = Scope((*left_scope.items, *right_scope.items))
        if join.args.get("on") is not None:
            conditions = [both.resolve(c) for c in conjuncts(join.args["on"])]
        names = _using(join)
        pairs = {
            n: (left_scope.find(exp.column(n)), right_scope.find(exp.column(n))) for n in names
        }
        conditions += [exp.EQ(this=a.copy(), expression=b.copy()) for a, b in pairs.values()]
        for condition in conditions:
            self.check(condition)
        if side == "RIGHT":
            operator = self._left_join(right, left, conditions)
        elif side == "LEFT":
            operator = self._left_join(left, right, conditions)
        else:
            operator = self._full_join(left, right, conditions)
        merged: dict[str, exp.Expr] = {**left_scope.merged, **right_scope.merged}
        for name, (a, b) in pairs.items():
            either: exp.Expr = exp.Coalesce(this=a.copy(), expressions=[b.copy()])
            merged[name] = either if side == "FULL" else (b if side == "RIGHT" else a).copy()
        scope = lift(Scope(both.items, merged), operator.alias, output_name)
        into.parts, into.conditions = [operator], []
        into.items, into.merged = list(scope.items), dict(scope.merged)

    def _left_join(self, left: Operator, right: Operator, conditions: list[exp.Expr]) -> Operator:
        inner = InnerJoin(self.alias("j"), (left, right), tuple(conditions))
        names = [column.name for column in right.columns]
        types = tuple(zip(names, self.describe(right), strict=True))
        return LeftJoin(self.alias("o"), inner, types)

    def _full_join(self, left: Operator, right: Operator, conditions: list[exp.Expr]) -> Operator:
        """The left join, and the right rows that have no partner at all."""
        first = self._left_join(left, right, conditions)
        alone = SemiJoin(self.alias("a"), right, left, tuple(conditions), negated=True)
        padded: list[Item] = []
        for column, type_ in zip(left.columns, self.describe(left), strict=True):
            null = raw(f"NULL::{type_}")
            padded.append(Item(Column(output_name(left.alias, column.name)), null))
        for column in right.columns:
            shown = replace(column, name=output_name(right.alias, column.name))
            padded.append(Item(shown, ref(alone.alias, column.name)))
        names = tuple(column.name for column in first.columns)
        plain = [Item(c, ref(first.alias, c.name)) for c in first.columns]
        branches = (
            Project(self.alias("p"), first, tuple(plain)),
            Project(self.alias("p"), alone, tuple(padded)),
        )
        return unite(self.alias("u"), branches, names)

    def _using(self, names: list[str], left: Scope, right: Scope, into: Gathered) -> None:
        for name in names:
            first, second = (s.find(exp.column(name)) for s in (left, right))
            into.conditions.append(exp.EQ(this=first, expression=second))
            into.merged[name] = first.copy()

    def _table(self, node: exp.Table, into: Gathered, ctes: dict[str, exp.CTE]) -> None:
        if node.args.get("sample"):
            raise NotIncremental("TABLE_SAMPLE", node.sql("postgres"))
        if not isinstance(node.this, exp.Identifier):
            raise NotIncremental("SET_RETURNING", node.sql("postgres")[:80])
        shown = node.alias or node.name
        renamed = _alias_columns(node)
        if not node.db and node.name in ctes:
            operator = self._cte(node.name, ctes)
        else:
            operator = self._relation(node)
        into.parts.append(operator)
        into.items.append(expose(shown, operator, renamed))

    def _cte(self, name: str, ctes: dict[str, exp.CTE]) -> Operator:
        cte = ctes[name]
        visible = dict(list(ctes.items())[: list(ctes).index(name)])
        operator = self.plan_query(cte.this, visible)
        shown = [column.name for column in cte.args["alias"].columns]
        return rename(operator, shown, self.alias)

    def _relation(self, node: exp.Table) -> Operator:
        relation = self.schema.relations.get((node.db, node.name))
        if relation is None:
            raise NotIncremental("SYSTEM_CATALOG", node.sql("postgres"))
        if relation.kind == "view":
            return self.plan_query(parse(relation.definition or ""), {})
        if relation.kind == "system":
            raise NotIncremental("SYSTEM_CATALOG", node.sql("postgres"))
        if relation.kind in _POLLED:
            raise NotIncremental("POLLED_SOURCE", f"{relation.kind} {relation.name}")
        if node.args.get("only"):
            raise NotIncremental("UNSUPPORTED", "FROM ONLY")
        return _scan(relation, self.alias("t"))

    def _subquery(self, node: exp.Subquery, into: Gathered, ctes: dict[str, exp.CTE]) -> None:
        if node.args.get("sample"):
            raise NotIncremental("TABLE_SAMPLE", "TABLESAMPLE")
        if not node.alias:  # a join in parentheses; canonical subqueries have a name
            self._item(node.this, into, ctes)
        elif isinstance(node.this, exp.Query) and not isinstance(node.this, exp.Table):
            operator = self.plan_query(node.this, ctes)
            into.parts.append(operator)
            into.items.append(expose(node.alias, operator, _alias_columns(node)))
        else:
            raise NotIncremental("UNSUPPORTED", "an alias on a parenthesised join")


def rename(operator: Operator, names: list[str], alias: Callable[[str], str]) -> Operator:
    """Give the columns other names, by position; no names, no change."""
    if not names:
        return operator
    items = [
        Item(replace(column, name=name), ref(operator.alias, column.name))
        for name, column in zip(names, operator.columns, strict=True)
    ]
    return Project(alias("p"), operator, tuple(items))


def conjuncts(condition: exp.Expr) -> list[exp.Expr]:
    """The conditions that AND connects."""
    while isinstance(condition, exp.Paren):
        condition = condition.this
    if isinstance(condition, exp.And):
        return [*conjuncts(condition.this), *conjuncts(condition.expression)]
    return [condition]


def _scan(relation: SourceRelation, alias: str) -> Scan:
    return Scan(alias, relation, relation.columns)


def _using(join: exp.Join) -> list[str]:
    names: list[exp.Identifier] = join.args.get("using") or []
    return [name.name for name in names]


def _joins(node: exp.Expr) -> list[exp.Join]:
    return node.args.get("joins") or []


def _alias_columns(node: exp.Expr) -> list[str]:
    alias = node.args.get("alias")
    return [column.name for column in alias.columns] if isinstance(alias, exp.TableAlias) else []


def lift(scope: Scope, alias: str, named: Callable[[str, str], str]) -> Scope:
    """The scope over an operator's output instead of over its inputs."""

    def lifted(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column):
            return ref(alias, named(node.table, node.name))
        return node

    items = tuple(
        Visible(
            item.name,
            {name: ref(alias, named(c.table, c.name)) for name, c in item.columns.items()},
        )
        for item in scope.items
    )
    merged = {name: value.transform(lifted) for name, value in scope.merged.items()}
    return Scope(items, merged)
