"""Functions in FROM: calls, VALUES over outer columns, and subqueries that read no table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from trickle_runtime.compiler.dialect import render
from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.planning.tools import Tools
from trickle_runtime.compiler.template import comma, fill, ident
from trickle_runtime.compiler.term import FromItem, bind

_RESULTS = "SELECT f.* FROM $items"


@dataclass(frozen=True)
class Call:
    """A FROM item that is computed from the row.

    Attributes:
        expression: what stands before the alias.
        suffix: WITH ORDINALITY, or nothing.
        names: of its columns; empty where the query does not say them.
        types: for a function that returns records: the types of its columns.
    """

    expression: exp.Expr
    suffix: str
    names: list[str]
    types: list[str]

    @property
    def ordinality(self) -> bool:
        """Whether the last column numbers the rows."""
        return bool(self.suffix)

    def definition(self, names: Sequence[str]) -> str:
        """The list of columns behind the alias."""
        if self.types:
            pairs = zip(names, self.types, strict=True)
            return f" ({comma([f'{ident(name)} {type_}' for name, type_ in pairs])})"
        return f" ({comma([ident(name) for name in names])})"


def is_call(node: exp.Expr) -> bool:
    """Whether a FROM item is a function."""
    if isinstance(node, exp.Table):
        return not isinstance(node.this, exp.Identifier)
    if isinstance(node, exp.Unnest):
        return True
    return isinstance(node, exp.Lateral) and not isinstance(node.this, exp.Query)


def read(node: exp.Expr) -> Call:
    """Take a FROM item apart."""
    if isinstance(node, exp.Values):
        rows = exp.Values(expressions=[row.copy() for row in node.expressions])
        return Call(exp.Subquery(this=rows), "", values_names(node), [])
    alias = node.args.get("alias")
    columns: list[exp.Expr] = list(alias.columns) if isinstance(alias, exp.TableAlias) else []
    names = [column.name for column in columns]
    types = [render(c.args["kind"]) for c in columns if isinstance(c, exp.ColumnDef)]
    inner = node if isinstance(node, exp.Unnest) else node.this
    if isinstance(inner, (exp.Query, exp.Values)):
        return Call(_in_parentheses(inner), "", [*names, *output_names(inner)[len(names) :]], [])
    suffix = ""
    if isinstance(inner, exp.Unnest):
        offset = inner.args.get("offset")
        if offset:
            suffix = " WITH ORDINALITY"
            names += [offset.name] if isinstance(offset, exp.Identifier) else []
        arguments = [argument.copy() for argument in inner.expressions]
        return Call(exp.Anonymous(this="unnest", expressions=arguments), suffix, names, types)
    if node.args.get("ordinality"):
        suffix = " WITH ORDINALITY"
    return Call(inner.copy(), suffix, names, types)


def result_names(call: Call, expression: exp.Expr, source: Operator, tools: Tools) -> list[str]:
    """Ask PostgreSQL for the columns that a call returns."""
    term = source.current(tools.stateless())[0]
    text = f"LATERAL {render(bind(source.alias, term).apply(expression))}{call.suffix}"
    items = comma([item.text for item in (*term.items, FromItem(text, "f"))])
    return [described.name for described in tools.describe(fill(_RESULTS, items=items))]


def values_names(node: exp.Values) -> list[str]:
    """The columns of VALUES: as the alias says, else ``column1`` and so on."""
    alias = node.args.get("alias")
    given = [c.name for c in alias.columns] if isinstance(alias, exp.TableAlias) else []
    first = node.expressions[0]
    width = len(first.expressions) if isinstance(first, exp.Tuple) else 1
    return [*given, *(f"column{i}" for i in range(len(given) + 1, width + 1))]


def values_text(node: exp.Values) -> str:
    """VALUES with its rows, without parentheses around it and without an alias."""
    rows: list[str] = []
    for row in node.expressions:
        values = row.expressions if isinstance(row, exp.Tuple) else [row]
        rows.append(f"({comma([render(value) for value in values])})")
    return f"VALUES {comma(rows)}"


def _in_parentheses(query: exp.Expr) -> exp.Expr:
    while isinstance(query, exp.Subquery) and not query.alias:
        query = query.this
    return exp.Subquery(this=query.copy())


def output_names(tree: exp.Expr) -> list[str]:
    """The names of a query's columns, as far as it says them."""
    while isinstance(tree, (exp.SetOperation, exp.Subquery)):
        tree = tree.this
    if isinstance(tree, exp.Values):
        return values_names(tree)
    assert isinstance(tree, exp.Query)
    return [output.alias_or_name for output in tree.selects]
