"""Display scales of numeric expressions.

The sum of numerics prints with the largest display scale among its inputs, so a sum is maintained
by addition only where the possible scales are known (PostgreSQL manual, 8.1.2; amendment A11).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from sqlglot import exp

Scales: TypeAlias = "frozenset[int] | None"
Resolve: TypeAlias = Callable[[exp.Column], "tuple[int, ...] | None"]

_MOST = 4
# Fields of a time that are whole numbers (manual, 9.9.1); seconds and epoch have fractions.
_WHOLE_FIELDS = {
    *("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "DOW", "DOY"),
    *("ISOYEAR", "ISODOW", "DECADE", "CENTURY", "MILLENNIUM"),
}
_INTEGER_TYPES = {exp.DType.INT, exp.DType.BIGINT, exp.DType.SMALLINT}


def scales_of(expression: exp.Expr, resolve: Resolve) -> tuple[int, ...] | None:
    """The display scales that values of ``expression`` can have.

    Args:
        expression: over columns that ``resolve`` knows.
        resolve: gives a column's scales.

    Returns:
        scales in ascending order; None where they are unknown or more than four.
    """
    found = _scales(expression, resolve)
    if not found or len(found) > _MOST:
        return None
    return tuple(sorted(found))


def _scales(node: exp.Expr, resolve: Resolve) -> Scales:
    if isinstance(node, exp.Column):
        known = resolve(node)
        return None if known is None else frozenset(known)
    if isinstance(node, (exp.Paren, exp.Neg)):
        return _scales(node.this, resolve)
    if isinstance(node, exp.Literal):
        return _literal(node)
    if isinstance(node, exp.Cast):
        return _cast(node, resolve)
    if isinstance(node, (exp.Add, exp.Sub, exp.Mul)):
        return _binary(node, resolve)
    if isinstance(node, exp.Case):
        return _case(node, resolve)
    if isinstance(node, exp.Extract) and node.this.name.upper() in _WHOLE_FIELDS:
        return frozenset({0})
    return None


def _literal(node: exp.Literal) -> Scales:
    if node.is_string or "e" in node.name.lower():
        return None
    return _text(node.name)


def _text(number: str) -> Scales:
    return frozenset({len(number.partition(".")[2])})


def _cast(node: exp.Cast, resolve: Resolve) -> Scales:
    kind = node.to.this
    if kind in _INTEGER_TYPES:
        return frozenset({0})
    if kind != exp.DType.DECIMAL:
        return None
    parameters = node.to.expressions
    if len(parameters) == 2:
        return frozenset({int(parameters[1].name)})
    if parameters:
        return frozenset({0})
    inner = node.this
    if isinstance(inner, exp.Literal) and inner.is_string:
        return _text(inner.name) if _plain_number(inner.name) else None
    return _scales(inner, resolve)


def _plain_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()


def _binary(node: exp.Binary, resolve: Resolve) -> Scales:
    left, right = _scales(node.this, resolve), _scales(node.expression, resolve)
    if left is None or right is None:
        return None
    if isinstance(node, exp.Mul):
        return frozenset(a + b for a in left for b in right)
    return frozenset(max(a, b) for a in left for b in right)


def _case(node: exp.Case, resolve: Resolve) -> Scales:
    values = [branch.args["true"] for branch in node.args["ifs"]]
    if node.args.get("default") is not None:
        values.append(node.args["default"])
    merged: frozenset[int] = frozenset()
    for value in values:
        if isinstance(value, exp.Null):
            continue
        scales = _scales(value, resolve)
        if scales is None:
            return None
        merged |= scales
    return merged
