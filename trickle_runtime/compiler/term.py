"""Relations as unions of flat joins.

A *term* is one flat ``SELECT … FROM a, b, c WHERE …`` in pieces; a *relation* is a tuple of terms,
read as their UNION ALL. Filters, projections and joins combine pieces, so that PostgreSQL always
sees one flat join it can order itself, with every restriction in its WHERE.
Invariant: within a term every alias occurs once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from sqlglot import exp

from trickle_runtime.compiler import opaque
from trickle_runtime.compiler.dialect import render
from trickle_runtime.compiler.identity import image
from trickle_runtime.compiler.template import comma, fill, ident
from trickle_runtime.compiler.wording import wording

WEIGHT = "__pgt_w"
_RECORD = "(SELECT __pgt_row FROM (SELECT $shown) AS __pgt_row)"


@dataclass(frozen=True)
class FromItem:
    """A relation in FROM: a quoted name, a CTE's name, a query in parentheses or a function.

    ``definition`` names the columns behind the alias where the relation does not: a list in
    parentheses, with types for a function that returns records.
    """

    sql: str
    alias: str
    definition: str = ""

    @property
    def text(self) -> str:
        """The item as it stands in FROM."""
        return f"{self.sql} AS {ident(self.alias)}{self.definition}"


@dataclass(frozen=True)
class Term:
    """One flat join.

    ``columns`` maps output names to expressions over the items; the rows' weight is ``sign`` times
    the product of ``weights`` (1 where there are none).
    """

    items: tuple[FromItem, ...]
    columns: Mapping[str, exp.Expr]
    where: tuple[exp.Expr, ...] = ()
    weights: tuple[exp.Expr, ...] = ()
    sign: int = 1

    @property
    def weight(self) -> str:
        """The weight as SQL."""
        factors = [render(weight) for weight in self.weights]
        product = " * ".join(factors) or "1"
        if self.sign > 0:
            return product
        return f"-({product})"

    def select(self, names: Iterable[str], *, weighted: bool) -> str:
        """Render the term as a SELECT of ``names`` (and the weight, where ``weighted``)."""
        outputs = [f"{render(self.columns[name])} AS {ident(name)}" for name in names]
        if weighted:
            outputs.append(f"{self.weight} AS {WEIGHT}")
        parts = [f"SELECT {', '.join(outputs)}"]
        if self.items:
            parts.append("FROM " + ", ".join(item.text for item in self.items))
        if self.where:
            parts.append("WHERE " + " AND ".join(f"({render(w)})" for w in self.where))
        return " ".join(parts)


Relation: TypeAlias = tuple[Term, ...]


def union(relation: Relation, names: Iterable[str], *, weighted: bool) -> str:
    """Render a relation that has at least one term."""
    listed = list(names)
    return " UNION ALL ".join(term.select(listed, weighted=weighted) for term in relation)


def ref(alias: str, name: str) -> exp.Column:
    """A reference to an operator's column, or to a FROM item's."""
    this = exp.Identifier(this=name, quoted=True)
    return exp.Column(this=this, table=exp.Identifier(this=alias, quoted=True))


def raw(sql: str) -> exp.Expr:
    """SQL that this package rendered, as a node of a tree; always in parentheses."""
    return exp.Paren(this=exp.Var(this=sql))


def cast(value: exp.Expr, type_: str) -> exp.Expr:
    """A cast to a type as ``format_type`` prints it: sqlglot's own loses some of the modifiers."""
    return _opaque(f"(($1)::{opaque.plain(type_)})", value)


def record(columns: Mapping[str, exp.Expr]) -> exp.Expr:
    """A row as one value, of which PostgreSQL knows the names of the columns."""
    shown = [f"${number} AS {opaque.plain(ident(n))}" for number, n in enumerate(columns, 1)]
    text = fill(_RECORD, shown=comma(shown))
    values = [value.copy() for value in columns.values()]
    return exp.Anonymous(this=opaque.OPAQUE, expressions=[exp.Literal.string(text), *values])


def is_record(node: exp.Anonymous) -> bool:
    """Whether a node is one that ``record`` made."""
    template = node.expressions[0]
    return isinstance(template, exp.Literal) and template.name.startswith(_RECORD.split("$")[0])


def image_of(value: exp.Expr) -> exp.Expr:
    """What tells a value apart from equal ones that are not identical."""
    return _opaque(image("($1)"), value)


def _opaque(template: str, value: exp.Expr) -> exp.Expr:
    """A text around a value, as ``opaque.encode`` makes it of syntax that sqlglot can't read."""
    text = exp.Literal.string(template)
    return exp.Anonymous(this=opaque.OPAQUE, expressions=[text, value.copy()])


@dataclass(frozen=True)
class Binding:
    """What the columns of some aliases stand for in one term."""

    columns: Mapping[str, Mapping[str, exp.Expr]]

    def apply(self, expression: exp.Expr) -> exp.Expr:
        """Replace the operators' columns in ``expression`` by what they stand for."""
        if isinstance(expression, exp.Column) and expression.table in self.columns:
            return _atom(self.columns[expression.table][expression.name])
        if isinstance(expression, (exp.Literal, exp.Null, exp.Boolean)):
            return expression
        if isinstance(expression, exp.Paren):
            return raw(self._filled(expression.this))
        return exp.Var(this=self._filled(expression))

    def _filled(self, expression: exp.Expr) -> str:
        found = wording(expression)
        values: dict[str, dict[str, str]] = {}
        for table, name, _ in found.columns:
            if table in self.columns:
                value = self.columns[table][name]
                values.setdefault(table, {})[name] = render(_atom(value))
        return found.filled(values)


def _atom(expression: exp.Expr) -> exp.Expr:
    simple = (exp.Column, exp.Literal, exp.Paren, exp.Null, exp.Boolean)
    return expression if isinstance(expression, simple) else raw(render(expression))


def bind(alias: str, term: Term) -> Binding:
    """The binding of one operator's columns to a term of it."""
    return Binding({alias: term.columns})


def restrict(term: Term, condition: exp.Expr) -> Term:
    """Add a condition to a term."""
    return replace(term, where=(*term.where, condition))


def negate(relation: Relation) -> Relation:
    """Turn the sign of every row."""
    return tuple(replace(term, sign=-term.sign) for term in relation)
