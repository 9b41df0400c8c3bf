"""Constant.

    Δ1 = ∅

The one row without columns that SELECT without FROM reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.term import Relation, Term


@dataclass(frozen=True)
class Constant(Operator):
    """One row, no columns."""

    alias: str

    @property
    def columns(self) -> tuple[Column, ...]:
        """None."""
        return ()

    @property
    def keys(self) -> tuple[frozenset[str], ...]:
        """The empty key: at most one row."""
        return (frozenset(),)

    def current(self, out: Context) -> Relation:
        """One term without FROM."""
        return (Term((), {}),)

    def delta(self, out: Context) -> Relation:
        """Never changes."""
        return ()

    def needs(self, needed: frozenset[str]) -> dict[str, frozenset[str]]:
        """No input."""
        return {}

    def keep(self, needed: frozenset[str], inputs: Mapping[str, Operator]) -> Operator:
        """Nothing to prune."""
        return self
