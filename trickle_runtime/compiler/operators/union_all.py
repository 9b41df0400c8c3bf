"""Union all.

Δ(R ⊎ S) = ΔR ⊎ ΔS
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.term import Relation, Term


@dataclass(frozen=True)
class UnionAll(Operator):
    """The rows of all ``branches``; columns are matched by position, named by the first."""

    alias: str
    branches: tuple[Operator, ...]
    names: tuple[str, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """NOT NULL where every branch is; scales of every branch."""
        return tuple(self._column(position) for position in range(len(self.names)))

    @property
    def keys(self) -> tuple[frozenset[str], ...]:
        """None: two branches may give the same row."""
        return ()

    @property
    def inputs(self) -> tuple[Operator, ...]:
        """The branches."""
        return self.branches

    def current(self, out: Context) -> Relation:
        """All branches' rows."""
        return self._gather([branch.current(out) for branch in self.branches])

    def delta(self, out: Context) -> Relation:
        """All branches' deltas."""
        return self._gather([branch.delta(out) for branch in self.branches])

    def prune(self, needed: frozenset[str]) -> Operator:
        """Drop the same positions in every branch."""
        kept = [i for i, name in enumerate(self.names) if name in needed]
        branches: list[Operator] = []
        for branch in self.branches:
            wanted = frozenset(branch.columns[i].name for i in kept)
            branches.append(branch.prune(wanted))
        if any(len(branch.columns) != len(kept) for branch in branches):
            return self  # a branch that can't drop columns keeps the positions of all
        return replace(self, branches=tuple(branches), names=tuple(self.names[i] for i in kept))

    def _column(self, position: int) -> Column:
        parts = [branch.columns[position] for branch in self.branches]
        scales: set[int] | None = set()
        for part in parts:
            scales = None if scales is None or part.scales is None else scales | set(part.scales)
        return Column(
            self.names[position],
            all(part.not_null for part in parts),
            None if scales is None else tuple(sorted(scales)),
        )

    def _gather(self, relations: list[Relation]) -> Relation:
        gathered: list[Term] = []
        for branch, relation in zip(self.branches, relations, strict=True):
            inner = [column.name for column in branch.columns]
            for term in relation:
                renamed = {
                    name: term.columns[old] for name, old in zip(self.names, inner, strict=True)
                }
                gathered.append(replace(term, columns=renamed))
        return tuple(gathered)
