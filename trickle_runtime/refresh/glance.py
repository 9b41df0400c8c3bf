"""A second look at stream tables that the session has observed before.

Invariant: what ``look`` returns is what ``observe`` would. All that it takes from an earlier
observation is covered by a stamp, a number over the row versions (xmin) of everything an
observation reads; frontiers and pending changes are read anew, and the past is known as long as
nobody else has refreshed the tables since. Where anything differs, it returns None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeAlias

from trickle_runtime.capture.pending import Pending
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session, is_direct
from trickle_runtime.db.sql import quote_literal, render
from trickle_runtime.refresh import plans
from trickle_runtime.refresh.members import (
    Member,
    Observation,
    buffer_name,
    log_name,
    queries,
)
from trickle_runtime.refresh.policy import Past
from trickle_runtime.refresh.remembered import Remembered
from trickle_runtime.refresh.result import COMPUTING, RefreshResult

PAST = 40  # refreshes of a table that an observation has
MOST_MEMBERS = 8

_Subject: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class _Frontier:
    """A row of pgt_frontiers."""

    pgt_id: int
    snapshot: str
    clock: str | None
    upstream: Mapping[str, int]
    refresh_no: int
    version: int
    valid: bool


@dataclass(frozen=True)
class Known:
    """An observation, and what it takes to see whether it still holds."""

    seen: Observation
    stamp: Decimal
    query: str  # reads the stamp, the frontiers and the pending changes


_KNOWN: Remembered[_Subject, Known] = Remembered()


def look(session: Session, schemas: Schemas, pgt_ids: Sequence[int] | None) -> Known | None:
    """Return what is known of these stream tables, brought up to date; None if it has changed."""
    known = _KNOWN.get(session, tuple(pgt_ids or ()))
    if known is None:
        return None
    kept = plans.of(session, known.seen.backend_pid)
    if kept is None:
        return None
    row = kept.query(session, schemas, known.query)[0]
    if row["stamp"] != known.stamp:
        return None
    frontiers = {one["pgt_id"]: _Frontier(**one) for one in row["frontiers"] or ()}
    members = known.seen.members
    if frontiers.keys() != members.keys() or any(
        frontier.version != members[one].version or not frontier.valid
        for one, frontier in frontiers.items()
    ):
        return None
    seen = replace(
        known.seen,
        snapshot=row["snapshot"],
        at=row["at"],
        own_xid=row["own_xid"],
        backend_pid=row["backend_pid"],
        members=_renewed(members, frontiers, row["pending"] or ()),
    )
    return replace(known, seen=seen)


def examine(session: Session, schemas: Schemas, seen: Observation) -> Known | None:
    """Take the stamp of an observation, at its snapshot; None where it can't be kept."""
    if not is_direct(session) or not _keepable(seen):
        return None
    text = queries(schemas)
    members = seen.members.values()
    tables = {source.relid for one in members for source in one.sources}
    views = {int(relid) for one in members for relid in one.plan.get("views", {})}
    lists = {
        "ids": _array(seen.members, "bigint"),
        "own": _array((one.relid for one in members), "oid"),
        "others": _array({*views, *(r for one in members for r in one.lockable.values())}, "oid"),
        "functions": _array(
            {int(oid) for one in members for oid in one.plan.get("functions", {})}, "oid"
        ),
    }
    found = session.execute(
        render(text["examine"], sources=_array(tables, "oid"), **lists),
    )[0]
    query = render(
        text["look"],
        members=_array(found["members"], "oid"),
        system=str(seen.system_identifier),
        pending="\nUNION ALL\n".join(_counts(schemas, seen)) or text["look_at_nothing"],
        **lists,
    )
    return Known(seen, found["stamp"], query)


def keep(
    session: Session,
    pgt_ids: Sequence[int] | None,
    known: Known | None,
    done: Mapping[int, RefreshResult],
) -> None:
    """Remember an observation after the commit of a pass that has refreshed ``done``."""
    if pgt_ids is None:
        return
    if known is None:
        _KNOWN.drop(session, tuple(pgt_ids))
        return
    members = {
        one: _refreshed(member, done[one]) if one in done else member
        for one, member in known.seen.members.items()
    }
    seen = replace(known.seen, members=members)
    _KNOWN.put(session, tuple(pgt_ids), replace(known, seen=seen))


def forget(session: Session) -> None:
    """Look at everything anew."""
    _KNOWN.forget(session)


def _keepable(seen: Observation) -> bool:
    """Whether all that an observation depends on has a row whose version shows a change."""
    return (
        len(seen.members) <= MOST_MEMBERS
        and not seen.issues
        and all(
            one.relation is not None
            and one.frontier_valid
            and not one.drift
            and not one.always
            and not one.materialized_views
            and not any(pending.difference for pending in one.pending.values())
            for one in seen.members.values()
        )
    )


def _renewed(
    members: Mapping[int, Member],
    frontiers: Mapping[int, _Frontier],
    counts: Iterable[tuple[int, int, int]],
) -> dict[int, Member]:
    """Return members with their frontiers and pending changes of now."""
    pending: dict[int, dict[int, Pending]] = {one: {} for one in members}
    for pgt_id, relid, changes in counts:
        if changes:
            before = pending[pgt_id].get(relid, Pending(0)).changes
            pending[pgt_id][relid] = Pending(before + changes)
    return {
        one: replace(
            member,
            frontier=frontiers[one].snapshot,
            clock=frontiers[one].clock,
            upstream={int(key): number for key, number in frontiers[one].upstream.items()},
            refresh_no=frontiers[one].refresh_no,
            version=frontiers[one].version,
            pending=pending[one],
            sources=tuple(
                source
                if source.pgt_id is None
                else replace(source, refresh_no=frontiers[source.pgt_id].refresh_no)
                for source in member.sources
            ),
        )
        for one, member in members.items()
    }


def _refreshed(member: Member, outcome: RefreshResult) -> Member:
    """Return a member as it is after its refresh, but for what ``look`` reads anew."""
    member = replace(member, version=member.version + 1)
    if member.refresh_mode != "auto" or member.effective_mode != "differential":
        return member
    past = Past(outcome.action, outcome.rows_in, outcome.duration * 1000, outcome.reason)
    return replace(
        member,
        past=(past, *member.past)[:PAST],
        full=past if past.action in COMPUTING else member.full,
    )


def _counts(schemas: Schemas, seen: Observation) -> Iterable[str]:
    """Return a query for each place that changes of a member come from."""
    text = queries(schemas)
    for member in seen.members.values():
        for source in member.sources:
            facts = {"pgt_id": str(member.pgt_id), "relid": str(source.relid)}
            if source.pgt_id is not None:
                log = log_name(schemas, source.pgt_id)
                below = quote_literal(str(source.pgt_id))
                yield render(text["look_at_log"], log=log, below=below, **facts)
            for _, name in source.buffers:
                buffer = buffer_name(schemas, name)
                yield render(text["look_at_buffer"], buffer=buffer, **facts)


def _array(numbers: Iterable[int], of: str) -> str:
    return f"'{{{','.join(map(str, sorted(numbers)))}}}'::{of}[]"
