"""FROM: tables, views, subqueries and joins to inputs of one flat inner join.

Invariant: what is not an inner join of tables, views and plain subqueries raises
``NotIncremental`` with the code of the construct.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sqlglot import exp

from trickle_runtime.compiler.dialect import parse
from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.operators.constant import Constant
from trickle_runtime.compiler.operators.filter import Filter
from trickle_runtime.compiler.operators.inner_join import InnerJoin, output_name
from trickle_runtime.compiler.operators.project import Item, Project
from trickle_runtime.compiler.operators.scan import Scan
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.schema import Schema, SourceRelation
from trickle_runtime.compiler.scope import Scope, Visible, expose
from trickle_runtime.compiler.term import ref

PlanQuery = Callable[[exp.Query, "dict[str, exp.CTE]"], Operator]
_POLLED = {"matview", "foreign"}


@dataclass
class Gathered:
    """Inputs of the join, what the query can name, and the join conditions."""

    parts: list[Operator] = field(default_factory=list)
    items: list[Visible] = field(default_factory=list)
    merged: dict[str, exp.Column] = field(default_factory=dict)
    conditions: list[exp.Expr] = field(default_factory=list)

    @property
    def scope(self) -> Scope:
        """What can be named so far."""
        return Scope(tuple(self.items), self.merged)


class FromPlanner:
    """Plans FROM clauses of one query."""

    def __init__(self, schema: Schema, alias: Callable[[str], str], plan_query: PlanQuery) -> None:
        self.schema, self.alias, self.plan_query = schema, alias, plan_query

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
            return joined, _lift(gathered.scope, joined.alias, output_name)
        operator = gathered.parts[0] if gathered.parts else Constant(self.alias("one"))
        if not conditions:
            return operator, gathered.scope
        filtered = Filter(self.alias("f"), operator, exp.and_(*conditions, copy=False))
        return filtered, _lift(gathered.scope, filtered.alias, lambda _, name: name)

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
        if side or kind not in {"", "INNER", "CROSS"} or join.args.get("method"):
            raise NotIncremental("OUTER_JOIN", f"{side} {kind} JOIN".strip())
        before = into.scope
        known = len(into.items)
        self._item(join.this, into, ctes)
        using: list[exp.Identifier] = join.args.get("using") or []
        if using:
            right = Scope(tuple(into.items[known:]))
            self._using([name.name for name in using], before, right, into)
        condition = join.args.get("on")
        if condition is not None:
            into.conditions += [into.scope.resolve(c) for c in conjuncts(condition)]

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


def _joins(node: exp.Expr) -> list[exp.Join]:
    return node.args.get("joins") or []


def _alias_columns(node: exp.Expr) -> list[str]:
    alias = node.args.get("alias")
    return [column.name for column in alias.columns] if isinstance(alias, exp.TableAlias) else []


def _lift(scope: Scope, alias: str, named: Callable[[str, str], str]) -> Scope:
    """The scope over an operator's output instead of over its inputs."""

    def lifted(column: exp.Column) -> exp.Column:
        return ref(alias, named(column.table, column.name))

    items = tuple(
        Visible(item.name, {name: lifted(column) for name, column in item.columns.items()})
        for item in scope.items
    )
    return Scope(items, {name: lifted(column) for name, column in scope.merged.items()})
