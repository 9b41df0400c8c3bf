"""How the inputs of a join hang together: which is found by key from which.

Invariant: an input that is found by key from others never multiplies their rows; each of them
meets one row of it, or none.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property

from sqlglot import exp

from trickle_runtime.compiler.joining import aliases, equality
from trickle_runtime.compiler.operators.base import Operator


@dataclass(frozen=True)
class Connections:
    """The inputs of a join and its conditions."""

    parts: Sequence[Operator]
    predicates: Sequence[exp.Expr]

    def needed(self, first: Operator) -> list[Operator]:
        """Inputs, from ``first``, that are not found by key from those before them."""
        kept, known = [first], {first.alias}
        pending = [part for part in self.parts if part is not first]
        while pending:
            found = next((p for p in pending if self._determined(p, known)), None)
            if found is None:
                found = pending[0]
                kept.append(found)
            known.add(found.alias)
            pending.remove(found)
        return kept

    def meets_many(self, first: Operator) -> bool:
        """Whether a row of an input meets many of another, by equality."""
        known = {first.alias, *(part.alias for part in self._found(first, self.parts))}
        others = [part.alias for part in self.parts if part.alias not in known]
        return any(not known.isdisjoint(self._equal[alias]) for alias in others)

    def by_key(self, parts: Sequence[Operator]) -> bool:
        """Whether these are found by key from one: a join has no more rows than that."""
        return any(len(self._found(first, parts)) == len(parts) - 1 for first in parts)

    def filters(
        self, first: Operator, others: Sequence[Operator], filtered: Container[str]
    ) -> list[Operator]:
        """Filtered inputs among ``others`` found by key from ``first``, and those between."""
        kept = self._found(first, others)
        for part in kept[::-1]:
            rest = [p for p in kept if p is not part]
            if part.alias not in filtered and len(self._found(first, rest)) == len(rest):
                kept = rest
        return kept

    @cached_property
    def _equal(self) -> dict[str, dict[str, set[str]]]:
        """Per input, and other input, its columns that are equal to one of the other."""
        found: dict[str, dict[str, set[str]]] = {part.alias: {} for part in self.parts}
        for predicate in self.predicates:
            columns = equality(predicate)
            for this, that in (columns, columns[::-1]) if columns else ():
                if this.table in found:
                    found[this.table].setdefault(that.table, set()).add(this.name)
        return found

    @cached_property
    def _keys(self) -> dict[str, tuple[frozenset[str], ...]]:
        return {part.alias: part.keys for part in self.parts}

    def _found(self, first: Operator, others: Sequence[Operator]) -> list[Operator]:
        """Inputs that are found by key from one, in an order in which they are."""
        known, found = {first.alias}, list[Operator]()
        pending = [part for part in others if part is not first]
        while part := next((p for p in pending if self._determined(p, known)), None):
            known.add(part.alias)
            found.append(part)
            pending.remove(part)
        return found

    def _determined(self, part: Operator, known: Container[str]) -> bool:
        columns = self._equal[part.alias].items()
        fixed = {name for other, names in columns if other in known for name in names}
        return any(key <= fixed for key in self._keys[part.alias])


def connected(parts: Sequence[Operator], predicates: Sequence[exp.Expr]) -> bool:
    """Whether conditions lead from each of the inputs to every other."""
    every = {part.alias for part in parts}
    reached = {parts[0].alias}
    grown = True
    while grown:
        grown = False
        for predicate in predicates:
            found = aliases(predicate)
            if found <= every and found & reached and not found <= reached:
                reached |= found
                grown = True
    return reached == every
