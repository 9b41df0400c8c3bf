"""Inner join of any number of inputs.

    Δ(R₁ ⋈ … ⋈ Rₙ) = Σ over non-empty A ⊆ C of (-1)^(|A|-1) · ⋈_{i∈A} ΔRᵢ ⋈_{i∉A} Rᵢ'

C is the set of changed inputs. Only new states and deltas are read, so it is exact for any mix of
changes on all inputs in one refresh. With more than three changed inputs one input is peeled off
(one whose absence leaves the rest connected), the rest's delta is named once and the two-input
rule combines them (amendment B8).

Where several inputs changed, a delta meets the filtered inputs that it finds by key once, for all
terms; and deltas that find each other by key meet before anything else does, in a named query:
once other inputs have been joined PostgreSQL may expect one row where there are thousands, and
scan the second delta for each of them. A delta whose rows meet many others is netted first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, islice, product

from sqlglot import exp

from trickle_runtime.compiler.connections import Connections, connected
from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.joining import current_term, equality, output_name
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.pieces import (
    Piece,
    change,
    join,
    name_relation,
    named,
    netted,
    now,
    on,
)
from trickle_runtime.compiler.term import Relation, Term

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
        for first in self.parts[:_KEY_LIMIT]:
            needed = self._links.needed(first)
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
        return (join([now(part, out) for part in self.parts], self.predicates),)

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
        once = len(changed) == 1
        deltas = {p.alias: self._change(p, predicates, out, once=once) for p in changed}
        if not once:
            deltas = self._filtered(parts, deltas, predicates, out)
        terms: list[Term] = []
        for size in range(1, len(changed) + 1):
            for names in combinations(deltas, size):
                chosen = {name: deltas[name] for name in names}
                sign = (-1) ** (size - 1)
                terms.append(self._term(parts, chosen, sign, predicates, out))
        return tuple(terms)

    def _change(
        self, part: Operator, predicates: tuple[exp.Expr, ...], out: Context, *, once: bool
    ) -> Piece:
        """The delta of an input; netted where each of its rows would meet many others.

        What several terms read has met the conditions on it alone.
        """
        piece = change(part, out)
        net = None
        if self._links.meets_many(part):
            net = netted(self._name(f"{part.alias}_net"), piece, predicates, out)
        if net is not None:
            return net
        bare = not (piece.term.where or on((part,), predicates))
        if once or bare or len(piece.term.items) > 1:
            return piece
        return named(self._name(part.alias), [piece], predicates, out)

    def _filtered(
        self,
        parts: tuple[Operator, ...],
        deltas: Mapping[str, Piece],
        predicates: tuple[exp.Expr, ...],
        out: Context,
    ) -> dict[str, Piece]:
        """Let each delta meet the filtered inputs that it finds by key, for all terms at once."""
        pending = [part for part in parts if part.alias not in deltas]
        restricted = {
            part.alias
            for part in pending
            if current_term(part, out).where or on((part,), predicates)
        }
        met: dict[str, Piece] = {}
        for alias, piece in deltas.items():
            few = self._links.filters(piece.parts[0], pending, restricted)
            pending = [part for part in pending if all(part is not one for one in few)]
            pieces = [piece, *(now(part, out) for part in few)]
            name = self._name(f"{alias}_")
            met[alias] = named(name, pieces, predicates, out) if few else piece
        return met

    def _term(
        self,
        parts: tuple[Operator, ...],
        chosen: Mapping[str, Piece],
        sign: int,
        predicates: tuple[exp.Expr, ...],
        out: Context,
    ) -> Term:
        """One term of the sum: deltas first, the planner starts from them (B9)."""
        pieces = list(chosen.values())
        met = {part.alias: part for piece in pieces for part in piece.parts}
        rest = [now(part, out) for part in parts if part.alias not in met]
        if rest and len(pieces) > 1 and self._links.by_key(list(met.values())):
            pieces = [named(self._name("".join(chosen)), pieces, predicates, out)]
        return join([*pieces, *rest], predicates, sign)

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
                if connected([q for q in parts if q is not p], predicates)
            ),
            changed[-1],
        )
        rest = tuple(part for part in parts if part is not peel)
        inner = on(rest, predicates)
        delta_rest = name_relation(
            self._name(str(len(rest))), rest, self._delta(rest, inner, out), out
        )
        new_rest = Piece(rest, join([now(part, out) for part in rest], inner), done=True)
        delta_peel, new_peel = self._change(peel, predicates, out, once=False), now(peel, out)
        pairs = (
            (delta_rest, new_peel, 1),
            (new_rest, delta_peel, 1),
            (delta_rest, delta_peel, -1),
        )
        return tuple(join((left, right), predicates, sign) for left, right, sign in pairs)

    def _name(self, label: str) -> str:
        return f"delta_{self.alias}_{label}"

    @cached_property
    def _links(self) -> Connections:
        return Connections(self.parts, self.predicates)

    def _equal_keys(self, names: list[str]) -> list[frozenset[str]]:
        """The key, with columns in the place of others that are equal to them in every row."""
        equal: dict[str, list[str]] = {}
        for predicate in self.predicates:
            pair = [output_name(c.table, c.name) for c in equality(predicate)]
            for this, that in (pair, pair[::-1]) if pair else ():
                equal.setdefault(this, [this]).append(that)
        choices = [equal.get(name, [name]) for name in names]
        return [frozenset(key) for key in islice(product(*choices), _KEY_LIMIT)]
