"""Recursive reference.

    ΔW = ∅, for a W that is given

The place in a recursive term where the rows found so far are read; ``Recursive`` says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.term import FromItem, Relation, Term, ref


@dataclass(frozen=True)
class RecursionScan(Operator):
    """The rows that the recursion of operator ``of`` reads at this step."""

    alias: str
    of: str
    names: tuple[str, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """Nothing is known of them."""
        return tuple(Column(name) for name in self.names)

    @property
    def keys(self) -> tuple[frozenset[str], ...]:
        """None."""
        return ()

    def changed(self, out: Context) -> bool:
        """Never: it is another relation each time."""
        return False

    def current(self, out: Context) -> Relation:
        """The given relation."""
        columns = {name: ref(self.alias, name) for name in self.names}
        return (Term((FromItem(out.recursions[self.of], self.alias),), dict(columns)),)

    def delta(self, out: Context) -> Relation:
        """Nothing."""
        return ()

    def needs(self, needed: frozenset[str]) -> dict[str, frozenset[str]]:
        """No input."""
        return {}

    def keep(self, needed: frozenset[str], inputs: Mapping[str, Operator]) -> Operator:
        """All columns: the recursion compares whole rows."""
        return self
