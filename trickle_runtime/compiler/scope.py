"""Name resolution in one SELECT: canonical text names almost everything, the rest is found here.

Invariant: a resolved expression refers to operators' columns only (``alias.name`` of the plan).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.term import ref


@dataclass(frozen=True)
class Visible:
    """A FROM item: its name in the query and the plan's column behind each of its columns."""

    name: str
    columns: Mapping[str, exp.Column]


@dataclass(frozen=True)
class Scope:
    """The FROM items of one SELECT, and columns merged by USING."""

    items: tuple[Visible, ...] = ()
    merged: Mapping[str, exp.Expr] = field(default_factory=dict[str, exp.Expr])

    def resolve(self, expression: exp.Expr) -> exp.Expr:
        """Replace the query's column names by the plan's columns.

        Raises:
            NotIncremental: a whole-row reference or an unknown name.
        """
        return expression.copy().transform(self._replace, copy=False)

    def find(self, node: exp.Column) -> exp.Expr:
        """The plan's column that a column of the query means."""
        if isinstance(node.this, exp.Star):
            raise NotIncremental("WHOLE_ROW", node.sql("postgres"))
        name, table = node.name, node.table
        if not table and name in self.merged:
            return self.merged[name].copy()
        for item in self.items:
            if table in ("", item.name) and name in item.columns:
                return item.columns[name].copy()
        raise NotIncremental("WHOLE_ROW", f"{node.sql('postgres')} is no column of a FROM item")

    def has(self, node: exp.Column) -> bool:
        """Whether a column can be found here."""
        name, table = node.name, node.table
        if not table and name in self.merged:
            return True
        return any(table in ("", item.name) and name in item.columns for item in self.items)

    def _replace(self, node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column):
            return self.find(node)
        return node


def expose(name: str, operator: Operator, shown: list[str] | None = None) -> Visible:
    """Make an operator visible under a name, its columns perhaps renamed."""
    names = [column.name for column in operator.columns]
    labels = [*(shown or []), *names[len(shown or []) :]]
    return Visible(
        name, {label: ref(operator.alias, n) for label, n in zip(labels, names, strict=True)}
    )
