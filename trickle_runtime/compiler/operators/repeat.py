"""Repeat.

    Δ repeat(R, n) = ΔR, each row with n times its weight

Linear in the rows, given that n is a function of the row: INTERSECT ALL and EXCEPT ALL show a
distinct row as often as the counts of both sides say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sqlglot import exp

from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.dialect import render
from trickle_runtime.compiler.operators.base import PassThrough
from trickle_runtime.compiler.template import fill
from trickle_runtime.compiler.term import FromItem, Relation, bind

_SERIES = "generate_series(1, $times)"


@dataclass(frozen=True)
class Repeat(PassThrough):
    """Each row of ``child`` as often as ``times`` says, which is never negative."""

    times: exp.Expr

    @property
    def keys(self) -> tuple[frozenset[str], ...]:
        """None."""
        return ()

    def expressions(self) -> Iterator[exp.Expr]:
        """The number."""
        yield self.times

    def current(self, out: Context) -> Relation:
        """A series beside each row."""
        alias = self.child.alias
        return tuple(
            replace(
                term,
                items=(
                    *term.items,
                    FromItem(
                        fill(_SERIES, times=render(bind(alias, term).apply(self.times))),
                        self.alias,
                    ),
                ),
            )
            for term in self.child.current(out)
        )

    def delta(self, out: Context) -> Relation:
        """The number is a factor of the weight."""
        alias = self.child.alias
        return tuple(
            replace(
                term,
                weights=(*term.weights, exp.Paren(this=bind(alias, term).apply(self.times))),
            )
            for term in self.child.delta(out)
        )
