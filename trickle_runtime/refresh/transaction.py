"""The members of a pass, run inside its transaction.

Invariant: a member that fails leaves no trace, nor do the others of its atomic diamond; what reads
it is left alone and says what it waits for; everything else goes on and is committed.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from trickle_runtime.capture.pending import Pending
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.errors import DatabaseError, GateFailed, TrickleError
from trickle_runtime.refresh import fuse, gate, needs, plans, result, units
from trickle_runtime.refresh.member import AlreadyRefreshed, Runner, Work
from trickle_runtime.refresh.members import Member, Observation
from trickle_runtime.refresh.progress import Progress


class Transaction:
    """Runs units of members at one snapshot."""

    def __init__(
        self, session: Session, schemas: Schemas, seen: Observation, progress: Progress
    ) -> None:
        self.runner = Runner(session, schemas, seen, progress.request.initiated_by)
        self._session = session
        self._schemas = schemas
        self._seen = seen
        self._progress = progress

    def run(self, held: Set[int]) -> None:
        """Run the members that this session holds the locks of."""
        members = self._seen.members
        for member in members.values():
            if member.fuse_state == "blown":
                self._progress.block(member.pgt_id)
        arranged = units.arrange(
            self._seen.reads(),
            lambda one: members[one].diamond_consistency == "atomic",
            gate.together(self._seen, held),
        )
        for unit in arranged:
            wanted = [members[one] for one in unit if one in held]
            if wanted and (len(unit) > 1 or wanted[0].pgt_id in self._seen.gates):
                self._run_together(wanted, [members[one] for one in unit], held)
            elif wanted:
                self._run_member(wanted[0], only=len(held) == 1)

    def _run_together(self, wanted: list[Member], unit: list[Member], held: Set[int]) -> None:
        """Run members of which all succeed and pass their gates, or none is changed."""
        blown = next((one for one in unit if one.fuse_state == "blown"), None)
        if blown is not None and len(unit) > 1:
            for member in wanted:
                reason = f"waiting for {blown.name}, whose fuse is blown"
                self._progress.skip_standing(member, reason)
            return
        unmet = [one for member in wanted for one in gate.unmet(self._seen, held, member.pgt_id)]
        if unmet:
            for member in wanted:
                self._progress.skip(member, f"waiting for {unmet[0].name}, which its gate reads")
            return
        self._session.execute("SAVEPOINT pgt_unit")
        if all(self._run_member(member) for member in wanted) and self._passes(wanted):
            self._session.execute("RELEASE SAVEPOINT pgt_unit")
            return
        self._session.execute("ROLLBACK TO SAVEPOINT pgt_unit; RELEASE SAVEPOINT pgt_unit")
        ids = [member.pgt_id for member in wanted]
        if len(unit) > 1:
            blows = self._progress.blows.keys() | self._progress.gated.keys()
            self._progress.held.update(blows.intersection(ids))
        self._progress.take_back(ids)
        for member in wanted:
            if member.pgt_id not in self._progress.results:
                self._progress.skip(member, "its diamond could not be refreshed")

    def _passes(self, wanted: list[Member]) -> bool:
        """Run the gates of members that changed; what fails has its result then."""
        passed = True
        for member in wanted:
            work, outcome = self._progress.done.get(member.pgt_id, (None, None))
            tests = gate.judged(self._seen, member.pgt_id)
            if not tests or outcome is None or not outcome.changed:
                continue
            settings = member.session_settings
            try:
                gate.require(
                    self._session, self._schemas, member.pgt_id, member.name, settings, tests
                )
            except TrickleError as error:
                self._progress.fail(member, error, work)
                passed = False
                if not isinstance(error, GateFailed):  # nothing more can be run before a rollback
                    return False
        return passed

    def _run_member(self, member: Member, *, only: bool = False) -> bool:
        """Run one member; whether the others of its diamond may stay."""
        progress = self._progress
        if member.pgt_id in progress.results:  # failed before the transaction
            return False
        standing = progress.request.standing(member)
        if standing is not None:
            self._progress.skip_standing(member, standing)
            return member.fuse_state != "blown"
        blocker = progress.blocker(member)
        if blocker is not None:
            progress.skip(member, f"waiting for {self._name(blocker)}")
            return False
        work = needs.assess(member, progress.below, progress.request.mode_for(member.pgt_id))
        if work is None:
            return True
        verdict = self._judge(work)
        if verdict is not None and verdict.stops:
            progress.skip_standing(member, verdict.reason or "its fuse is blown", blown=True)
            progress.blows[member.pgt_id] = verdict
            return False
        if verdict is not None and verdict.verdict == fuse.SKIPS:
            progress.skipped_changes.add(member.pgt_id)
            work = replace(work, mode="skip", action=result.SKIP_CHANGES, reason="reset_fuse")
        return self._refresh(work, only=only)

    def _refresh(self, work: Work, *, only: bool) -> bool:
        try:
            self._progress.succeed(work, self.runner.run(work, only=only))
        except AlreadyRefreshed:
            self._give_up_member()
            self._progress.skip(work.member, "another session has refreshed it")
            return False
        except TrickleError as error:
            self._give_up_member()
            if isinstance(error, DatabaseError) and error.sqlstate == plans.LOST:
                raise  # the whole pass is repeated without
            self._progress.fail(work.member, error, work)
            return False
        return True

    def _give_up_member(self) -> None:
        """Undo the member; fails, and with it the pass, where the connection is lost."""
        self._session.execute("ROLLBACK TO SAVEPOINT pgt_member; RELEASE SAVEPOINT pgt_member")

    def _judge(self, work: Work) -> fuse.FuseDecision | None:
        """Ask the fuse, with what this pass has changed in the stream tables below."""
        member = work.member
        if member.fuse_mode == "off" and not member.skip_next:
            return None
        pending = dict(member.pending)
        for source in member.sources:
            below = self._progress.below.get(source.pgt_id or 0)
            if below is not None:
                before = pending.get(source.relid, Pending(0)).changes
                pending[source.relid] = Pending(before + below.changed)
        found = fuse.judge(self._session, self._schemas, {member.pgt_id: pending})
        return found.get(member.pgt_id)

    def _name(self, pgt_id: int) -> str:
        found = self._seen.members.get(pgt_id)
        return found.name if found else f"stream table {pgt_id}"
