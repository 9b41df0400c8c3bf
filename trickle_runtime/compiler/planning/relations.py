"""Named relations in FROM: tables, views, common table expressions.

A view, and a common table expression, is planned once however often it is read. Invariant: what
carries no triggers is read as a node of its own, by difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.operators.scan import Scan
from trickle_runtime.compiler.planning.scope import Visible
from trickle_runtime.compiler.schema import SourceRelation
from trickle_runtime.compiler.template import ident
from trickle_runtime.compiler.term import cast, ref

POLLED = frozenset({"matview", "foreign", "system"})


@dataclass
class Cte:
    """A common table expression, those that it can name itself, and its plan, once made.

    ``clauses`` are SEARCH and CYCLE, which add columns to it.
    """

    node: exp.CTE
    visible: Mapping[str, Cte]
    recursive: bool
    clauses: Mapping[str, exp.Expr] = field(default_factory=dict[str, exp.Expr])
    planned: tuple[Operator, tuple[str, ...]] | None = field(default=None, compare=False)


Ctes = Mapping[str, Cte]


def read_with(clause: exp.With | None, outer: Ctes) -> dict[str, Cte]:
    """The common table expressions that a query can name."""
    found: dict[str, Cte] = dict(outer)
    if clause is None:
        return found
    recursive = bool(clause.args.get("recursive"))
    named = {name: clause.args[name] for name in ("search", "cycle") if clause.args.get(name)}
    for node in clause.expressions:
        last = (
            node is clause.expressions[-1]
        )  # the only place where the parser takes SEARCH, CYCLE
        found[node.alias] = Cte(node, dict(found), recursive, named if last else {})
    return found


def scan(relation: SourceRelation, alias: str) -> Scan:
    """The rows of a table."""
    return Scan(alias, relation, relation.columns)


def visible_table(name: str, operator: Scan, renamed: list[str]) -> Visible:
    """A table under its name in the query; its row as a value is of the table's type."""
    names = [column.name for column in operator.columns]
    labels = [*renamed, *names[len(renamed) :]]
    columns: dict[str, exp.Expr] = {
        label: ref(operator.alias, n) for label, n in zip(labels, names, strict=True)
    }
    relation = operator.relation
    kind = f"{ident(relation.schema)}.{ident(relation.name)}"

    def row() -> exp.Expr:
        values = [ref(operator.alias, column.name) for column in relation.columns]
        call = exp.Anonymous(this="ROW", expressions=list(values))
        return cast(call, kind)

    return Visible(name, columns, row)


def alias_columns(node: exp.Expr) -> list[str]:
    """The names that an alias gives to columns."""
    alias = node.args.get("alias")
    return [column.name for column in alias.columns] if isinstance(alias, exp.TableAlias) else []
