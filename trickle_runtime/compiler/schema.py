"""What the compiler knows of the database: relations, columns, functions; loaded by ``analysis``.

Invariant: plain data. Whatever can only be asked of PostgreSQL (the type of an expression) is
asked through ``Describer``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


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


@dataclass(frozen=True)
class Functions:
    """Facts on the functions whose names occur in the query, all overloads taken together."""

    aggregates: frozenset[str] = frozenset()
    windows: frozenset[str] = frozenset()
    set_returning: frozenset[str] = frozenset()
    volatile: frozenset[str] = frozenset()
    stable: frozenset[str] = frozenset()


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


class Describer(Protocol):
    """Asks PostgreSQL for the types of a query's columns."""

    def describe(self, query: str) -> Sequence[Described]:
        """Analyse ``query`` without running it and return its columns."""
        ...


@dataclass(frozen=True)
class Schema:
    """The relations (by schema and name) and functions of one query."""

    relations: Mapping[tuple[str, str], SourceRelation]
    functions: Functions
