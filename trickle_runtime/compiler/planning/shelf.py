"""SELECT and HAVING over a GROUP BY: aggregate calls and group keys become columns.

Invariant: after ``take`` an expression reads columns of the aggregate operator only.
"""

from __future__ import annotations

from sqlglot import exp

from trickle_runtime.compiler.dialect import render
from trickle_runtime.compiler.planning.grouping import Call, aggregate_calls, take_apart
from trickle_runtime.compiler.planning.scope import is_planned
from trickle_runtime.compiler.schema import Functions
from trickle_runtime.compiler.term import ref


class Shelf:
    """Collects the keys and calls of one aggregate operator named ``alias``."""

    def __init__(self, alias: str, keys: list[exp.Expr], functions: Functions) -> None:
        self.alias = alias
        self.functions = functions
        self._keys: dict[str, exp.Expr] = {}
        self._calls: dict[str, exp.Expr] = {}
        for key in keys:
            self._keys.setdefault(_text(key), key)
        self._kinds = {type(key) for key in keys} | {exp.Paren}

    @property
    def keys(self) -> list[tuple[str, exp.Expr]]:
        """Name and expression of every key."""
        return [(f"k{i}", key) for i, key in enumerate(self._keys.values())]

    @property
    def calls(self) -> list[Call]:
        """Every aggregate call, once."""
        return [take_apart(node, f"a{i}") for i, node in enumerate(self._calls.values())]

    def take(self, expression: exp.Expr) -> exp.Expr:
        """Replace calls and keys; other columns depend on a key and become keys themselves."""
        holder = exp.Paren(this=expression.copy())
        for call in list(aggregate_calls(holder, self.functions)):
            self._calls.setdefault(render(call), call.copy())
            position = list(self._calls).index(render(call))
            call.replace(ref(self.alias, f"a{position}"))
        return holder.this.transform(self._key, copy=True)

    def _key(self, node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column):
            if not is_planned(node) or node.table == self.alias:
                return node
        elif type(node) not in self._kinds:
            return node
        text = _text(node)
        if text not in self._keys:
            if not isinstance(node, exp.Column):
                return node
            self._keys[text] = node.copy()  # functionally dependent on a grouped primary key
        return ref(self.alias, f"k{list(self._keys).index(text)}")


def _text(node: exp.Expr) -> str:
    while isinstance(node, exp.Paren):
        node = node.this
    return render(node)
