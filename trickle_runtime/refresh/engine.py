"""One refresh pass: members of a refresh group at one snapshot, in one transaction.

Invariant: a crash at any point leaves every member as it was before the pass or as it is after
it, its frontier included. Content, frontier, change log and history are committed together;
status, errors and counters follow in a transaction of their own, since users write those rows too.

``run_pass`` commits whatever transaction is open: a pass in a transaction that has written would
test its own rows as invisible and bring them in twice.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

from trickle_runtime import dag
from trickle_runtime.capture import fingerprint
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session, queues
from trickle_runtime.db.sql import render
from trickle_runtime.errors import DatabaseError
from trickle_runtime.refresh import (
    bookkeeping,
    fuse,
    gate,
    glance,
    inspect,
    locks,
    memory,
    opening,
    plans,
    sources,
)
from trickle_runtime.refresh.members import (
    Observation,
    buffer_name,
    observe,
    queries,
)
from trickle_runtime.refresh.progress import Hook, Progress, Request
from trickle_runtime.refresh.result import PassResult, RefreshResult
from trickle_runtime.refresh.settings import ANALYZE_AFTER
from trickle_runtime.refresh.survey import Surveyed, gathered, reach, survey, with_locks
from trickle_runtime.refresh.transaction import Transaction

ATTEMPTS = 10
logger = logging.getLogger(__name__)


def run_pass(
    session: Session,
    schemas: Schemas,
    pgt_ids: Iterable[int] | None,
    *,
    initiated_by: str,
    force_mode: str | None = None,
    ancestors: bool = False,
    wait: bool = False,
    before_commit: Hook | None = None,
) -> PassResult:
    """Refresh the given stream tables (None: all) and return what was done to each.

    Errors of members are in their results; what is raised concerns the pass as a whole.

    Args:
        force_mode: ``full`` or ``differential`` for the given tables, whatever theirs is.
        ancestors: bring stale stream tables below up to date first, at the same snapshot.
        wait: for another session that refreshes a member, instead of skipping it.
        before_commit: is called at the pass's snapshot, after the members.
    """
    ids = None if pgt_ids is None else frozenset(pgt_ids)
    request = Request(ids, initiated_by, force_mode, ancestors, wait, before_commit)
    session.commit()
    followed = sources.Followed()
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(attempt * random.uniform(0.01, 0.05))
        try:
            return _Attempt(session, schemas, request, followed).run()
        except opening.RelationsMoved:
            memory.forget(session)
            glance.forget(session)
            session.rollback()
        except DatabaseError as error:
            # A buffer that cleanup dropped while its changes were counted.
            session.rollback()
            if error.sqlstate not in opening.GONE:
                raise
    raise DatabaseError("the relations of the pass keep changing", sqlstate="40001")


def run_all(
    session: Session,
    schemas: Schemas,
    wanted: Collection[int] | None = None,
    *,
    initiated_by: str,
) -> list[RefreshResult]:
    """Refresh every stream table that has something to do, a pass for each refresh group.

    With ``wanted`` these only, and what they read.
    """
    session.commit()
    found = survey(session, schemas, None, alone=True)
    idle = Progress(Request(None, initiated_by))
    results = idle.results
    edges = {one.pgt_id: (*one.reads, *one.gate_reads) for one in found.values()}
    for group in dag.refresh_groups(edges):
        members = [pgt_id for pgt_id in group if wanted is None or pgt_id in wanted]
        if members and any(found[pgt_id].stale for pgt_id in group):
            below = wanted is not None
            done = run_pass(session, schemas, members, initiated_by=initiated_by, ancestors=below)
            results.update(done.results)
        else:
            idle.up_to_date([found[pgt_id] for pgt_id in members])
    return [results[pgt_id] for pgt_id in sorted(results)]


class _Attempt:
    """One attempt at a pass."""

    def __init__(
        self,
        session: Session,
        schemas: Schemas,
        request: Request,
        followed: sources.Followed,
    ) -> None:
        self._session = session
        self._schemas = schemas
        self._request = request
        self._followed = followed  # in earlier attempts
        self._faults = followed.faults
        self._progress = Progress(request, followed.outcomes)
        self._known: glance.Known | None = None

    def run(self) -> PassResult:
        """Look what there is to do, and do it."""
        found = memory.recall(self._session, self._request.pgt_ids)
        if found is not None and queues(self._session):
            with (
                suppress(locks.Busy),
                locks.expected(self._session, self._schemas, sorted(self._wanted(found))) as held,
            ):
                return self._run(found, held)
        found = survey(self._session, self._schemas, self._request.pgt_ids, alone=True)
        stale = self._stale(found)
        if not stale and self._request.before_commit is None:
            self._progress.up_to_date(found.values())
            return PassResult(self._progress.results)
        with locks.held(
            self._session, self._schemas, sorted(stale), wait=self._request.wait
        ) as held:
            moved = {one for one in held.pgt_ids if found[one].moved} - self._faults.keys()
            if moved:
                self._follow(moved)
            for pgt_id in stale.difference(held.pgt_ids):
                self._progress.skip(found[pgt_id], "another session is refreshing it")
            return self._run(found, held)

    def _stale(self, found: Mapping[int, Surveyed]) -> set[int]:
        """Return the members that have something to do, or will have when those below have."""
        request = self._request
        wanted = self._wanted(found)
        included = {one for one in wanted if request.standing(found[one]) is None}
        # With a hook that looks at the snapshot of the transaction, the survey's is too old.
        itself = {
            pgt_id
            for pgt_id in included
            if found[pgt_id].stale
            or pgt_id in self._faults
            or request.mode_for(pgt_id) == "full"
            or request.before_commit is not None
        }
        return reach(found, itself) & included

    def _wanted(self, found: Mapping[int, Surveyed]) -> set[int]:
        """Return what is to be refreshed, for itself, for those above, or for their gates."""
        if self._request.ancestors:
            return set(found)
        return gathered(found, [one for one in found if self._request.names(one)])

    def _follow(self, moved: set[int]) -> None:
        """Follow what changed otherwise than by rows, then begin again."""
        seen = observe(self._session, self._schemas, sorted(moved))
        lost = any(one.relation is None or not one.frontier_valid for one in seen.members.values())
        if lost and inspect.rehome(self._session, self._schemas):
            self._session.commit()
            raise opening.RelationsMoved
        wanted = sources.moved(seen, self._faults, self._followed.members) & moved
        if not wanted:  # nothing can be followed: the pass will say what is wrong
            return
        by = self._request.initiated_by
        self._followed.members |= wanted
        self._followed.add(sources.follow(self._session, self._schemas, seen, wanted, by))
        raise opening.RelationsMoved

    def _run(self, found: Mapping[int, Surveyed], locked: locks.Held) -> PassResult:
        held = list(locked.pgt_ids)
        found = with_locks(self._session, self._schemas, found, self._touched(found, held))
        try:
            seen, transaction = self._open(found, held)
            self._analyze_buffers(seen, held)
            transaction.run(set(held))
            if self._request.before_commit is not None:
                self._request.before_commit(seen)
            self._check_partitions(seen, held)
            transaction.runner.commit(locked, keep=self._progress.changes_status)
        except DatabaseError as error:
            self._session.rollback()
            if error.sqlstate in opening.GONE or error.sqlstate == plans.LOST:
                raise opening.RelationsMoved from error
            if error.sqlstate == locks.BUSY:
                raise
            self._lose(held, error)
            return PassResult(self._progress.results)
        memory.remember(self._session, self._request.pgt_ids, found)
        known = None if self._progress.failures else self._known
        outcomes = {pgt_id: outcome for pgt_id, (_, outcome) in self._progress.done.items()}
        glance.keep(self._session, self._request.pgt_ids_sorted, known, outcomes)
        if self._progress.has_news:
            self._settle(seen, transaction)
        self._progress.up_to_date(seen.members.values())
        return PassResult(self._progress.results, seen.snapshot, seen.at)

    def _open(
        self, found: Mapping[int, Surveyed], held: list[int]
    ) -> tuple[Observation, Transaction]:
        """Lock, then take the snapshot and read what is true at it."""
        write: dict[str, int] = {}
        read: dict[str, int] = {}
        for pgt_id in self._touched(found, held):
            write |= found[pgt_id].writes
            read |= found[pgt_id].locks
        timeout = next((one.lock_timeout for one in found.values()), None)
        locked = opening.begin(
            self._session, self._schemas, timeout, write=write, read=read, along=True
        )
        seen = self._look()
        if not set(held) <= seen.members.keys():
            raise opening.RelationsMoved
        for pgt_id in self._touched(found, held):
            member = seen.members[pgt_id]
            opening.check(locked, member.lockable.items())
            opening.hold(self._session, self._schemas, member.materialized_views)
        if sources.moved(seen, self._faults, self._followed.members) & set(held):
            raise opening.RelationsMoved
        if self._request.before_commit is not None and self._has_others(seen, held):
            raise opening.RelationsMoved
        if any(self._could_be_met(seen, held, pgt_id) for pgt_id in held):
            raise opening.RelationsMoved
        self._progress.fail_faulty(seen, held, self._faults)
        return seen, Transaction(self._session, self._schemas, seen, self._progress)

    def _look(self) -> Observation:
        """Take the snapshot; what this session knows already is not read again."""
        wanted = self._request.pgt_ids_sorted
        self._known = glance.look(self._session, self._schemas, wanted)
        if self._known is not None:
            return self._known.seen
        seen = observe(self._session, self._schemas, wanted, past=True)
        if wanted is not None:
            self._known = glance.examine(self._session, self._schemas, seen)
        return seen

    def _has_others(self, seen: Observation, held: list[int]) -> bool:
        """Whether members of the request can be refreshed that could not be a moment ago.

        A hook looks at all that was asked for, at this snapshot.
        """
        known = {*held, *self._progress.results}
        return any(
            self._request.names(one.pgt_id)
            and one.pgt_id not in known
            and self._request.standing(one) is None
            for one in seen.members.values()
        )

    def _could_be_met(self, seen: Observation, held: list[int], pgt_id: int) -> bool:
        """Whether a gate reads a table that has changes by now and can be refreshed as well."""
        return any(
            one.pgt_id not in self._progress.results and self._request.standing(one) is None
            for one in gate.unmet(seen, set(held), pgt_id)
        )

    def _touched(self, found: Mapping[int, Surveyed], held: list[int]) -> set[int]:
        """Return the members whose relations the transaction reads."""
        hooked = self._request.pgt_ids if self._request.before_commit is not None else None
        return {*held, *(hooked or ())} & found.keys()

    def _check_partitions(self, seen: Observation, held: list[int]) -> None:
        """ATTACH and DETACH go through under our locks, and the snapshot sees their rows."""
        relids = {
            source.relid
            for pgt_id in held
            for source in seen.members[pgt_id].sources
            if source.kind == "partitioned"
        }
        if relids and fingerprint.check_partitions(self._session, self._schemas, sorted(relids)):
            raise opening.RelationsMoved

    def _analyze_buffers(self, seen: Observation, held: list[int]) -> None:
        """Let the planner know buffers with many changes; not worth waiting for a lock."""
        pending = (one for pgt_id in held for one in seen.members[pgt_id].pending.values())
        if max((one.changes for one in pending), default=0) < ANALYZE_AFTER:
            return
        text = queries(self._schemas)
        grown = self._session.execute(text["grown_buffers"], {"pgt_ids": held})
        for row in grown:
            buffer = buffer_name(self._schemas, row["name"])
            self._session.execute(render(text["analyze_buffer"], relation=buffer))

    def _settle(self, seen: Observation, transaction: Transaction) -> None:
        """Write what does not belong to the refresh itself, in a transaction of its own."""
        progress = self._progress
        try:
            done = list(progress.done.values())
            bookkeeping.succeeded(self._session, self._schemas, done)
            self._record_failures(seen)
            for pgt_id, decision in progress.blows.items():
                fuse.record(
                    self._session,
                    self._schemas,
                    {pgt_id: decision},
                    held=pgt_id in progress.held,
                )
            by = self._request.initiated_by
            gate.record(self._session, self._schemas, progress.gated.values(), progress.held, by)
            for pgt_id in progress.skipped_changes:
                fuse.skipped(self._session, self._schemas, pgt_id)
            self._analyze_tables(seen)
            transaction.runner.statements.store()
            self._session.commit()
        except DatabaseError as error:
            logger.warning("status not recorded: %s", error, extra={"action": "settle_failed"})
            self._session.rollback()

    def _analyze_tables(self, seen: Observation) -> None:
        """Keep the planner's idea of tables of which a good part came or went.

        What only changed its values is autovacuum's to notice.
        """
        text = queries(self._schemas)["analyze"]
        for pgt_id, (work, outcome) in self._progress.done.items():
            moved = outcome.inserted + outcome.deleted
            if moved > max(ANALYZE_AFTER, seen.members[pgt_id].rows / 5):
                glance.forget(self._session)  # how many rows it has
                for relation in (work.member.name, *work.member.states):
                    self._session.execute(render(text, relation=relation))

    def _lose(self, held: list[int], error: DatabaseError) -> None:
        """The whole pass was rolled back: nothing of it is left but the errors."""
        progress = self._progress
        progress.take_back(list(progress.done))
        progress.failures.clear()
        progress.gated.clear()
        try:
            seen = observe(self._session, self._schemas, held)
            for pgt_id in held:
                progress.fail(seen.members[pgt_id], error)
            self._record_failures(seen)
            self._session.commit()
        except DatabaseError as second:
            raise error from second

    def _record_failures(self, seen: Observation) -> None:
        bookkeeping.failed(
            self._session,
            self._schemas,
            seen.settings,
            list(self._progress.failures.values()),
            self._request.initiated_by,
        )
