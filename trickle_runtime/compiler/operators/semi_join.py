"""Semi join.

    Δ(R ⋉ S) = ΔR[c > 0] + R'[up] - R'[down]

c counts the matches in S before: c = c' - d. A value goes up where c = 0 and c' > 0, down where
c > 0 and c' = 0. Nothing is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from sqlglot import exp

from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.joining import current_term
from trickle_runtime.compiler.matching import Matches, MatchKey
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.term import Relation, restrict


@dataclass(frozen=True)
class SemiJoin(Operator):
    """Rows of ``left`` that have a partner in ``right``; or that have none, where ``negated``."""

    alias: str
    left: Operator
    right: Operator
    predicates: tuple[exp.Expr, ...]
    match: tuple[MatchKey, ...]
    negated: bool = False

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of the left side."""
        return self.left.columns

    @property
    def keys(self) -> tuple[frozenset[str], ...]:
        """Those of the left side."""
        return self.left.keys

    @property
    def inputs(self) -> tuple[Operator, ...]:
        """Both sides."""
        return (self.left, self.right)

    def expressions(self) -> Iterator[exp.Expr]:
        """The condition."""
        return iter(self.predicates)

    def current(self, out: Context) -> Relation:
        """EXISTS, or NOT EXISTS."""
        left = current_term(self.left, out)
        test = self._matches.exists(left, out)
        return (restrict(left, exp.Not(this=test) if self.negated else test),)

    def delta(self, out: Context) -> Relation:
        """Changed left rows by the old count, unchanged ones where the count came or went."""
        return self._matches.delta(out, matched=not self.negated)

    def needs(self, needed: frozenset[str]) -> dict[str, frozenset[str]]:
        """Of the left side what is needed above; of both what the condition reads."""
        return {
            self.left.alias: needed | self.used(self.left.alias),
            self.right.alias: self.used(self.right.alias),
        }

    def keep(self, needed: frozenset[str], inputs: Mapping[str, Operator]) -> Operator:
        """Join the pruned sides."""
        return replace(self, left=inputs[self.left.alias], right=inputs[self.right.alias])

    @cached_property
    def _matches(self) -> Matches:
        return Matches(self.alias, self.left, self.right, self.predicates, self.match)
