"""What a member has to do in a pass.

Invariant: pure. The answer depends on facts of one snapshot and on what the pass has already done
to the stream tables below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trickle_runtime.refresh import policy, result
from trickle_runtime.refresh.member import Work
from trickle_runtime.refresh.members import Member
from trickle_runtime.refresh.survey import Surveyed


@dataclass(frozen=True)
class Below:
    """A stream table below, as far as the pass has come."""

    refresh_no: int
    changed: int  # rows that this pass changed in it


def assess(
    member: Member, below: Mapping[int, Below] | None = None, force_mode: str | None = None
) -> Work | None:
    """Return the work of ``member``, or None if it is up to date."""
    below = below or {}
    upstream = {
        one.pgt_id: below[one.pgt_id].refresh_no if one.pgt_id in below else one.refresh_no
        for one in member.sources
        if one.pgt_id is not None
    }
    changed = _changed(member, upstream)
    rows_in = member.changes + sum(below[one].changed for one in upstream if one in below)
    full = _must_be_full(member)
    if full is None and force_mode == "full":
        full = result.FULL, "asked for"
    if full is None and (changed or member.always) and member.effective_mode == "full":
        full = result.FULL, "its mode is full"
    if full is not None:
        return Work(member, "full", *full, changed, upstream, rows_in)
    if not changed:
        return None
    if force_mode == "differential" or member.refresh_mode == "differential":
        return Work(member, "differential", result.DIFFERENTIAL, None, changed, upstream, rows_in)
    return _chosen(member, changed, upstream, rows_in)


def _chosen(
    member: Member, changed: frozenset[int], upstream: Mapping[int, int], rows_in: int
) -> Work:
    choice = policy.choose(rows_in, member.past, member.full)
    action = result.FULL if choice.mode == "full" else result.DIFFERENTIAL
    return Work(
        member, choice.mode, action, choice.reason, changed, upstream, rows_in, choice.budget_ms
    )


def _changed(member: Member, upstream: Mapping[int, int]) -> frozenset[int]:
    """Return the sources with changes that the member has not seen."""
    captured = {relid for relid, one in member.pending.items() if one.changes}
    moved = {
        one.relid
        for one in member.sources
        if one.pgt_id is not None and upstream[one.pgt_id] > member.upstream.get(one.pgt_id, -1)
    }
    tables = {one.relid for one in member.sources if one.pgt_id is not None}
    return frozenset((captured - tables) | moved) | member.restless


def _must_be_full(member: Member) -> tuple[str, str] | None:
    if not member.is_populated:
        return result.INITIALIZE, "it was not filled yet"
    if member.reinit_reason is not None:
        return result.REINITIALIZE, member.reinit_reason
    if not member.frontier_valid:
        return result.REINITIALIZE, "its frontier belongs to another cluster"
    marker = member.marker()
    if marker is not None:
        return result.REINITIALIZE, marker
    return None


def standing(member: Member | Surveyed, *, by_hand: bool) -> str | None:
    """Return why the member is not to be refreshed at all, if so."""
    if member.relation is None:
        return "dropped"
    if member.fuse_state == "blown":
        return "fuse blown"
    allowed = {"active", "suspended", "error"} if by_hand else {"active", "error"}
    return None if member.status in allowed else member.status
