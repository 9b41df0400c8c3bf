"""What a pass knows of its members, read from the catalog in one statement.

Invariant: frozen facts of one snapshot; nothing here is changed while the pass runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from trickle_runtime.capture.fingerprint import SourceIssue
from trickle_runtime.capture.pending import Pending
from trickle_runtime.catalog.models import from_row
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.config import GateTest, Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.db.sql import load_queries, quote_ident
from trickle_runtime.refresh.policy import Past
from trickle_runtime.refresh.settings import Settings, parse

READ_BY_QUERY = frozenset({"matview", "foreign"})  # kinds that carry no triggers


Gates: TypeAlias = Mapping[int, tuple[GateTest, ...]]


@dataclass(frozen=True)
class Source:
    """A relation that a member reads."""

    relid: int
    recorded: str  # the name at analysis, by which it is found again
    name: str | None  # the name now; None: it is gone
    kind: str
    pgt_id: int | None
    columns: tuple[int, ...]
    refresh_no: int  # of a stream table: its last refresh that changed rows
    mode: str | None  # how it is captured; None for stream tables
    buffers: tuple[tuple[int, str], ...]

    @property
    def polled(self) -> bool:
        """Whether changes of it are not captured, so that only a full query sees them."""
        return self.pgt_id is None and (self.mode in {None, "poll"} or self.kind in READ_BY_QUERY)


@dataclass(frozen=True)
class Member:
    """A stream table as a pass sees it."""

    pgt_id: int
    relid: int
    relation: str | None  # qualified, quoted; None: somebody dropped it
    rows: int  # about
    canonical_query: str
    definition_version: int
    created_at: str
    plan: Mapping[str, Any]
    session_settings: Mapping[str, str]
    refresh_mode: str
    effective_mode: str
    partition_by: str | None
    diamond_consistency: str
    append_only: bool
    status: str
    is_populated: bool
    reinit_reason: str | None
    diverged: bool
    unsettled: bool  # its row says what a refresh makes untrue: errors, a reason to reinitialise …
    fuse_mode: str
    fuse_state: str
    skip_next: bool  # changes that the fuse held back are to be skipped
    blow_reason: str | None
    frontier: str | None
    clock: str | None  # the time of the frontier
    upstream: Mapping[int, int]
    refresh_no: int
    version: int
    frontier_valid: bool
    sequential: bool  # unique indexes of a user's
    logged: bool  # stream tables above read its change log
    lockable: Mapping[str, int]  # what a refresh reads besides it, with oids
    sources: tuple[Source, ...]
    past: tuple[Past, ...]
    full: Past | None  # the last refresh that computed the query
    drift: tuple[str, ...] = ()  # views between, and functions, that were replaced
    pending: Mapping[int, Pending] = field(default_factory=dict[int, Pending])

    @property
    def name(self) -> str:
        """The name for people."""
        return self.relation or f"stream table {self.pgt_id} (dropped)"

    @property
    def states(self) -> tuple[str, ...]:
        """Qualified, quoted names of its state tables."""
        return tuple(state["name"] for state in self.plan.get("states", ()))

    @property
    def columns(self) -> tuple[OutputColumn, ...]:
        """Its columns."""
        return tuple(OutputColumn(**column) for column in self.plan.get("columns", ()))

    @property
    def always(self) -> bool:
        """Whether its rows may change although no source does."""
        return bool(self.plan.get("always")) or any(source.polled for source in self.sources)

    @property
    def restless(self) -> frozenset[int]:
        """Sources that count as changed at every refresh; 0 stands for the time."""
        return frozenset(self.plan.get("restless", ()))

    @property
    def changes(self) -> int:
        """How many changes of captured tables and of stream tables below are pending."""
        return sum(one.changes for one in self.pending.values())

    @property
    def reads(self) -> tuple[int, ...]:
        """Edges for the graph: stream tables by pgt_id, other relations by -relid."""
        return tuple(one.pgt_id if one.pgt_id is not None else -one.relid for one in self.sources)

    @property
    def materialized_views(self) -> dict[str, int]:
        """Its sources that can't be locked before the snapshot."""
        return {
            one.name: one.relid
            for one in self.sources
            if one.kind == "matview" and one.name is not None
        }

    def marker(self) -> str | None:
        """Return why markers of a source ask for a full difference, if they do."""
        if any(one.failed for one in self.pending.values()):
            return "a change of a source could not be captured"
        if any(one.truncated for one in self.pending.values()):
            return "a source was truncated"
        return None


@dataclass(frozen=True)
class Observation:
    """All members at one snapshot."""

    snapshot: str
    at: datetime
    own_xid: str | None
    backend_pid: int
    system_identifier: int
    database: int
    settings: Settings
    issues: tuple[SourceIssue, ...]
    members: Mapping[int, Member]
    gates: Gates = field(default_factory=dict[int, tuple[GateTest, ...]])

    def reads(self) -> dict[int, tuple[int, ...]]:
        """Return the graph of the members."""
        return {one.pgt_id: one.reads for one in self.members.values()}

    def places(self, schemas: Schemas, member: Member) -> dict[str, str]:
        """Return the settings that tell the statements of a member where its changes begin."""
        prefix = schemas.prefix
        found = {
            f"{prefix}.frontier": member.frontier or self.snapshot,
            f"{prefix}.clock": member.clock or self.at.isoformat(),
            f"{prefix}.refresh_no": str(member.refresh_no + 1),
        }
        for source in member.sources:
            if source.pgt_id is not None:
                consumed = member.upstream.get(source.pgt_id, source.refresh_no)
                found[f"{prefix}.upstream_{source.pgt_id}"] = str(consumed)
        return found


def observe(
    session: Session, schemas: Schemas, pgt_ids: Sequence[int] | None, *, past: bool = False
) -> Observation:
    """Return what is true of the given stream tables (None: all), and of those below."""
    ids = None if pgt_ids is None else list(pgt_ids)
    row = session.execute(queries(schemas)["observe"], {"pgt_ids": ids, "past": past})[0]
    return Observation(
        snapshot=row["snapshot"],
        at=row["at"],
        own_xid=row["own_xid"],
        backend_pid=row["backend_pid"],
        system_identifier=row["system_identifier"],
        database=row["database"],
        settings=parse(row["settings"] or {}),
        issues=tuple(SourceIssue(*one) for one in row["issues"] or ()),
        members={one["pgt_id"]: _member(one) for one in row["members"] or ()},
        gates=_gates(row["gates"] or ()),
    )


def queries(schemas: Schemas) -> dict[str, str]:
    """Return the statements of the engine."""
    return load_queries("refresh/queries.sql", schemas)


def buffer_name(schemas: Schemas, name: str) -> str:
    """Return the qualified, quoted name of a change buffer."""
    return f"{quote_ident(schemas.changes)}.{quote_ident(name)}"


def log_name(schemas: Schemas, pgt_id: int) -> str:
    """Return the qualified, quoted name of a stream table's change log."""
    return buffer_name(schemas, f"log_{pgt_id}")


def _gates(rows: Sequence[Mapping[str, Any]]) -> dict[int, tuple[GateTest, ...]]:
    found: dict[int, tuple[GateTest, ...]] = {}
    for row in rows:
        found[row["pgt_id"]] = (*found.get(row["pgt_id"], ()), from_row(GateTest, dict(row)))
    return found


def _member(value: Mapping[str, Any]) -> Member:
    made: dict[str, Any] = {
        "upstream": {int(key): int(number) for key, number in value["upstream"].items()},
        "sources": tuple(_source(one) for one in value["sources"]),
        "past": tuple(Past(*one) for one in value["past"] or ()),
        "full": Past(*value["full"]) if value["full"] else None,
        "drift": tuple(value["drift"]),
        "pending": {int(relid): Pending(*one) for relid, one in value["pending"].items()},
    }
    return Member(**{**value, **made})


def _source(value: Mapping[str, Any]) -> Source:
    made: dict[str, Any] = {
        "columns": tuple(value["columns"] or ()),
        "refresh_no": value["refresh_no"] or 0,
        "buffers": tuple((version, name) for version, name in value["buffers"] or ()),
    }
    return Source(**{**value, **made})
