"""An expression as text with gaps for its columns, so that it is printed once and filled often.

A plan's expressions are bound to other terms for every set of changed sources; printing a tree
costs a hundred times what filling gaps does. Invariant: a tree that was worded is not changed
afterwards; planning changes copies, before an operator holds them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from trickle_runtime.compiler.dialect import render

_MARK = "\x1f"  # no identifier of PostgreSQL's that is printed has it
_GAP = re.compile(f'"{_MARK}([0-9]+){_MARK}"')
_KNOWN_LIMIT = 8192
_known: dict[int, tuple[exp.Expr, Wording]] = {}


@dataclass(frozen=True)
class Wording:
    """Texts with a column between each and the next.

    Attributes:
        texts: one more than there are columns.
        columns: table, name and text of the columns.
    """

    texts: tuple[str, ...]
    columns: tuple[tuple[str, str, str], ...]

    def filled(self, values: Mapping[str, Mapping[str, str]]) -> str:
        """The text with values in the place of columns; those of other tables stay."""
        parts = [self.texts[0]]
        for (table, name, text), after in zip(self.columns, self.texts[1:], strict=True):
            parts.append(values[table][name] if table in values else text)
            parts.append(after)
        return "".join(parts)


def wording(tree: exp.Expr) -> Wording:
    """The wording of a tree; the last ones are remembered, and the trees kept with them."""
    known = _known.get(id(tree))
    if known is None or known[0] is not tree:
        if len(_known) >= _KNOWN_LIMIT:
            _known.clear()
        known = _known[id(tree)] = tree, _worded(tree)
    return known[1]


def worded(tree: exp.Expr) -> str:
    """The text of a tree that is printed again and again."""
    if isinstance(tree, (exp.Column, exp.Var)):
        return render(tree)
    return wording(tree).filled({})


def _worded(tree: exp.Expr) -> Wording:
    found: list[tuple[str, str, str]] = []

    def gap(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Column) or not isinstance(node.this, exp.Identifier):
            return node
        found.append((node.table, node.name, render(node)))
        mark = f"{_MARK}{len(found) - 1}{_MARK}"
        return exp.column(exp.to_identifier(mark, quoted=True))

    pieces = _GAP.split(render(tree.copy().transform(gap, copy=False)))
    return Wording(tuple(pieces[::2]), tuple(found[int(number)] for number in pieces[1::2]))
