"""Net.

    Δ net(R) = ΔR, identical rows summed up and those that cancel dropped

Optional for what is linear; mandatory where an insertion and a deletion of the same row must not
be seen apart, and worth it where a small delta that says nothing would meet a large relation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from trickle_runtime.compiler import bags
from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.operators.base import Operator, PassThrough
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.compiler.term import WEIGHT, FromItem, Relation, Term, ref, union


@dataclass(frozen=True)
class Net(PassThrough):
    """The rows of ``child``, whose delta is netted; ``identity`` has the facts on its columns."""

    identity: tuple[OutputColumn, ...]

    def current(self, out: Context) -> Relation:
        """The child's rows."""
        return self.child.current(out)

    def delta(self, out: Context) -> Relation:
        """The child's delta, netted."""
        relation = self.child.delta(out)
        if not relation:
            return ()
        names = [item.name for item in self.identity]
        rows = union(relation, names, weighted=True)
        name = out.add(f"net_{self.alias}", bags.net(self.identity, rows))
        columns = {n: ref(self.alias, n) for n in names}
        term = Term((FromItem(name, self.alias),), dict(columns))
        return (replace(term, weights=(ref(self.alias, WEIGHT),)),)

    def identified(self, names: Sequence[str]) -> tuple[OutputColumn, ...] | None:
        """None: there is nothing left to net."""
        return None

    def keep(self, needed: frozenset[str], inputs: Mapping[str, Operator]) -> Operator:
        """Net the columns that are left."""
        identity = tuple(item for item in self.identity if item.name in needed)
        return replace(self, child=inputs[self.child.alias], identity=identity)
