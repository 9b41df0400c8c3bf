"""Smaller queries from a query, by cutting its syntax tree.

Invariant: proposals only; whether one is a query, and still fails, PostgreSQL and the runtime say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from trickle_runtime.compiler import dialect

_CLAUSES = ("where", "having", "group", "distinct", "order", "limit", "offset", "windows", "with_")
Cut = Callable[[exp.Expr], "exp.Expr | None"]


def readings(sql: str) -> list[exp.Expr]:
    """Ways to read a query such that it can be written again, the best first."""
    found: list[exp.Expr] = []
    for parse in (dialect.parse, lambda text: sqlglot.parse_one(text, read="postgres")):
        try:
            tree = parse(sql)
            written(tree)
        except (SqlglotError, TypeError, ValueError, RecursionError):
            continue
        found.append(tree)
    return found


def written(tree: exp.Expr) -> str:
    """The text of a tree."""
    return dialect.render(tree)


def proposals(tree: exp.Expr, start: int = 0) -> Iterator[tuple[int, exp.Expr]]:
    """Smaller trees, those that lack most first; with the number of the node that was cut."""
    nodes = list(tree.walk())
    for number, node in enumerate(nodes):
        if number < start:
            continue
        for cut in _cuts(node):
            copied = tree.copy()
            target = next(n for i, n in enumerate(copied.walk()) if i == number)
            result = cut(target)
            if result is not None:
                root = result if target is copied else copied
                yield number, root


def _cuts(node: exp.Expr) -> Iterator[Cut]:
    """What can be cut at a node."""
    if isinstance(node, exp.SetOperation):
        yield lambda n: _replaced(n, n.this)
        yield lambda n: _replaced(n, n.expression)
    if isinstance(node, exp.Query):
        yield from (_without(name) for name in _CLAUSES if node.args.get(name))
        if node.args.get("order") and node.args.get("limit"):
            yield _unlimited
    if isinstance(node, exp.Select):
        yield from _select_cuts(node)
    if isinstance(node, exp.Join):
        yield from _join_cuts(node)
    if isinstance(node, exp.With):
        yield from (_item("expressions", i) for i in range(len(node.expressions)))
    if isinstance(node, (exp.Group, exp.Order, exp.Tuple)) and len(node.expressions) > 1:
        yield from (_item("expressions", i) for i in range(len(node.expressions)))
    if isinstance(node, (exp.Condition, exp.Paren)) and not isinstance(node, exp.Literal):
        yield from _expression_cuts(node)


def _select_cuts(node: exp.Select) -> Iterator[Cut]:
    joins = node.args.get("joins") or []
    yield from (_item("joins", i) for i in range(len(joins)))
    if joins and len(joins) == 1:
        yield _second_source
    if len(node.expressions) > 1:
        yield from (_item("expressions", i) for i in range(len(node.expressions)))
    source = node.args.get("from_")
    inner = source.this if source is not None else None
    if isinstance(inner, exp.Subquery) and isinstance(inner.this, exp.Query) and not joins:
        yield lambda n: _replaced(n, n.args["from_"].this.this)


def _join_cuts(node: exp.Join) -> Iterator[Cut]:
    if node.args.get("side"):
        yield _without("side")
    condition = node.args.get("on")
    if condition is not None and not isinstance(condition, exp.Boolean):
        yield _trivial_condition


def _expression_cuts(node: exp.Expr) -> Iterator[Cut]:
    """An expression becomes one of its parts, or a constant."""
    parts = [part for part in node.iter_expressions() if isinstance(part, exp.Condition)]
    if isinstance(node, (exp.Window, exp.Filter, exp.WithinGroup)):
        yield lambda n: _replaced(n, n.this)
    for number in range(len(parts)):
        yield _part(number)
    if isinstance(node, (exp.Subquery, exp.Exists, exp.In, exp.Predicate)):
        yield lambda n: _replaced(n, exp.true())
    if not isinstance(node, (exp.Column, exp.Null, exp.Boolean, exp.Identifier, exp.Star)):
        yield lambda n: _replaced(n, exp.null())


def _part(number: int) -> Cut:
    def cut(node: exp.Expr) -> exp.Expr | None:
        parts = [part for part in node.iter_expressions() if isinstance(part, exp.Condition)]
        return _replaced(node, parts[number])

    return cut


def _without(name: str) -> Cut:
    def cut(node: exp.Expr) -> exp.Expr:
        node.set(name, None)
        return node

    return cut


def _unlimited(node: exp.Expr) -> exp.Expr:
    for name in ("order", "limit", "offset"):
        node.set(name, None)
    return node


def _item(name: str, number: int) -> Cut:
    def cut(node: exp.Expr) -> exp.Expr | None:
        items = node.args.get(name) or []
        if name == "expressions" and isinstance(node, exp.With) and len(items) == 1:
            return None
        node.set(name, [one for i, one in enumerate(items) if i != number])
        return node

    return cut


def _second_source(node: exp.Expr) -> exp.Expr:
    """Only what was joined is left of FROM."""
    node.args["from_"].set("this", node.args["joins"][0].this)
    node.set("joins", None)
    return node


def _trivial_condition(node: exp.Expr) -> exp.Expr:
    node.set("on", exp.true())
    return node


def _replaced(node: exp.Expr, other: exp.Expr) -> exp.Expr:
    other = other.copy()
    if node.parent is not None:
        node.replace(other)
    return other
