"""Project.

    Δ project(R) = project(ΔR)

Linear. Expressions are immutable functions of the row (given the stored session settings), so the
old row's image is computed from the old row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.operators.base import Column, Operator, Pairs
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.compiler.term import Binding, Relation, Term, bind


@dataclass(frozen=True)
class Item:
    """One output column and what it is computed from."""

    column: Column
    value: exp.Expr


@dataclass(frozen=True)
class Project(Operator):
    """Expressions over the rows of ``child``."""

    alias: str
    child: Operator
    items: tuple[Item, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """One per item."""
        return tuple(item.column for item in self.items)

    @property
    def keys(self) -> tuple[frozenset[str], ...]:
        """The child's keys that are carried through as plain columns."""
        names: dict[str, str] = {}
        for item in self.items:
            if isinstance(item.value, exp.Column) and item.value.table == self.child.alias:
                names.setdefault(item.value.name, item.column.name)
        carried = (key for key in self.child.keys if names.keys() >= key)
        return tuple(frozenset(names[name] for name in key) for key in carried)

    @property
    def inputs(self) -> tuple[Operator, ...]:
        """The child."""
        return (self.child,)

    def expressions(self) -> Iterator[exp.Expr]:
        """The items' values."""
        return (item.value for item in self.items)

    def current(self, out: Context) -> Relation:
        """Project the child's rows."""
        return tuple(self._project(term) for term in self.child.current(out))

    def delta(self, out: Context) -> Relation:
        """Project the child's delta."""
        return tuple(self._project(term) for term in self.child.delta(out))

    def pairs(self, out: Context) -> Pairs | None:
        """Project both rows of every pair, where the key is carried through."""
        pairs = self.child.pairs(out)
        if pairs is None:
            return None
        names = {
            item.value.name: item.column.name
            for item in self.items
            if isinstance(item.value, exp.Column) and item.value.table == self.child.alias
        }
        if not names.keys() >= pairs.key:
            return None
        return replace(
            pairs,
            key=frozenset(names[name] for name in pairs.key),
            old_columns=self._values(pairs.old_columns),
            new_columns=self._values(pairs.new_columns),
        )

    def identified(self, names: Sequence[str]) -> tuple[OutputColumn, ...] | None:
        """As the child has them, where they are plain columns of it."""
        values = {item.column.name: item.value for item in self.items}
        below = [v.name for n in names if isinstance(v := values[n], exp.Column)]
        found = self.child.identified(below) if len(below) == len(names) else None
        if found is None:
            return None
        return tuple(replace(item, name=n) for item, n in zip(found, names, strict=True))

    def needs(self, needed: frozenset[str]) -> dict[str, frozenset[str]]:
        """What the needed items read."""
        return {self.child.alias: self._without(needed).used(self.child.alias)}

    def keep(self, needed: frozenset[str], inputs: Mapping[str, Operator]) -> Operator:
        """Drop items that nobody reads."""
        return replace(self._without(needed), child=inputs[self.child.alias])

    def _without(self, needed: frozenset[str]) -> Project:
        return replace(self, items=tuple(i for i in self.items if i.column.name in needed))

    def _project(self, term: Term) -> Term:
        binding = bind(self.child.alias, term)
        columns = {item.column.name: binding.apply(item.value) for item in self.items}
        return replace(term, columns=columns)

    def _values(self, columns: dict[str, exp.Expr]) -> dict[str, exp.Expr]:
        binding = Binding({self.child.alias: columns})
        return {item.column.name: binding.apply(item.value) for item in self.items}
