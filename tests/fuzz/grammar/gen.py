"""What all parts of the grammar share: the random choices, the names, what can be read.

Invariant: everything follows from ``rng`` and the relations; two generators with the same seed and
relations write the same queries.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from tests.fuzz import sqltypes
from tests.fuzz.sqltypes import SqlType
from tests.fuzz.weights import Weights

Thing = TypeVar("Thing")
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_RESERVED = {"select", "order", "group", "user", "table"}


@dataclass(frozen=True)
class Expr:
    """An expression; ``exact`` if equal values of it are identical, ``column`` if plain."""

    sql: str
    type: SqlType
    exact: bool
    column: bool = False


@dataclass(frozen=True)
class Column:
    """A column of a relation."""

    name: str
    type: SqlType
    exact: bool


@dataclass(frozen=True)
class Relation:
    """What FROM can name; ``key`` names columns that no two rows share."""

    name: str  # quoted
    columns: tuple[Column, ...]
    key: tuple[str, ...] | None = None
    kind: str = "table"

    def expressions(self) -> tuple[Expr, ...]:
        """The columns, qualified."""
        return tuple(
            Expr(f"{self.name}.{ident(c.name)}", c.type, c.exact, column=True)
            for c in self.columns
        )


@dataclass(frozen=True)
class Want:
    """What a query has to show in one column; without a type, whatever its rows offer."""

    type: SqlType | None = None
    exact: bool = False


@dataclass(frozen=True)
class Query:
    """A query's text and columns."""

    sql: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Env:
    """What an expression may use.

    Attributes:
        leaves: what each row offers.
        outer: columns of the queries around.
        special: an aggregate or window call of a type, where those are allowed.
        depth: levels of subqueries that may still follow.
        rows: relations whose rows may be used as a whole.
    """

    leaves: tuple[Expr, ...]
    outer: tuple[Expr, ...] = ()
    special: Callable[[SqlType, int], Expr | None] | None = None
    depth: int = 0
    rows: tuple[str, ...] = ()

    @property
    def correlated(self) -> tuple[Expr, ...]:
        """What a subquery in the expression may use."""
        return (*(leaf for leaf in self.leaves if leaf.column), *self.outer)

    def flat(self) -> Env:
        """The same without subqueries and special calls."""
        return replace(self, special=None, depth=0)


@dataclass
class Gen:
    """One query in the making."""

    rng: random.Random
    relations: list[Relation]
    weights: Weights = field(default_factory=dict)
    budget: int = 14  # subqueries that may still be made
    _number: int = 0

    def chance(self, name: str, probability: float) -> bool:
        """A yes or no, weighted by ``name``."""
        return self.rng.random() < probability * self.weights.get(name, 1.0)

    def choose(self, group: str, /, **options: float) -> str:
        """One of the options, by weight."""
        names = list(options)
        factors = [options[n] * self.weights.get(f"{group}.{n}", 1.0) for n in names]
        if not any(factors):
            return names[0]
        return self.rng.choices(names, factors)[0]

    def pick(self, things: Sequence[Thing]) -> Thing:
        """One of the things."""
        return self.rng.choice(things)

    def few(self, things: Sequence[Thing], least: int, most: int) -> list[Thing]:
        """Some of the things, in a random order."""
        count = min(len(things), self.rng.randint(least, most))
        return self.rng.sample(things, count)

    def alias(self, prefix: str = "r") -> str:
        """A name that is new in this query."""
        self._number += 1
        return f"{prefix}{self._number}"

    def spend(self) -> bool:
        """Whether another subquery may be made."""
        self.budget -= 1
        return self.budget >= 0

    @contextmanager
    def visible(self, relations: Sequence[Relation]) -> Iterator[None]:
        """More relations that FROM can name, such as those of WITH."""
        before = self.relations
        self.relations = [*before, *relations]
        try:
            yield
        finally:
            self.relations = before


def ident(name: str) -> str:
    """A name as SQL has it."""
    if _PLAIN.fullmatch(name) and name not in _RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def constant(g: Gen, type_: SqlType) -> Expr:
    """A literal."""
    return Expr(type_.literal(g.rng), type_, type_.exact)


def exact(expr: Expr) -> Expr:
    """The expression, or a normal form of it, such that equal values are identical."""
    if expr.exact:
        return expr
    forms = {
        "num": ("trim_scale({})", expr.type),
        "float": ("({} + 0.0)", expr.type),  # no negative zero
        "interval": ("justify_interval({})", expr.type),
        "json": ("({})::text", sqltypes.TEXT),
        "point": ("({})::text", sqltypes.TEXT),
        "jsonb": ("({})::text", sqltypes.TEXT),
    }
    text, type_ = forms[expr.type.name]
    return Expr(text.format(expr.sql), type_, True)


def identity(expr: Expr) -> str:
    """A sort key by which only identical values are peers."""
    return expr.sql if expr.exact and expr.type.ordered else f"({expr.sql})::text"
