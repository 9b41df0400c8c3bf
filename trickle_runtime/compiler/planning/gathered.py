"""What a FROM clause has given so far: inputs of one flat join, and what the query can name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sqlglot import exp

from trickle_runtime.compiler.joining import output_name
from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.operators.constant import Constant
from trickle_runtime.compiler.operators.filter import Filter
from trickle_runtime.compiler.operators.inner_join import InnerJoin
from trickle_runtime.compiler.planning.correlation import Domain, Planned
from trickle_runtime.compiler.planning.relations import Ctes
from trickle_runtime.compiler.planning.scope import Scope, Source, Visible, free_columns
from trickle_runtime.compiler.planning.tools import Tools


class Queries(Protocol):
    """What FROM needs of the planner of whole queries."""

    def query(self, tree: exp.Expr, ctes: Ctes, domain: Domain | None = None) -> Planned:
        """Plan a query."""
        ...

    def relation(self, node: exp.Table, ctes: Ctes) -> tuple[Operator, Visible]:
        """Plan a table, a view or a common table expression."""
        ...

    def plain(self, expression: exp.Expr) -> exp.Expr:
        """Refuse what an expression of a row can't hold."""
        ...

    def inline(
        self, expressions: Sequence[exp.Expr], source: Source, ctes: Ctes
    ) -> tuple[list[exp.Expr], Source]:
        """Put columns in the places of the subqueries in expressions."""
        ...

    def where(self, source: Source, conditions: Sequence[exp.Expr], ctes: Ctes) -> Source:
        """Filter rows by conjuncts of WHERE."""
        ...


@dataclass
class Gathered:
    """Inputs of the join, what the query can name, and the join conditions.

    ``domain`` has the outer values where the FROM clause itself uses them: they are its first
    items then.
    """

    domain: Domain | None = None
    parts: list[Operator] = field(default_factory=list)
    items: list[Visible] = field(default_factory=list)
    merged: dict[str, exp.Expr] = field(default_factory=dict[str, exp.Expr])
    conditions: list[exp.Expr] = field(default_factory=list)
    carried: tuple[exp.Expr, ...] = ()
    pending: list[exp.Expr] = field(default_factory=list)  # conjuncts of WHERE, unresolved
    applied: list[exp.Expr] = field(default_factory=list)  # those of them that are applied

    @property
    def scope(self) -> Scope:
        """What can be named so far."""
        return Scope(tuple(self.items), self.merged)

    def become(self, source: Source) -> None:
        """Replace everything so far by one input."""
        self.parts, self.conditions = [source.operator], []
        self.items, self.merged = list(source.scope.items), dict(source.scope.merged)
        self.carried = source.carried

    def join(self, tools: Tools, where: Sequence[exp.Expr] = ()) -> Source:
        """One operator for all FROM items and the conditions.

        Args:
            tools: of the query.
            where: conjuncts of WHERE, resolved.
        """
        conditions = [*self.conditions, *where]
        if len(self.parts) > 1:
            parts = tuple(self.parts)
            joined = InnerJoin(tools.alias("j"), parts, tuple(conditions))
            source = Source(joined, self.scope, self.carried)
            return source.over(joined, output_name)
        operator = self.parts[0] if self.parts else Constant(tools.alias("one"))
        source = Source(operator, self.scope, self.carried)
        if not conditions:
            return source
        predicate = exp.and_(*conditions, copy=False)
        return source.over(Filter(tools.alias("f"), operator, predicate))

    def apply_pending(self, plain: Callable[[exp.Expr], exp.Expr]) -> None:
        """Apply what WHERE says of the FROM items so far before they become a domain.

        ``plain`` refuses what an expression of a row can't hold.
        """
        for condition in list(self.pending):
            columns = list(free_columns(condition))
            simple = condition.find(exp.Query) is None and bool(columns)
            if simple and all(self.scope.has(column) for column in columns):
                self.conditions.append(self.scope.resolve(plain(condition)))
                self.pending.remove(condition)
                self.applied.append(condition)


def conjuncts(condition: exp.Expr) -> list[exp.Expr]:
    """The conditions that AND connects."""
    while isinstance(condition, exp.Paren):
        condition = condition.this
    if isinstance(condition, exp.And):
        return [*conjuncts(condition.this), *conjuncts(condition.expression)]
    return [condition]
