"""What the compiler knows of the database: relations, columns, functions; loaded by ``analysis``.

Invariant: plain data. Whatever can only be asked of PostgreSQL (the type of an expression) is
asked through ``Describer``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from trickle_runtime.compiler.result import OutputColumn


@dataclass(frozen=True)
class Described:
    """The type of an expression, as PostgreSQL resolves it."""

    name: str
    type: str  # format_type() with typmod
    base: str  # internal name of the type, e.g. int4, numeric, float8, text
    collation: str | None
    equality: bool
    exact: bool
    bounded: bool = True

    def identity(self, name: str, *, not_null: bool = False) -> OutputColumn:
        """A column of this type, for matching and netting rows."""
        return OutputColumn(
            name,
            self.type,
            not_null,
            self.collation,
            self.equality,
            self.exact,
            bounded=self.bounded,
        )


@dataclass(frozen=True)
class SourceColumn:
    """A column of a relation."""

    attnum: int
    name: str
    type: str  # format_type() with typmod
    not_null: bool
    equality: bool
    exact: bool
    scales: tuple[int, ...] | None  # display scales its values can have; None: any, or no number
    base: str = ""  # internal name of the type
    collation: str | None = None
    bounded: bool = True
    of_domain: bool = False  # a domain, or an array of one: buffers have the type below

    @property
    def described(self) -> Described:
        """The facts on its type."""
        return Described(
            self.name,
            self.type,
            self.base,
            self.collation,
            self.equality,
            self.exact,
            self.bounded,
        )


@dataclass(frozen=True)
class SourceRelation:
    """A relation in the query's text."""

    relid: int
    schema: str
    name: str
    kind: str  # table, partitioned, stream_table, matview, foreign, view, system
    columns: tuple[SourceColumn, ...]
    keys: tuple[tuple[str, ...], ...] = ()  # unique, immediate, all NOT NULL
    indexes: tuple[tuple[str, ...], ...] = ()  # leading columns of each index
    definition: str | None = None  # of a view, canonical
    pgt_id: int | None = None  # of a stream table
    readable: bool = True  # by our role, without a view between


@dataclass(frozen=True)
class Functions:
    """Facts on the functions whose names occur in the query, all overloads taken together."""

    aggregates: frozenset[str] = frozenset()
    windows: frozenset[str] = frozenset()
    set_returning: frozenset[str] = frozenset()
    volatile: frozenset[str] = frozenset()
    stable: frozenset[str] = frozenset()


class Describer(Protocol):
    """Asks PostgreSQL what only PostgreSQL knows of a query."""

    def describe(self, query: str) -> Sequence[Described]:
        """Analyse ``query`` without running it and return its columns.

        Raises:
            NotIncremental: it is no query to PostgreSQL.
        """
        ...

    def tables(self, query: str) -> Mapping[int, frozenset[int]]:
        """The tables that a query reads, below views as well: relid and attribute numbers."""
        ...


@dataclass(frozen=True)
class Schema:
    """The relations (by schema and name) and functions of one query."""

    relations: Mapping[tuple[str, str], SourceRelation]
    functions: Functions
