"""PostgreSQL's canonical text (``pg_get_viewdef``) to a syntax tree and back, word for word.

sqlglot's own PostgreSQL dialect translates functions into its vocabulary; a compiler that must not
change meaning wants them left as written. Invariant: what this dialect can't give back exactly is
noticed by the round trip in ``analysis`` and never compiled incrementally (``PARSE_FIDELITY``).
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.generators.postgres import PostgresGenerator
from sqlglot.parsers.postgres import PostgresParser
from sqlglot.tokenizer_core import TokenType

from trickle_runtime.compiler import opaque
from trickle_runtime.compiler.template import ident

_KEPT_FUNCTION_PARSERS = ("CAST", "EXTRACT", "OVERLAY", "POSITION", "SUBSTRING", "TRIM")


_TESTS = {"EXISTS": exp.Exists, "ANY": exp.Any, "ALL": exp.All}
_PARSERS: dict[str, Any] = dict(vars(PostgresParser)["FUNCTION_PARSERS"])


class _Parser(PostgresParser):
    FUNCTIONS: ClassVar[dict[str, Any]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {n: _PARSERS[n] for n in _KEPT_FUNCTION_PARSERS}
    # ``(unnest(a) AS f JOIN …)``, ``(LATERAL (SELECT …) AS l JOIN …)``
    MODIFIABLES: ClassVar[Any] = (
        exp.Query,
        exp.Table,
        exp.TableFromRows,
        exp.Values,
        exp.Unnest,
        exp.Lateral,
    )

    def _parse_function_call(self, *args: Any, **kwargs: Any) -> exp.Expr | None:
        # "substring"(s, 1, 2) is the function; SUBSTRING(s FROM 1 FOR 2) is the syntax.
        if self._curr and self._curr.token_type == TokenType.IDENTIFIER:
            kwargs["anonymous"] = True
        return super()._parse_function_call(*args, **kwargs)  # pyright: ignore[reportUnknownMemberType] untyped in sqlglot

    def _parse_recursive_with_search(self) -> exp.RecursiveWithSearch | None:
        """SEARCH and CYCLE name one column or several; sqlglot reads one."""
        self._match_text_seq("SEARCH")
        if not self._match_texts(self.RECURSIVE_CTE_SEARCH_KIND):
            return None
        kind = self._prev.text.upper()
        self._match_text_seq("FIRST", "BY")
        columns = self._parse_csv(self._parse_id_var)
        arguments = {
            "expression": self._match_text_seq("SET") and self._parse_id_var(),
            "to": self._match_text_seq("TO") and self._parse_bitwise(),
            "default": self._match(TokenType.DEFAULT) and self._parse_bitwise(),
            "using": self._match_text_seq("USING") and self._parse_id_var(),
        }
        named = exp.Tuple(expressions=columns)
        return self.expression(exp.RecursiveWithSearch(kind=kind, this=named, **arguments))


class _Generator(PostgresGenerator):
    """Prints operators as PostgreSQL does; functions were never translated in."""

    MULTI_ARG_DISTINCT: ClassVar[bool] = True

    def anonymous_sql(self, expression: exp.Anonymous) -> str:
        name = expression.this if isinstance(expression.this, str) else ""
        if name in (opaque.ROWS_FROM, opaque.OPAQUE):
            first = expression.expressions[0] if expression.expressions else None
            template = first.name if isinstance(first, exp.Literal) else None
            arguments = [self.sql(argument) for argument in expression.expressions]
            text = opaque.decode(name, arguments, template)
            if text is not None:
                return text
        return super().anonymous_sql(expression)

    def array_sql(self, expression: exp.Array) -> str:
        """``ARRAY[(SELECT 1), 2]`` has two elements, ``ARRAY(SELECT 1)`` those of the query."""
        elements = expression.expressions
        if elements and isinstance(elements[0], exp.Subquery):
            return f"ARRAY[{self.expressions(expression, flat=True)}]"
        return super().array_sql(expression)

    def table_sql(self, expression: exp.Table, sep: str = " AS ") -> str:
        """``f() WITH ORDINALITY AS t JOIN …`` in parentheses: the joins stand last."""
        if not (expression.args.get("ordinality") and expression.args.get("joins")):
            return super().table_sql(expression, sep)
        alone = expression.copy()
        alone.set("joins", None)
        return super().table_sql(alone, sep) + self._joins(expression)

    def unnest_sql(self, expression: exp.Unnest) -> str:
        return super().unnest_sql(expression) + self._joins(expression)

    def _joins(self, expression: exp.Expr) -> str:
        return self.expressions(expression, key="joins", sep="", skip_first=True)

    def lateral_sql(self, expression: exp.Lateral) -> str:
        return super().lateral_sql(expression) + self._joins(expression)

    def recursivewithsearch_sql(self, expression: exp.RecursiveWithSearch) -> str:
        """SEARCH and CYCLE by several columns; their constants may not have casts."""
        listed = self.expressions(expression.this, flat=True)
        named = expression.copy()
        named.set("this", exp.Var(this=listed))
        for part in ("to", "default"):
            value = named.args.get(part)
            if isinstance(value, exp.Cast):
                typed = f"{self.sql(value, 'to')} {self.sql(value, 'this')}"
                named.set(part, exp.Var(this=typed))
        return super().recursivewithsearch_sql(named)

    def pow_sql(self, expression: exp.Pow) -> str:
        return self.binary(expression, "^")

    def sqrt_sql(self, expression: exp.Sqrt) -> str:
        return f"|/ {self.sql(expression, 'this')}"

    def cbrt_sql(self, expression: exp.Cbrt) -> str:
        return f"||/ {self.sql(expression, 'this')}"

    def startswith_sql(self, expression: exp.StartsWith) -> str:
        return f"{self.sql(expression, 'this')} ^@ {self.sql(expression, 'expression')}"

    def not_sql(self, expression: exp.Not) -> str:
        """``x IS NOT TRUE`` and ``x !~ y``: PostgreSQL prints an explicit NOT with parentheses."""
        inner = expression.this
        if isinstance(inner, exp.Is):
            return f"{self.sql(inner, 'this')} IS NOT {self.sql(inner, 'expression')}"
        if isinstance(inner, exp.RegexpLike):
            return self.binary(inner, "!~")
        if isinstance(inner, exp.RegexpILike):
            return self.binary(inner, "!~*")
        return super().not_sql(expression)


class Canonical(Postgres):
    """The dialect of ``pg_get_viewdef``."""

    Parser = _Parser
    Generator = _Generator


def parse(sql: str) -> exp.Expr:
    """Parse one canonical query.

    Args:
        sql: text as ``pg_get_viewdef`` prints it.

    Returns:
        its tree.

    Raises:
        sqlglot.errors.ParseError: the text is not understood.
    """
    tree = Canonical().parse(opaque.encode(sql))[0]
    if not isinstance(tree, (exp.Query, exp.Values)):
        raise TypeError(type(tree).__name__)
    for column in list(tree.find_all(exp.Column)):
        _qualify_function(column)
    for call in list(tree.find_all(exp.Anonymous)):
        _recognise_test(call)
    for select in list(tree.find_all(exp.Select)):
        _unwrap_values(select)
    for table in list(tree.find_all(exp.Table)):
        _name_values(table)
    return tree


def _recognise_test(call: exp.Anonymous) -> None:
    """EXISTS, ANY or ALL over a set operation that begins with a parenthesis, parsed as a call."""
    arguments = call.expressions
    name = call.this if isinstance(call.this, str) else ""
    made = _TESTS.get(name.upper())
    if made is not None and len(arguments) == 1 and isinstance(arguments[0], exp.Query):
        call.replace(made(this=arguments[0]))


def _qualify_function(column: exp.Column) -> None:
    """``schema.f(x) FILTER (…)`` is parsed as a column of ``schema``: make it the function's."""
    modified = column.this
    if not isinstance(modified, (exp.Filter, exp.WithinGroup, exp.Window)):
        return
    inner: exp.Expr = modified
    while isinstance(inner.this, exp.Expr) and not isinstance(inner, exp.Anonymous):
        inner = inner.this
    schema = column.args["table"]
    inner.replace(exp.Dot(this=schema.copy(), expression=inner.copy()))
    column.replace(modified)


def _unwrap_values(select: exp.Select) -> None:
    """VALUES as a side of UNION is parsed as a SELECT from it."""
    clause = select.args.get("from_")
    if clause is not None and select.is_star and isinstance(clause.this, exp.Values):
        rows = clause.this.copy()
        rows.set("alias", None)
        select.replace(rows)


def _name_values(table: exp.Table) -> None:
    """VALUES in front of a join is parsed as a table: make it a subquery, as it is elsewhere."""
    if isinstance(table.this, exp.Values):
        arguments = {name: table.args.get(name) for name in ("alias", "joins")}
        table.replace(exp.Subquery(this=table.this.copy(), **arguments))


def render(tree: exp.Expr) -> str:
    """Render a tree (or a part of one) as PostgreSQL text."""
    if type(tree) is exp.Column and (text := _plain_column(tree)) is not None:
        return text
    if type(tree) is exp.Paren and isinstance(tree.this, (exp.Var, exp.Column)):
        return f"({render(tree.this)})"
    if type(tree) is exp.Var:
        return str(tree.this)
    return Canonical().generate(tree, normalize_functions=False)


def _plain_column(column: exp.Column) -> str | None:
    """A column of quoted names, which are two thirds of all that is rendered."""
    names: list[str] = []
    for part in column.parts:
        if not isinstance(part, exp.Identifier) or not part.args.get("quoted"):
            return None
        names.append(ident(part.name))
    return ".".join(names)


def flatten(tree: exp.Expr) -> exp.Expr:
    """Write chains of AND, and of OR, without parentheses between them: both are associative."""
    return tree.copy().transform(_flatten_chain, copy=False)


def _flatten_chain(node: exp.Expr) -> exp.Expr:
    for kind in (exp.And, exp.Or):
        if isinstance(node, kind):
            operands = [flatten(operand) for operand in _operands(node, kind)]
            chain = operands[0]
            for operand in operands[1:]:
                chain = kind(this=chain, expression=operand)
            return chain
    return node


def _operands(node: exp.Expr, kind: type[exp.Connector]) -> list[exp.Expr]:
    inner = node
    while isinstance(inner, exp.Paren):
        inner = inner.this
    if isinstance(inner, kind):
        return [*_operands(inner.this, kind), *_operands(inner.expression, kind)]
    return [node]
