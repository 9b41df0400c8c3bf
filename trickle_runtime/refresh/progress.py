"""What a pass was asked for, and how far it has come.

Invariant: every member that was asked for gets exactly one result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from trickle_runtime.errors import GateFailed, NotActive, TrickleError
from trickle_runtime.refresh import fuse, needs, result, sources
from trickle_runtime.refresh.bookkeeping import Failed
from trickle_runtime.refresh.fuse import FuseDecision
from trickle_runtime.refresh.member import Work
from trickle_runtime.refresh.members import Member, Observation
from trickle_runtime.refresh.result import RefreshResult
from trickle_runtime.refresh.survey import Surveyed

Hook = Callable[[Observation], None]


@dataclass(frozen=True)
class Request:
    """What a pass was asked for."""

    pgt_ids: frozenset[int] | None  # None: all
    initiated_by: str
    force_mode: str | None = None
    ancestors: bool = False
    wait: bool = False
    before_commit: Hook | None = None

    @property
    def by_hand(self) -> bool:
        """Whether somebody asked for just these tables."""
        return self.initiated_by != "scheduler" and self.pgt_ids is not None

    def names(self, pgt_id: int) -> bool:
        """Whether the table itself was asked for."""
        return self.pgt_ids is None or pgt_id in self.pgt_ids

    def mode_for(self, pgt_id: int) -> str | None:
        """Return the mode that was asked for, if one was."""
        return self.force_mode if self.names(pgt_id) else None

    @property
    def pgt_ids_sorted(self) -> list[int] | None:
        """The tables that were asked for, as a parameter."""
        return None if self.pgt_ids is None else sorted(self.pgt_ids)

    def standing(self, member: Member | Surveyed) -> str | None:
        """Return why a member is not to be refreshed at all, if so."""
        by_hand = self.by_hand and self.names(member.pgt_id)
        return needs.standing(member, by_hand=by_hand)


class Progress:
    """How far a pass has come."""

    def __init__(
        self, request: Request, followed: Mapping[int, RefreshResult] | None = None
    ) -> None:
        self.request = request
        self.followed = followed or {}  # brought up to date before the pass, by new definitions
        self.results: dict[int, RefreshResult] = {}
        self.done: dict[int, tuple[Work, RefreshResult]] = {}
        self.failures: dict[int, Failed] = {}
        self.gated: dict[int, Failed] = {}  # new content that did not pass its tests
        self.below: dict[int, needs.Below] = {}
        self.blows: dict[int, FuseDecision] = {}
        self.held: set[int] = set()  # blown by changes that the pass took back
        self.skipped_changes: set[int] = set()
        self._blocked: set[int] = set()  # what reads them waits

    @property
    def has_news(self) -> bool:
        """Whether anything is to be recorded beside the refreshes."""
        return bool(self.done) or self._has_trouble

    @property
    def changes_status(self) -> bool:
        """Whether what is to be recorded depends on who records it first."""
        return self._has_trouble or any(work.member.unsettled for work, _ in self.done.values())

    @property
    def _has_trouble(self) -> bool:
        return bool(self.failures or self.gated or self.blows or self.skipped_changes)

    def blocker(self, member: Member) -> int | None:
        """Return a stream table below that could not be refreshed, if there is one."""
        return next((one for one in member.reads if one in self._blocked), None)

    def block(self, pgt_id: int) -> None:
        """Let those above wait."""
        self._blocked.add(pgt_id)

    def succeed(self, work: Work, outcome: RefreshResult) -> None:
        """Note a refreshed member."""
        member = work.member
        self.results[member.pgt_id] = outcome
        self.done[member.pgt_id] = work, outcome
        number = member.refresh_no + (1 if outcome.changed else 0)
        self.below[member.pgt_id] = needs.Below(number, outcome.changed)

    def skip(self, member: Member | Surveyed, reason: str, *, blocks: bool = True) -> None:
        """Note a member that is left as it is."""
        self.results[member.pgt_id] = RefreshResult(
            member.name, result.SKIP, reason=reason, status=result.SKIPPED
        )
        if blocks:
            self._blocked.add(member.pgt_id)

    def fail(self, member: Member, error: TrickleError, work: Work | None = None) -> None:
        """Note a member whose refresh failed, or whose gate does not let it through."""
        self.done.pop(member.pgt_id, None)
        action = work.action if work else result.DIFFERENTIAL
        rows_in = work.rows_in if work else member.changes
        reason = work.reason if work else None
        entry = Failed(member, action, reason, rows_in, 0.0, error)
        failures = self.gated if isinstance(error, GateFailed) else self.failures
        failures[member.pgt_id] = entry
        self.results[member.pgt_id] = RefreshResult(
            member.name,
            action,
            rows_in,
            reason=error.detail if isinstance(error, GateFailed) else error.message,
            status=result.FAILED,
            error=error,
        )
        self._blocked.add(member.pgt_id)

    def fail_faulty(
        self, seen: Observation, pgt_ids: Iterable[int], faults: Mapping[int, TrickleError]
    ) -> None:
        """Fail the members whose sources are gone or could not be followed."""
        for pgt_id in pgt_ids:
            member = seen.members[pgt_id]
            error = faults.get(pgt_id) or sources.fatal(seen, member)
            if error is not None:
                self.fail(member, error)

    def take_back(self, pgt_ids: Iterable[int]) -> None:
        """Forget what was rolled back with its diamond."""
        for pgt_id in pgt_ids:
            self.below.pop(pgt_id, None)
            self.skipped_changes.discard(pgt_id)
            if pgt_id in self.done:
                self.skip(self.done.pop(pgt_id)[0].member, "its diamond could not be refreshed")

    def up_to_date(self, members: Iterable[Member | Surveyed]) -> None:
        """Give every member that has no result yet the one that nothing more was to do."""
        for member in members:
            if member.pgt_id in self.results or not self.request.names(member.pgt_id):
                continue
            standing = self.request.standing(member)
            if standing is None:
                nothing = RefreshResult(member.name, result.NO_DATA)
                self.results[member.pgt_id] = self.followed.get(member.pgt_id, nothing)
            else:
                self.skip_standing(member, standing)

    def skip_standing(
        self, member: Member | Surveyed, reason: str, *, blown: bool = False
    ) -> None:
        """Skip a member for its own state; whoever asked for just this one gets an error."""
        blown = blown or member.fuse_state == "blown"
        self.skip(member, reason, blocks=blown)
        if self.request.by_hand and self.request.names(member.pgt_id):
            error = _standing_error(member, reason, blown=blown)
            outcome = self.results[member.pgt_id]
            self.results[member.pgt_id] = replace(outcome, error=error)


def _standing_error(member: Member | Surveyed, reason: str, *, blown: bool) -> TrickleError:
    if blown:
        return fuse.blown_error(member.name, member.blow_reason or reason)
    hint = f"Run trickle-runtime resume {member.name}." if member.status == "paused" else None
    return NotActive(f"{member.name} is not refreshed: {reason}", hint=hint)
