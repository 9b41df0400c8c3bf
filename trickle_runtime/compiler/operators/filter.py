"""Filter.

    Δ select(p, R) = select(p, ΔR)

Linear: the predicate is applied to the child's delta and nothing else is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sqlglot import exp

from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.operators.base import Pairs, PassThrough
from trickle_runtime.compiler.term import Binding, Relation, bind, restrict


@dataclass(frozen=True)
class Filter(PassThrough):
    """Rows of ``child`` for which ``predicate`` is true."""

    predicate: exp.Expr

    def expressions(self) -> Iterator[exp.Expr]:
        """The predicate."""
        yield self.predicate

    def current(self, out: Context) -> Relation:
        """Filter the child's rows."""
        return self._filter(self.child.current(out))

    def delta(self, out: Context) -> Relation:
        """Filter the child's delta."""
        return self._filter(self.child.delta(out))

    def pairs(self, out: Context) -> Pairs | None:
        """A row that fails the predicate is not there, before as now."""
        pairs = self.child.pairs(out)
        if pairs is None:
            return None
        return replace(
            pairs,
            old=_both(pairs.old, self._bound(pairs.old_columns)),
            new=_both(pairs.new, self._bound(pairs.new_columns)),
        )

    def _filter(self, relation: Relation) -> Relation:
        alias = self.child.alias
        return tuple(restrict(t, bind(alias, t).apply(self.predicate)) for t in relation)

    def _bound(self, columns: dict[str, exp.Expr]) -> exp.Expr:
        return Binding({self.child.alias: columns}).apply(self.predicate)


def _both(flag: exp.Expr, condition: exp.Expr) -> exp.Expr:
    """The condition for rows that exist: never NULL, and not evaluated for others."""
    test = exp.Is(this=exp.Paren(this=condition), expression=exp.true())
    return exp.Case(ifs=[exp.If(this=flag, true=exp.Paren(this=test))], default=exp.false())
