"""Values.

    Δ values = ∅

Constant rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.template import comma, ident
from trickle_runtime.compiler.term import FromItem, Relation, Term, ref


@dataclass(frozen=True)
class Values(Operator):
    """The rows of ``text``: VALUES, without parentheses around it."""

    alias: str
    text: str
    names: tuple[str, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """Nothing is known of them."""
        return tuple(Column(name) for name in self.names)

    @property
    def keys(self) -> tuple[frozenset[str], ...]:
        """None."""
        return ()

    def current(self, out: Context) -> Relation:
        """The rows."""
        definition = f" ({comma([ident(name) for name in self.names])})"
        item = FromItem(f"({self.text})", self.alias, definition)
        return (Term((item,), {name: ref(self.alias, name) for name in self.names}),)

    def delta(self, out: Context) -> Relation:
        """Never changes."""
        return ()

    def needs(self, needed: frozenset[str]) -> dict[str, frozenset[str]]:
        """No input."""
        return {}

    def keep(self, needed: frozenset[str], inputs: Mapping[str, Operator]) -> Operator:
        """All columns: they are one text."""
        return self
