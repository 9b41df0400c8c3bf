"""Name resolution in one SELECT: canonical text names almost everything, the rest is found here.

Invariant: a resolved expression refers to operators' columns only (``alias.name`` of the plan),
except for what a subquery inside of it, which reads no table, names itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.term import ref

_PLANNED = re.compile(r"_[a-z]+\d+")
THERE = "__pgt_there"  # marks rows beside padding; no column of a query has such a name
SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})


@dataclass(frozen=True)
class Visible:
    """A FROM item: its name in the query and the plan's column behind each of its columns."""

    name: str
    columns: Mapping[str, exp.Expr]
    row: Callable[[], exp.Expr] | None = None  # the whole row as one value


@dataclass(frozen=True)
class Scope:
    """The FROM items of one SELECT, and columns that have no item: merged by USING, computed."""

    items: tuple[Visible, ...] = ()
    merged: Mapping[str, exp.Expr] = field(default_factory=dict[str, exp.Expr])

    def resolve(self, expression: exp.Expr) -> exp.Expr:
        """Replace the query's column names by the plan's columns.

        Raises:
            NotIncremental: a whole-row reference or an unknown name.
        """
        holder = exp.Paren(this=expression.copy())
        for column in list(free_columns(holder)):
            if not is_planned(column):
                column.replace(self.find(column))
        return holder.this

    def find(self, node: exp.Column) -> exp.Expr:
        """The plan's column that a column of the query means."""
        if isinstance(node.this, exp.Star):
            return self._row(node.table)
        name, table = node.name, node.table
        if not table and name in self.merged:
            return self.merged[name].copy()
        for item in self.items:
            if table in ("", item.name) and name in item.columns:
                return item.columns[name].copy()
        if name in SYSTEM_COLUMNS:
            raise NotIncremental("SYSTEM_COLUMN", f"{name} is not a value of the row")
        raise NotIncremental("WHOLE_ROW", f"{node.sql('postgres')} is no column of a FROM item")

    def has(self, node: exp.Column) -> bool:
        """Whether a column can be found here."""
        name, table = node.name, node.table
        if not table and name in self.merged:
            return True
        if isinstance(node.this, exp.Star):
            return any(table == item.name for item in self.items)
        return any(table in ("", item.name) and name in item.columns for item in self.items)

    def _row(self, table: str) -> exp.Expr:
        for item in self.items:
            if item.name == table and item.row is not None:
                return item.row()
        raise NotIncremental("WHOLE_ROW", f"the row of {table} as a value")


@dataclass(frozen=True)
class Source:
    """Planned rows, and how the query's names mean their columns.

    ``carried`` has, for a correlated query, the values of the outer query's columns.
    """

    operator: Operator
    scope: Scope
    carried: tuple[exp.Expr, ...] = ()

    def over(
        self, operator: Operator, named: Callable[[str, str], str] = lambda _, name: name
    ) -> Source:
        """The same names over an operator that passes these columns on.

        Args:
            operator: reads ``self.operator``.
            named: gives its name for a column, from the alias and the name of now.
        """

        def lifted(node: exp.Expr) -> exp.Expr:
            if isinstance(node, exp.Column) and is_planned(node):
                return ref(operator.alias, named(node.table, node.name))
            return node

        def lift(value: exp.Expr) -> exp.Expr:
            return value.copy().transform(lifted, copy=False)

        def lift_row(row: Callable[[], exp.Expr] | None) -> Callable[[], exp.Expr] | None:
            return None if row is None else lambda: lift(row())

        items = tuple(
            Visible(
                item.name,
                {name: lift(value) for name, value in item.columns.items()},
                lift_row(item.row),
            )
            for item in self.scope.items
        )
        merged = {name: lift(value) for name, value in self.scope.merged.items()}
        return Source(operator, Scope(items, merged), tuple(lift(v) for v in self.carried))

    def naming(self, name: str, value: exp.Expr) -> Source:
        """The same with one more name for a value."""
        scope = Scope(self.scope.items, {**self.scope.merged, name: value})
        return Source(self.operator, scope, self.carried)

    def forgetting(self, names: Sequence[str]) -> Source:
        """The same without some names."""
        merged = {n: v for n, v in self.scope.merged.items() if n not in names}
        return Source(self.operator, Scope(self.scope.items, merged), self.carried)

    def resolve(self, expression: exp.Expr) -> exp.Expr:
        """See ``Scope.resolve``."""
        return self.scope.resolve(expression)


def expose(
    name: str,
    operator: Operator,
    shown: list[str] | None = None,
    row: Callable[[], exp.Expr] | None = None,
) -> Visible:
    """Make an operator visible under a name, its columns perhaps renamed."""
    names = [column.name for column in operator.columns]
    labels = [*(shown or []), *names[len(shown or []) :]]
    columns = {label: ref(operator.alias, n) for label, n in zip(labels, names, strict=True)}
    return Visible(name, dict(columns), row)


def is_planned(column: exp.Column) -> bool:
    """Whether a column is one of the plan's already: PostgreSQL quotes no such name."""
    table = column.args.get("table")
    return (
        isinstance(table, exp.Identifier)
        and bool(table.quoted)
        and _PLANNED.fullmatch(table.name) is not None
    )


def free_columns(node: exp.Expr) -> Iterator[exp.Column]:
    """Columns in an expression or query that no FROM clause inside of it binds.

    PostgreSQL qualifies every column of a nested query; one without a qualifier belongs to the
    query it stands in.
    """
    return _free(node, frozenset(), inside=isinstance(node, exp.Query))


def _free(node: exp.Expr, bound: frozenset[str], *, inside: bool) -> Iterator[exp.Column]:
    if isinstance(node, exp.Column) and isinstance(node.this, (exp.Identifier, exp.Star)):
        if node.table not in bound and (node.table or not inside):
            yield node
        return
    if isinstance(node, (exp.Select, exp.SetOperation)):
        inside = True
        bound = bound | frozenset(_names(node))
    for child in list(node.iter_expressions()):
        yield from _free(child, bound, inside=inside)


def _names(query: exp.Expr) -> Iterator[str]:
    """Names that the FROM clause of a SELECT binds."""
    pending = [join.this for join in joins(query)]
    if query.args.get("from_") is not None:
        pending.append(query.args["from_"].this)
    while pending:
        node = pending.pop()
        if node.alias_or_name:
            yield node.alias_or_name
        pending += [join.this for join in joins(node)]
        nested = isinstance(node, (exp.Paren, exp.Subquery)) and not node.alias
        if nested or (isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table)):
            pending.append(node.this)


def joins(node: exp.Expr) -> list[exp.Join]:
    """The joins that follow a FROM item, or the first one of a query."""
    return node.args.get("joins") or []


def reads_tables(node: exp.Expr) -> bool:
    """Whether an expression or query reads a table, a view or a common table expression."""
    return any(isinstance(table.this, exp.Identifier) for table in node.find_all(exp.Table))
