"""Left outer join.

    Δ(R ⟕ S) = Δ(R ⋈ S) + pad(Δ(R ▷ S))

``inner`` and ``anti`` are the two halves over the same inputs. A right join is a left join with
the sides exchanged, a full join a left join and the padded anti join of the right side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from sqlglot import exp

from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.joining import current_term, equality, output_name
from trickle_runtime.compiler.matching import Matches, MatchKey
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.template import fill, ident
from trickle_runtime.compiler.term import FromItem, Relation, Term, raw, ref
from trickle_runtime.compiler.wording import worded

_JOINED = "(SELECT $columns FROM ($left) AS $l LEFT JOIN ($right) AS $r ON $condition)"


@dataclass(frozen=True)
class LeftJoin(Operator):
    """Rows of the left input with their partners, or with NULLs where there is none."""

    alias: str
    inner: Operator
    types: tuple[tuple[str, str], ...]  # of the right side's columns
    match: tuple[MatchKey, ...]

    @property
    def left(self) -> Operator:
        """The side whose rows all stay."""
        return self.inner.inputs[0]

    @property
    def right(self) -> Operator:
        """The side that may be NULL."""
        return self.inner.inputs[1]

    @property
    def columns(self) -> tuple[Column, ...]:
        """Both sides' columns; those of the right can be NULL."""
        left = [replace(c, name=output_name(self.left.alias, c.name)) for c in self.left.columns]
        right = [
            replace(c, name=output_name(self.right.alias, c.name), not_null=False)
            for c in self.right.columns
        ]
        return (*left, *right)

    @property
    def keys(self) -> tuple[frozenset[str], ...]:
        """The left key, with the right one unless the condition determines it."""
        found: list[frozenset[str]] = []
        for key in self.left.keys:
            named = frozenset(output_name(self.left.alias, name) for name in key)
            if self._one_partner():
                found.append(named)
            else:
                found += [
                    named | {output_name(self.right.alias, n) for n in other}
                    for other in self.right.keys
                ]
        return tuple(found)

    @property
    def inputs(self) -> tuple[Operator, ...]:
        """Both sides."""
        return self.inner.inputs

    def expressions(self) -> Iterator[exp.Expr]:
        """The condition."""
        return self.inner.expressions()

    def current(self, out: Context) -> Relation:
        """PostgreSQL's own LEFT JOIN."""
        names = [column.name for column in self.columns]
        sides = (self.left, self.right)
        left, right = (self._select(side, out) for side in sides)
        outputs = [
            f"{ident(side.alias)}.{ident(c.name)} AS {ident(output_name(side.alias, c.name))}"
            for side in sides
            for c in side.columns
        ]
        condition = " AND ".join(f"({worded(p)})" for p in self.expressions()) or "true"
        text = fill(
            _JOINED,
            columns=", ".join(outputs) or "1 AS __pgt_one",
            left=left,
            right=right,
            l=ident(self.left.alias),
            r=ident(self.right.alias),
            condition=condition,
        )
        return (Term((FromItem(text, self.alias),), {n: ref(self.alias, n) for n in names}),)

    def delta(self, out: Context) -> Relation:
        """The inner join's delta, and the padded one of the rows without a partner."""
        unmatched = self._matches.delta(out, matched=False)
        return (*self.inner.delta(out), *(self._padded(term) for term in unmatched))

    def needs(self, needed: frozenset[str]) -> dict[str, frozenset[str]]:
        """As the inner join does."""
        return self.inner.needs(needed)

    def keep(self, needed: frozenset[str], inputs: Mapping[str, Operator]) -> Operator:
        """As the inner join does."""
        return replace(self, inner=self.inner.keep(needed, inputs))

    @cached_property
    def _matches(self) -> Matches:
        predicates = tuple(self.expressions())
        return Matches(self.alias, self.left, self.right, predicates, self.match)

    def _select(self, side: Operator, out: Context) -> str:
        term = current_term(side, out)
        return term.select([c.name for c in side.columns], weighted=False)

    def _padded(self, term: Term) -> Term:
        """A left row with NULLs for the right side."""
        columns = {output_name(self.left.alias, n): v for n, v in term.columns.items()}
        types = dict(self.types)
        for column in self.right.columns:
            columns[output_name(self.right.alias, column.name)] = raw(
                f"NULL::{types[column.name]}"
            )
        return replace(term, columns=columns)

    def _one_partner(self) -> bool:
        """Whether equalities with the left side fix a key of the right side."""
        fixed: set[str] = set()
        for predicate in self.expressions():
            pair = equality(predicate)
            for this, that in (pair, pair[::-1]) if pair else ():
                if this.table == self.right.alias and that.table == self.left.alias:
                    fixed.add(this.name)
        return any(key <= fixed for key in self.right.keys)
