"""Union all.

Δ(R ⊎ S) = ΔR ⊎ ΔS
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.term import Relation, Term


@dataclass(frozen=True)
class Branch:
    """One input, and which of its columns stand in the places of the union's."""

    operator: Operator
    columns: tuple[str, ...]


@dataclass(frozen=True)
class UnionAll(Operator):
    """The rows of all ``branches`` under common ``names``."""

    alias: str
    branches: tuple[Branch, ...]
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
        return tuple(branch.operator for branch in self.branches)

    def current(self, out: Context) -> Relation:
        """All branches' rows."""
        return self._gather([branch.operator.current(out) for branch in self.branches])

    def delta(self, out: Context) -> Relation:
        """All branches' deltas."""
        return self._gather([branch.operator.delta(out) for branch in self.branches])

    def needs(self, needed: frozenset[str]) -> dict[str, frozenset[str]]:
        """The columns in the places of the needed ones."""
        found: dict[str, frozenset[str]] = {}
        for branch in self.branches:
            pairs = zip(self.names, branch.columns, strict=True)
            wanted = frozenset(inner for name, inner in pairs if name in needed)
            alias = branch.operator.alias
            found[alias] = found.get(alias, frozenset()) | wanted
        return found

    def keep(self, needed: frozenset[str], inputs: Mapping[str, Operator]) -> Operator:
        """Drop the same places in every branch."""
        kept = [i for i, name in enumerate(self.names) if name in needed]
        branches = tuple(
            Branch(inputs[b.operator.alias], tuple(b.columns[i] for i in kept))
            for b in self.branches
        )
        return replace(self, branches=branches, names=tuple(self.names[i] for i in kept))

    def _column(self, position: int) -> Column:
        parts = [b.operator.column(b.columns[position]) for b in self.branches]
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
            for term in relation:
                pairs = zip(self.names, branch.columns, strict=True)
                gathered.append(
                    replace(term, columns={name: term.columns[inner] for name, inner in pairs})
                )
        return tuple(gathered)


def unite(alias: str, operators: Sequence[Operator], names: Sequence[str]) -> UnionAll:
    """The union of operators whose columns match by position."""
    branches = tuple(Branch(o, tuple(c.name for c in o.columns)) for o in operators)
    return UnionAll(alias, branches, tuple(names))
