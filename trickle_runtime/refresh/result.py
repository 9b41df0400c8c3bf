"""What a refresh, a pass and the questions about stream tables answer.

Invariant: frozen; every field is plain data that prints as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from trickle_runtime.compiler.result import Reason
from trickle_runtime.errors import TrickleError

NO_DATA = "NO_DATA"
DIFFERENTIAL = "DIFFERENTIAL"
FULL = "FULL"
REINITIALIZE = "REINITIALIZE"
INITIALIZE = "INITIALIZE"
COMPUTING = frozenset({FULL, REINITIALIZE, INITIALIZE})  # actions that compute the query
SKIP = "SKIP"
SKIP_CHANGES = "SKIP_CHANGES"

COMPLETED = "completed"
SKIPPED = "skipped"
FAILED = "failed"


@dataclass(frozen=True)
class RefreshResult:
    """What a refresh did to one stream table; ``duration`` in seconds."""

    name: str
    action: str
    rows_in: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    duration: float = 0.0
    reason: str | None = None
    status: str = COMPLETED
    error: TrickleError | None = field(default=None, compare=False)

    @property
    def changed(self) -> int:
        """How many rows of the stream table changed."""
        return self.inserted + self.updated + self.deleted


@dataclass(frozen=True)
class PassResult:
    """What one pass did; ``snapshot`` is None where there was nothing to do."""

    results: Mapping[int, RefreshResult]
    snapshot: str | None = None
    at: datetime | None = None


@dataclass(frozen=True)
class StreamTableInfo:
    """A stream table as it was created."""

    name: str
    pgt_id: int
    relid: int
    status: str
    refresh_mode: str
    effective_mode: str
    reasons: tuple[Reason, ...]
    columns: tuple[tuple[str, str], ...]  # name, type
    key: tuple[str, ...] | None
    rows: int
    duration: float
    resumed: bool = False  # an interrupted creation was continued


@dataclass(frozen=True)
class FillProgress:
    """How far the creation of a stream table is; ``done`` from 0 to 1, None: not known."""

    schema: str
    name: str
    phase: str  # capturing, filling, indexing, interrupted
    seconds: float
    bytes: int | None
    expected_bytes: int | None
    done: float | None

    def __str__(self) -> str:
        parts = [f"{self.seconds:.0f} s"]
        if self.phase == "filling":
            parts.append(f"{(self.bytes or 0) / 2**20:.1f} MB written")
        if self.done is not None:
            parts.append(f"about {100 * self.done:.0f} %")
        return f"{self.phase} {self.schema}.{self.name}: {', '.join(parts)}"


@dataclass(frozen=True)
class AlterResult:
    """What an alteration did."""

    name: str
    changed: tuple[str, ...]  # options, and 'query'
    action: str  # unchanged, altered, replaced, rebuilt
    lost: tuple[str, ...] = ()  # 'index i', 'policy p': what users put on it and it can't have now


@dataclass(frozen=True)
class VerifyResult:
    """A stream table beside its query; samples have five rows at most."""

    name: str
    equal: bool
    missing: int  # rows of the query that the table lacks
    extra: int  # rows of the table that the query does not give
    sample_missing: tuple[Mapping[str, object], ...] = ()
    sample_extra: tuple[Mapping[str, object], ...] = ()
    note: str | None = None

    def noted(self, note: str) -> VerifyResult:
        """Return the result with another note."""
        return replace(self, note="; ".join(filter(None, [self.note, note])))

    def __str__(self) -> str:
        if self.equal:
            return f"{self.name} equals its query"
        if not self.missing and not self.extra:
            return f"{self.name} is {self.note}"
        parts = [f"{self.name} differs from its query: {self.missing} missing, {self.extra} extra"]
        parts += [f"missing: {dict(row)}" for row in self.sample_missing]
        parts += [f"extra: {dict(row)}" for row in self.sample_extra]
        return "\n".join(parts + ([self.note] if self.note else []))


@dataclass(frozen=True)
class StreamTableStatus:
    """How a stream table is; ``lag`` in seconds, 0 where nothing is pending."""

    schema: str
    name: str
    status: str
    schedule: str
    mode: str
    lag: float | None
    pending: int
    fuse_state: str
    last_error: str | None
    waiting_for: tuple[str, ...]
    last_action: str | None
    last_duration_ms: float | None
    last_refresh_at: datetime | None
    data_timestamp: datetime | None
    is_populated: bool
    refresh_mode: str
    mode_reasons: tuple[Mapping[str, object], ...]
    tier: str
    fuse_mode: str
    blow_reason: str | None
    diverged: bool
    reinit_reason: str | None
    consecutive_errors: int
    next_attempt_at: datetime | None
    partition_by: str | None
    pgt_id: int
    relid: int


@dataclass(frozen=True)
class Check:
    """One row of ``validate_query``."""

    check_name: str
    result: str
    severity: str  # INFO, WARNING, ERROR


@dataclass(frozen=True)
class ExplainedStep:
    """A statement of a refresh; ``plan`` is PostgreSQL's, one line per node, where asked for."""

    kind: str
    sql: str
    plan: str | None = None


@dataclass(frozen=True)
class Finding:
    """One thing that ``doctor`` found."""

    check: str
    severity: str  # OK, INFO, WARNING, ERROR
    message: str
    remedy: str | None = None


@dataclass(frozen=True)
class RewritePass:
    """One row of ``explain_query_rewrite``."""

    pass_name: str
    changed: bool
    sql_after: str
