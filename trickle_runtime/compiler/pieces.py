"""Joins in pieces: some inputs, joined already, as one term by the names of the join's output.

Invariant: a condition is met once. A piece that is ``done`` has met all those on its inputs alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from trickle_runtime.compiler import bags
from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.joining import aliases, current_term, delta_term, output_name
from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.compiler.term import WEIGHT, Binding, FromItem, Relation, Term, ref, union


@dataclass(frozen=True)
class Piece:
    """The rows, or signed rows, of a join of ``parts``."""

    parts: tuple[Operator, ...]
    term: Term
    done: bool = False

    @property
    def names(self) -> frozenset[str]:
        """Aliases of the inputs."""
        return frozenset(part.alias for part in self.parts)


def now(part: Operator, out: Context) -> Piece:
    """The rows of one input."""
    return _piece(part, current_term(part, out))


def change(part: Operator, out: Context) -> Piece:
    """The delta of one changed input."""
    return _piece(part, delta_term(part, out))


def join(pieces: Sequence[Piece], predicates: Sequence[exp.Expr], sign: int = 1) -> Term:
    """One flat join, under the conditions that no piece has met yet."""
    met = [piece.names for piece in pieces if piece.done]
    left = [p for p in predicates if not any(aliases(p) <= names for names in met)]
    columns: dict[str, exp.Expr] = {}
    for piece in pieces:
        columns |= piece.term.columns
        sign *= piece.term.sign
    binding = Binding(
        {
            part.alias: {c.name: columns[output_name(part.alias, c.name)] for c in part.columns}
            for piece in pieces
            for part in piece.parts
        }
    )
    conditions = [condition for piece in pieces for condition in piece.term.where]
    return Term(
        tuple(item for piece in pieces for item in piece.term.items),
        columns,
        (*conditions, *(binding.apply(p) for p in left)),
        tuple(weight for piece in pieces for weight in piece.term.weights),
        sign,
    )


def named(
    name: str, pieces: Sequence[Piece], predicates: Sequence[exp.Expr], out: Context
) -> Piece:
    """Name a join of deltas with others, so that it is computed once, and by itself."""
    parts = tuple(part for piece in pieces for part in piece.parts)
    return name_relation(name, parts, (join(pieces, on(parts, predicates)),), out)


def name_relation(
    name: str, parts: tuple[Operator, ...], relation: Relation, out: Context
) -> Piece:
    """Name the delta of a join of ``parts`` under all conditions on them alone."""
    columns = [output_name(p.alias, c.name) for p in parts for c in p.columns]
    out.add(name, f"MATERIALIZED ({union(relation, columns, weighted=True)})")
    return Piece(parts, _read(name, columns), done=True)


def netted(name: str, piece: Piece, predicates: Sequence[exp.Expr], out: Context) -> Piece | None:
    """Name the netted delta of one input, where that is cheap: of exact columns."""
    (part,) = piece.parts
    identity = part.identified([column.name for column in part.columns])
    if identity is None:
        return None
    shown = [replace(item, name=output_name(part.alias, item.name)) for item in identity]
    term = net(name, join([piece], on(piece.parts, predicates)), shown, out)
    return Piece(piece.parts, term, done=True)


def net(name: str, term: Term, identity: Sequence[OutputColumn], out: Context) -> Term:
    """Name the netted rows of a term, of the columns of ``identity``."""
    names = [item.name for item in identity]
    out.add(name, bags.net(identity, term.select(names, weighted=True)))
    return _read(name, names)


def on(parts: Sequence[Operator], predicates: Sequence[exp.Expr]) -> tuple[exp.Expr, ...]:
    """The conditions on these inputs alone."""
    names = {part.alias for part in parts}
    return tuple(p for p in predicates if aliases(p) <= names)


def _piece(part: Operator, term: Term) -> Piece:
    columns = {output_name(part.alias, name): value for name, value in term.columns.items()}
    return Piece((part,), replace(term, columns=columns))


def _read(name: str, names: Sequence[str]) -> Term:
    columns: dict[str, exp.Expr] = {column: ref(name, column) for column in names}
    return Term((FromItem(name, name),), columns, weights=(ref(name, WEIGHT),))
