"""Time in conditions: what depends on nothing but the clock becomes a parameter of the filter."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlglot import exp

from trickle_runtime.compiler.dialect import render
from trickle_runtime.compiler.operators.clock import Clock, tells_time
from trickle_runtime.compiler.planning.tools import Tools
from trickle_runtime.compiler.term import ref

_WORDS = re.compile(
    r"\b(now|transaction_timestamp|current_(date|time|timestamp)|localtime(stamp)?)\b", re.I
)


def parameters(condition: exp.Expr, tools: Tools) -> tuple[exp.Expr, Clock] | None:
    """Take what depends on the time alone out of a condition.

    Returns:
        the condition over the clock's columns, and the clock; None where it has no such part.
    """
    holder = exp.Paren(this=condition.copy())
    found = list(_parts(holder.this))
    if not found:
        return None
    alias = tools.alias("c")
    values: dict[str, tuple[str, exp.Expr]] = {}
    for part in found:
        name, _ = values.setdefault(render(part), (f"t{len(values)}", part.copy()))
        part.replace(ref(alias, name))
    return holder.this, Clock(alias, tuple(values.values()))


def depends(expression: exp.Expr) -> bool:
    """Whether an expression asks for the time."""
    return any(tells_time(node) for node in expression.walk())


def mentioned(text: str) -> bool:
    """Whether a text may ask for the time; also where a view below can't be read."""
    return _WORDS.search(text) is not None


def _parts(node: exp.Expr) -> Iterator[exp.Expr]:
    """The largest parts that ask for the time and read no row."""
    if isinstance(node, exp.Query):
        return
    if node.find(exp.Column, exp.Query) is None:
        if depends(node):
            while isinstance(node, exp.Paren):
                node = node.this
            yield node
        return
    for child in list(node.iter_expressions()):
        yield from _parts(child)
