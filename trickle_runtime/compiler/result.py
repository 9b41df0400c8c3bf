"""What the compiler hands to the engine: plain data, no SQL builder types.

Invariant: every SQL text here is complete. It holds no placeholder and takes no parameter: the
frontier reaches it through the settings ``<prefix>.frontier`` (a ``pg_snapshot``) and
``<prefix>.upstream_<pgt_id>`` (the last consumed refresh number of a stream table below).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """Why a node of the query is maintained the way it is."""

    code: str  # e.g. VOLATILE_FUNCTION, PARSE_FIDELITY, UNSUPPORTED_OUTER_JOIN
    message: str
    hint: str | None = None
    severity: str = "INFO"  # INFO, WARNING (forces FULL), ERROR


@dataclass(frozen=True)
class OutputColumn:
    """A column of the stream table."""

    name: str
    type: str  # as format_type() prints it, with typmod
    not_null: bool = False  # known by inference; used for matching, never declared
    collation: str | None = None  # qualified and quoted; None for the type's default
    equality: bool = True  # the type has a default equality operator and hashing
    exact: bool = True  # equal values are identical (not so: numeric, jsonb, char(n), float …)
    scales: tuple[int, ...] | None = None  # display scales of an exact number, where known
    bounded: bool = True  # every value fits into a B-tree index (not so: text, bytea, arrays …)


@dataclass(frozen=True)
class SourceUse:
    """A relation that the query reads, below all views."""

    relid: int
    name: str  # schema-qualified, quoted
    kind: str  # table, partitioned, stream_table, matview, foreign
    attnums: tuple[int, ...]  # captured columns
    pgt_id: int | None = None  # of a stream table


@dataclass(frozen=True)
class ViewUse:
    """A view between the query and its sources."""

    relid: int
    name: str
    definition: str  # canonical text, to notice a replaced view


@dataclass(frozen=True)
class StateTable:
    """A hidden table that an operator keeps in the state schema."""

    name: str  # qualified, quoted
    query: str  # its content now; may read the state tables listed before it
    indexes: tuple[str, ...]  # CREATE INDEX statements
    purpose: str  # for list_auxiliary_columns


@dataclass(frozen=True)
class IndexAdvice:
    """An index that the delta of a join would use and that is missing."""

    relation: str
    columns: tuple[str, ...]
    ddl: str


@dataclass(frozen=True)
class Step:
    """One statement of a refresh.

    ``kind``: ``utility`` (what has no plan: DROP, TRUNCATE, ANALYZE), ``state`` (materialise a
    delta, maintain a state table; no result), ``delta`` (the
    net delta of the stream table into the temporary table ``pgtrickle_delta``; only when the plan
    was compiled with ``materialise=True``), ``apply`` (changes the stream table; returns one row
    ``inserted, updated, deleted, expected`` where expected is the number of changed rows that the
    delta announced: a difference to their sum is an error, ``Diverged``; NULL: a sum is NaN, from
    which addition does not lead back, so the query must be computed).
    """

    kind: str
    sql: str
