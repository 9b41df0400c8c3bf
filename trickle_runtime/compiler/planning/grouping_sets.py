"""GROUPING SETS, ROLLUP and CUBE as a union of one GROUP BY per set.

In the branch of a set the grouping columns outside of it are NULL, ``GROUPING()`` a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, product

from sqlglot import exp

from trickle_runtime.compiler.dialect import render
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.term import raw

MOST_SETS = 64


def has_sets(select: exp.Select) -> bool:
    """Whether a GROUP BY has more than one grouping."""
    group = select.args.get("group")
    return group is not None and any(
        isinstance(item, (exp.GroupingSets, exp.Cube, exp.Rollup, exp.Tuple))
        for item in group.expressions
    )


def expand(select: exp.Select) -> list[list[exp.Expr]]:
    """The sets of a GROUP BY, each a list of expressions.

    Raises:
        NotIncremental: there are more than ``MOST_SETS``.
    """
    choices = [_sets(item) for item in select.args["group"].expressions]
    found = [[e for part in chosen for e in part] for chosen in product(*choices)]
    if len(found) > MOST_SETS:
        raise NotIncremental("GROUPING_SETS", f"{len(found)} grouping sets")
    return found


def branch(
    select: exp.Select,
    chosen: Sequence[exp.Expr],
    types: Mapping[str, str],
    calls: Callable[[exp.Expr], Iterable[exp.Expr]],
) -> exp.Select:
    """The query of one set.

    Args:
        select: the whole query.
        chosen: the expressions of the set.
        types: type per text of every grouping expression.
        calls: gives the aggregate calls in an expression.
    """
    inside = {text(e) for e in chosen}
    copied = select.copy()
    for clause in ("order", "limit", "offset"):
        copied.set(clause, None)
    copied.set("group", exp.Group(expressions=[e.copy() for e in chosen]))
    for call in list(copied.find_all(exp.Anonymous)):
        if isinstance(call.this, str) and call.this.upper() == "GROUPING":
            bits = "".join("0" if text(a) in inside else "1" for a in call.expressions)
            call.replace(exp.Literal.number(int(bits, 2)))
    outside = {name: type_ for name, type_ in types.items() if name not in inside}

    def blank(node: exp.Expr) -> exp.Expr:
        kind = outside.get(text(node)) if isinstance(node, exp.Condition) else None
        return node if kind is None else raw(f"NULL::{kind}")

    copied.set("expressions", [_outside_calls(e, blank, calls) for e in copied.expressions])
    having = copied.args.get("having")
    if having is not None:
        copied.set("having", exp.Having(this=_outside_calls(having.this, blank, calls)))
    return copied


def text(node: exp.Expr) -> str:
    """Text by which expressions are compared."""
    while isinstance(node, exp.Paren):
        node = node.this
    return render(node)


def _outside_calls(
    expression: exp.Expr,
    blank: Callable[[exp.Expr], exp.Expr],
    calls: Callable[[exp.Expr], Iterable[exp.Expr]],
) -> exp.Expr:
    """Blank grouping columns, but not inside of aggregates, which see the rows."""
    kept: dict[str, exp.Expr] = {}
    holder = exp.Paren(this=expression)
    for number, call in enumerate(list(calls(holder))):
        name = f"__pgt_call_{number}"
        kept[name] = call.copy()
        call.replace(exp.var(name))
    changed = holder.this.transform(blank)

    def restore(node: exp.Expr) -> exp.Expr:
        return kept.get(node.name, node) if isinstance(node, exp.Var) else node

    return changed.transform(restore)


def _sets(item: exp.Expr) -> list[list[exp.Expr]]:
    if isinstance(item, exp.Rollup):
        parts = [_members(e) for e in item.expressions]
        return [[e for p in parts[:n] for e in p] for n in range(len(parts), -1, -1)]
    if isinstance(item, exp.Cube):
        parts = [_members(e) for e in item.expressions]
        return [
            [e for p in chosen for e in p]
            for n in range(len(parts), -1, -1)
            for chosen in combinations(parts, n)
        ]
    if isinstance(item, exp.GroupingSets):
        return [found for e in item.expressions for found in _sets(e)]
    return [_members(item)]


def _members(item: exp.Expr) -> list[exp.Expr]:
    if isinstance(item, exp.Tuple):
        return list(item.expressions)
    if isinstance(item, exp.Paren) and isinstance(item.this, exp.Tuple):
        return list(item.this.expressions)
    return [item]
