"""Rows of the catalog as data.

Invariant: fields have the names of the columns (``docs/reference/catalog.md``); a snapshot is its
text. ``from_row`` ignores columns it does not know, so an older program can read a newer catalog
while it is told to upgrade.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeVar

from trickle_runtime.db import sql
from trickle_runtime.db.session import Row

_Model = TypeVar("_Model")


def from_row(model: type[_Model], row: Row) -> _Model:
    """Make a model from a row; arrays become tuples, so that instances can be compared."""
    values: dict[str, Any] = {}
    for field in fields(model):  # pyright: ignore[reportArgumentType]
        value = row[field.name]
        values[field.name] = tuple(value) if field.name in _ARRAYS and value is not None else value
    return model(**values)


_ARRAYS = {"columns", "unique_key", "reads"}


@dataclass(frozen=True)
class StreamTable:
    """A stream table; schema and name are those of ``pg_class`` now, not those at creation."""

    pgt_id: int
    pgt_relid: int
    pgt_schema: str
    pgt_name: str
    query: str
    canonical_query: str
    definition_version: int
    plan: Mapping[str, Any]
    session_settings: Mapping[str, str]
    schedule: str
    refresh_mode: str
    effective_mode: str
    mode_reasons: list[Mapping[str, Any]]
    partition_by: str | None
    tier: str
    cdc_mode: str
    diamond_consistency: str
    append_only: bool
    unique_key: tuple[str, ...] | None
    status: str
    is_populated: bool
    reinit_reason: str | None
    diverged: bool
    fuse_mode: str
    fuse_state: str
    fuse_ceiling: int | None
    fuse_sensitivity: float
    fuse_exempt: bool
    blown_at: datetime | None
    blow_reason: str | None
    consecutive_errors: int
    last_error: str | None
    last_error_code: str | None
    next_attempt_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @property
    def relation(self) -> str:
        """Qualified, quoted name."""
        return sql.qualified(self.pgt_schema, self.pgt_name)


@dataclass(frozen=True)
class Frontier:
    """What a stream table has consumed."""

    pgt_id: int
    snapshot: str
    upstream: Mapping[str, int]
    refresh_no: int
    version: int
    provisional: bool
    system_identifier: int


@dataclass(frozen=True)
class Dependency:
    """A relation that a stream table reads."""

    pgt_id: int
    source_relid: int
    source_name: str
    source_kind: str
    source_pgt_id: int | None = None
    columns: tuple[int, ...] = ()
    definition: str | None = None


@dataclass(frozen=True)
class Source:
    """A captured table."""

    source_relid: int
    source_name: str
    capture_mode: str
    poll_reason: str | None
    active_version: int
    fingerprint: Mapping[str, Any]
    captured_at: str | None
    system_identifier: int
    created_at: datetime


@dataclass(frozen=True)
class Buffer:
    """A change buffer of a source."""

    source_relid: int
    version: int
    buffer_name: str
    columns: tuple[int, ...]
    retired_at: str | None
    discard: bool


@dataclass(frozen=True)
class HistoryEntry:
    """A refresh, or an attempt at one."""

    pgt_id: int
    action: str
    status: str
    reason: str | None = None
    initiated_by: str = "scheduler"
    rows_in: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    duration_ms: float = 0.0
    error_code: str | None = None
    error_message: str | None = None
    started_at: datetime | None = None  # None, when it is written: the transaction's start
    ended_at: datetime | None = None  # None, when it is written: now
    refresh_id: int = 0


@dataclass(frozen=True)
class Worker:
    """A daemon that takes part in the work."""

    worker_id: str
    host: str
    pid: int
    version: str
    started_at: datetime
    heartbeat_at: datetime
