"""Inner join of any number of inputs.

    Δ(R₁ ⋈ … ⋈ Rₙ) = Σ over non-empty A ⊆ C of (-1)^(|A|-1) · ⋈_{i∈A} ΔRᵢ ⋈_{i∉A} Rᵢ'

C is the set of changed inputs. Only new states and deltas are read, so it is exact for any mix of
changes on all inputs in one refresh. With more than three changed inputs one input is peeled off
(one whose absence leaves the rest connected), the rest's delta is named once and the two-input
rule combines them (amendment B8).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations, islice, product

from sqlglot import exp

from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.joining import (
    aliases,
    current_term,
    delta_term,
    equality,
    output_name,
)
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.term import WEIGHT, Binding, FromItem, Relation, Term, ref, union

_FLAT_LIMIT = 3
_KEY_LIMIT = 16


@dataclass(frozen=True)
class InnerJoin(Operator):
    """Combinations of the rows of ``parts`` for which all ``predicates`` are true."""

    alias: str
    parts: tuple[Operator, ...]
    predicates: tuple[exp.Expr, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """All inputs' columns; a column under a strict equality can't be NULL."""
        strict = {
            (column.table, column.name)
            for predicate in self.predicates
            for column in equality(predicate)
        }
        return tuple(
            replace(
                column,
                name=output_name(part.alias, column.name),
                not_null=column.not_null or (part.alias, column.name) in strict,
            )
            for part in self.parts
            for column in part.columns
        )

    @property
    def keys(self) -> tuple[frozenset[str], ...]:
        """Keys of all inputs together, less those that equalities determine."""
        if not all(part.keys for part in self.parts):
            return ()
        found: list[frozenset[str]] = []
        equal = self._equalities()
        for first in self.parts[:_KEY_LIMIT]:
            needed = self._needed_parts(first, equal)
            chosen = [output_name(p.alias, n) for p in needed for n in min(p.keys, key=len)]
            found += self._equal_keys(chosen)
        return tuple(dict.fromkeys(found))

    @property
    def inputs(self) -> tuple[Operator, ...]:
        """The joined operators."""
        return self.parts

    def expressions(self) -> Iterator[exp.Expr]:
        """The predicates."""
        return iter(self.predicates)

    def current(self, out: Context) -> Relation:
        """One flat join of the inputs' rows."""
        relations = [current_term(part, out) for part in self.parts]
        return (self._join(self.parts, relations, 1, self.predicates),)

    def delta(self, out: Context) -> Relation:
        """The sum over the sets of changed inputs."""
        return self._delta(self.parts, self.predicates, out)

    def needs(self, needed: frozenset[str]) -> dict[str, frozenset[str]]:
        """What is needed above and what the predicates read."""
        found: dict[str, frozenset[str]] = {}
        for part in self.parts:
            above = {c.name for c in part.columns if output_name(part.alias, c.name) in needed}
            found[part.alias] = frozenset(above) | self.used(part.alias)
        return found

    def keep(self, needed: frozenset[str], inputs: Mapping[str, Operator]) -> InnerJoin:
        """Join the pruned inputs."""
        return replace(self, parts=tuple(inputs[part.alias] for part in self.parts))

    def _delta(
        self, parts: tuple[Operator, ...], predicates: tuple[exp.Expr, ...], out: Context
    ) -> Relation:
        changed = [part for part in parts if part.changed(out)]
        if len(changed) > _FLAT_LIMIT:
            return self._peeled(parts, changed, predicates, out)
        deltas = {part.alias: delta_term(part, out) for part in changed}
        terms: list[Term] = []
        for size in range(1, len(changed) + 1):
            for chosen in combinations(changed, size):
                names = {part.alias for part in chosen}
                rest = [part for part in parts if part.alias not in names]
                ordered = [*chosen, *rest]  # deltas first: the planner starts from them (B9)
                relations = [
                    deltas[p.alias] if p.alias in names else current_term(p, out) for p in ordered
                ]
                terms.append(self._join(ordered, relations, (-1) ** (size - 1), predicates))
        return tuple(terms)

    def _peeled(
        self,
        parts: tuple[Operator, ...],
        changed: list[Operator],
        predicates: tuple[exp.Expr, ...],
        out: Context,
    ) -> Relation:
        peel = next(
            (
                p
                for p in reversed(changed)
                if _connected([q for q in parts if q is not p], predicates)
            ),
            changed[-1],
        )
        rest = tuple(part for part in parts if part is not peel)
        known = {part.alias for part in rest}
        inner = tuple(p for p in predicates if aliases(p) <= known)
        outer = tuple(p for p in predicates if not aliases(p) <= known)
        delta_rest = self._named(rest, self._delta(rest, inner, out), out)
        rows = [current_term(part, out) for part in rest]
        new_rest = self._join(rest, rows, 1, inner)
        delta_peel, new_peel = delta_term(peel, out), current_term(peel, out)
        pairs = (
            (delta_rest, new_peel, 1),
            (new_rest, delta_peel, 1),
            (delta_rest, delta_peel, -1),
        )
        return tuple(self._combine(left, peel, right, sign, outer) for left, right, sign in pairs)

    def _named(self, parts: tuple[Operator, ...], relation: Relation, out: Context) -> Term:
        """Name the delta of a partial join, so that it is computed once."""
        columns = [output_name(p.alias, c.name) for p in parts for c in p.columns]
        name = f"delta_{self.alias}_{len(parts)}"
        out.add(name, f"MATERIALIZED ({union(relation, columns, weighted=True)})")
        return Term(
            (FromItem(name, name),),
            {column: ref(name, column) for column in columns},
            weights=(ref(name, WEIGHT),),
        )

    def _combine(
        self, left: Term, part: Operator, right: Term, sign: int, predicates: tuple[exp.Expr, ...]
    ) -> Term:
        columns = dict(left.columns)
        columns |= {output_name(part.alias, n): value for n, value in right.columns.items()}
        binding = self._binding(columns)
        return Term(
            (*left.items, *right.items),
            columns,
            (*left.where, *right.where, *(binding.apply(p) for p in predicates)),
            (*left.weights, *right.weights),
            left.sign * right.sign * sign,
        )

    def _join(
        self,
        parts: tuple[Operator, ...] | list[Operator],
        terms: list[Term],
        sign: int,
        predicates: tuple[exp.Expr, ...],
    ) -> Term:
        columns: dict[str, exp.Expr] = {}
        for part, term in zip(parts, terms, strict=True):
            columns |= {output_name(part.alias, n): value for n, value in term.columns.items()}
            sign *= term.sign
        binding = self._binding(columns)
        conditions = [condition for term in terms for condition in term.where]
        return Term(
            tuple(item for term in terms for item in term.items),
            columns,
            (*conditions, *(binding.apply(p) for p in predicates)),
            tuple(weight for term in terms for weight in term.weights),
            sign,
        )

    def _binding(self, columns: dict[str, exp.Expr]) -> Binding:
        bound: dict[str, dict[str, exp.Expr]] = {}
        for part in self.parts:
            shown = {c.name: output_name(part.alias, c.name) for c in part.columns}
            bound[part.alias] = {n: columns[full] for n, full in shown.items() if full in columns}
        return Binding(bound)

    def _equalities(self) -> dict[str, dict[str, set[str]]]:
        """Per input, and other input, its columns that are equal to one of the other."""
        found: dict[str, dict[str, set[str]]] = {part.alias: {} for part in self.parts}
        for predicate in self.predicates:
            columns = equality(predicate)
            for this, that in (columns, columns[::-1]) if columns else ():
                if this.table in found:
                    found[this.table].setdefault(that.table, set()).add(this.name)
        return found

    def _needed_parts(
        self, first: Operator, equal: Mapping[str, Mapping[str, set[str]]]
    ) -> list[Operator]:
        """Inputs whose key is not determined by equalities with those before them."""
        kept, known = [first], {first.alias}
        pending = [part for part in self.parts if part is not first]
        while pending:
            found = next((p for p in pending if _determined(p, known, equal[p.alias])), None)
            if found is None:
                found = pending[0]
                kept.append(found)
            known.add(found.alias)
            pending.remove(found)
        return kept

    def _equal_keys(self, names: list[str]) -> list[frozenset[str]]:
        """The key, with columns in the place of others that are equal to them in every row."""
        equal: dict[str, list[str]] = {}
        for predicate in self.predicates:
            pair = [output_name(c.table, c.name) for c in equality(predicate)]
            for this, that in (pair, pair[::-1]) if pair else ():
                equal.setdefault(this, [this]).append(that)
        choices = [equal.get(name, [name]) for name in names]
        return [frozenset(key) for key in islice(product(*choices), _KEY_LIMIT)]


def _determined(part: Operator, known: set[str], equal: Mapping[str, set[str]]) -> bool:
    fixed = {name for other, names in equal.items() if other in known for name in names}
    return any(key <= fixed for key in part.keys)


def _connected(parts: list[Operator], predicates: tuple[exp.Expr, ...]) -> bool:
    reached = {parts[0].alias}
    every = {part.alias for part in parts}
    grown = True
    while grown:
        grown = False
        for predicate in predicates:
            found = aliases(predicate)
            if found <= every and found & reached and not found <= reached:
                reached |= found
                grown = True
    return reached == every
