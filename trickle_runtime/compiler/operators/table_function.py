"""Table function.

    Δ(R ⋈ f(R)) = ΔR ⋈ f(ΔR)

A set-returning function, VALUES or a subquery that reads no table, applied to each row: linear.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from sqlglot import exp

from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.dialect import render
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.template import fill
from trickle_runtime.compiler.term import Binding, FromItem, Relation, Term, bind, ref

_LATERAL = "LATERAL $call"
_OUTER = """LATERAL (SELECT f.* FROM (SELECT) AS one LEFT JOIN LATERAL
 (SELECT f.*, true AS __pgt_matched FROM $call AS f$definition) AS f ON $condition)"""

MATCHED = "__pgt_matched"


@dataclass(frozen=True)
class TableFunction(Operator):
    """The rows of ``child``, each with the rows that ``call`` returns for it.

    ``definition`` names the columns that come, ``results`` are the same as columns of this
    operator. ``condition``: a row for which no result fulfils it is kept, with NULLs; the last
    result, ``MATCHED``, is true in the others.
    """

    alias: str
    child: Operator
    call: exp.Expr
    suffix: str  # WITH ORDINALITY, or nothing
    definition: str
    results: tuple[tuple[str, Column], ...]
    ordinality: str | None = None
    condition: exp.Expr | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """The child's, then the results."""
        return (*self.child.columns, *(column for _, column in self.results))

    @property
    def keys(self) -> tuple[frozenset[str], ...]:
        """The child's with the ordinal number."""
        if self.ordinality is None:
            return ()
        return tuple(key | {self.ordinality} for key in self.child.keys)

    @property
    def inputs(self) -> tuple[Operator, ...]:
        """The child."""
        return (self.child,)

    def expressions(self) -> Iterator[exp.Expr]:
        """The call and the condition, over the child."""
        yield self.call
        if self.condition is not None:
            yield self.condition

    def current(self, out: Context) -> Relation:
        """The function beside each row."""
        return tuple(self._apply(term) for term in self.child.current(out))

    def delta(self, out: Context) -> Relation:
        """The function beside each changed row."""
        return tuple(self._apply(term) for term in self.child.delta(out))

    def needs(self, needed: frozenset[str]) -> dict[str, frozenset[str]]:
        """What is needed above, and what the call reads."""
        own = {column.name for _, column in self.results}
        return {self.child.alias: (needed - own) | self.used(self.child.alias)}

    def keep(self, needed: frozenset[str], inputs: Mapping[str, Operator]) -> Operator:
        """The same call over the pruned child."""
        return replace(self, child=inputs[self.child.alias])

    def _apply(self, term: Term) -> Term:
        binding = bind(self.child.alias, term)
        call = render(binding.apply(self.call)) + self.suffix
        if self.condition is None:
            item = FromItem(fill(_LATERAL, call=call), self.alias, self.definition)
        else:
            own: dict[str, exp.Expr] = {name: ref("f", name) for name, _ in self.results}
            both = Binding({self.child.alias: term.columns, self.alias: own})
            condition = render(both.apply(self.condition))
            text = fill(_OUTER, call=call, definition=self.definition, condition=condition)
            item = FromItem(text, self.alias)
        found = {column.name: ref(self.alias, name) for name, column in self.results}
        return replace(term, items=(*term.items, item), columns={**term.columns, **found})
