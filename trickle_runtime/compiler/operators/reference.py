"""Reference.

    Δ reference(R) = ΔR

A plan that is read in several places is one operator; each place reads it under a name of its own,
so that a join of a relation with itself is a join of two inputs with the same delta.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.operators.base import Pairs, PassThrough
from trickle_runtime.compiler.term import WEIGHT, FromItem, Relation, Term, ref, union


@dataclass(frozen=True)
class Reference(PassThrough):
    """The rows of ``child``; ``shared`` says that others read it as well."""

    shared: bool = True

    def current(self, out: Context) -> Relation:
        """The child's rows as one FROM item."""
        relation = self.child.current(out)
        if not self.shared:
            return relation
        return (self._term(f"({union(relation, self._names, weighted=False)})"),)

    def delta(self, out: Context) -> Relation:
        """The child's delta, computed once for all who read it."""
        relation = self.child.delta(out)
        if not self.shared or not relation:
            return relation
        name = f"shared_{self.child.alias}"
        out.add(name, f"({union(relation, self._names, weighted=True)})")
        return (replace(self._term(name), weights=(ref(self.alias, WEIGHT),)),)

    def pairs(self, out: Context) -> Pairs | None:
        """The child's, where nobody else reads it."""
        return None if self.shared else self.child.pairs(out)

    @property
    def _names(self) -> list[str]:
        return [column.name for column in self.columns]

    def _term(self, sql: str) -> Term:
        columns = {name: ref(self.alias, name) for name in self._names}
        return Term((FromItem(sql, self.alias),), dict(columns))
