"""One refresh pass: members of a refresh group at one snapshot, in one transaction.

Invariant: a crash at any point leaves every member as it was before the pass or as it is after
it, its frontier included. Content, frontier, change log and history are committed together;
status, errors and counters follow in a transaction of their own, since users write those rows too.

``run_pass`` commits whatever transaction is open: a pass in a transaction that has written would
test its own rows as invisible and bring them in twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from trickle_runtime import dag
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.db.sql import render
from trickle_runtime.errors import DatabaseError, TrickleError
from trickle_runtime.refresh import bookkeeping, fuse, locks, needs, opening, sources
from trickle_runtime.refresh.members import (
    Member,
    Observation,
    buffer_name,
    lockable,
    observe,
    queries,
)
from trickle_runtime.refresh.progress import Hook, Progress, Request
from trickle_runtime.refresh.result import PassResult, RefreshResult
from trickle_runtime.refresh.settings import ANALYZE_AFTER
from trickle_runtime.refresh.transaction import Transaction

ATTEMPTS = 6
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
    faults: dict[int, TrickleError] = {}
    for _ in range(ATTEMPTS):
        try:
            return _Attempt(session, schemas, request, faults).run()
        except opening.RelationsMoved:
            session.rollback()
    raise DatabaseError("the relations of the pass keep changing", sqlstate="40001")


def run_all(session: Session, schemas: Schemas, *, initiated_by: str) -> list[RefreshResult]:
    """Refresh every stream table that has something to do, a pass for each refresh group."""
    session.commit()
    reads = observe(session, schemas, None).reads()
    session.rollback()
    results: dict[int, RefreshResult] = {}
    for group in dag.refresh_groups(reads):
        outcome = run_pass(session, schemas, group, initiated_by=initiated_by)
        results.update(outcome.results)
    return [results[pgt_id] for pgt_id in sorted(results)]


class _Attempt:
    """One attempt at a pass."""

    def __init__(
        self,
        session: Session,
        schemas: Schemas,
        request: Request,
        faults: dict[int, TrickleError],
    ) -> None:
        self._session = session
        self._schemas = schemas
        self._request = request
        self._faults = faults  # members whose sources could not be followed
        self._progress = Progress(request)

    def run(self) -> PassResult:
        """Look what there is to do, and do it."""
        seen = self._observe()
        stale = self._stale(seen)
        moved = sources.moved(seen, self._faults)
        if not stale and not moved and self._request.before_commit is None:
            self._session.rollback()
            self._progress.up_to_date(seen.members.values())
            return PassResult(self._progress.results)
        wanted = sorted(stale | moved)
        with locks.held(
            self._session, self._schemas, wanted, wait=self._request.wait
        ) as held:
            if moved & set(held):
                followed = sources.follow(
                    self._session,
                    self._schemas,
                    seen,
                    moved & set(held),
                    self._request.initiated_by,
                )
                self._faults.update(followed)
                raise opening.RelationsMoved
            for pgt_id in set(wanted) - set(held):
                self._progress.skip(seen.members[pgt_id], "another session is refreshing it")
            return self._run(seen, held)

    def _run(self, surveyed: Observation, held: list[int]) -> PassResult:
        self._analyze_buffers(surveyed, held)
        try:
            seen, transaction = self._open(surveyed, held)
            transaction.run(set(held))
            if self._request.before_commit is not None:
                self._request.before_commit(seen)
            self._session.commit()
        except DatabaseError as error:
            self._session.rollback()
            self._lose(surveyed, held, error)
            return PassResult(self._progress.results)
        self._settle(seen, transaction)
        self._progress.up_to_date(seen.members.values())
        return PassResult(self._progress.results, seen.snapshot, seen.at)

    def _open(self, surveyed: Observation, held: list[int]) -> tuple[Observation, Transaction]:
        """Lock, then take the snapshot and read everything again that the survey said."""
        written, read = self._relations(surveyed, held)
        locked = opening.begin(
            self._session, self._schemas, surveyed.settings, write=written, read=read
        )
        seen = self._observe(past=True)
        if not set(held) <= seen.members.keys():
            raise opening.RelationsMoved
        written, read = self._relations(seen, held)
        opening.check(self._session, self._schemas, locked, [*written, *read])
        if sources.moved(seen, self._faults) & set(held):
            raise opening.RelationsMoved
        self._progress.fail_faulty(seen, held, self._faults)
        return seen, Transaction(self._session, self._schemas, seen, self._progress)

    def _observe(self, *, past: bool = False) -> Observation:
        ids = self._request.pgt_ids
        return observe(
            self._session,
            self._schemas,
            None if ids is None else sorted(ids),
            ancestors=True,
            past=past,
        )

    def _stale(self, seen: Observation) -> set[int]:
        """Return the members that have something to do, or will have when those below have."""
        stale: set[int] = set()
        for pgt_id in dag.topological_order(seen.reads()):
            member = seen.members[pgt_id]
            if not self._request.includes(pgt_id) or self._request.standing(member) is not None:
                continue
            mode = self._request.mode_for(pgt_id)
            if (
                needs.assess(member, force_mode=mode) is not None
                or sources.fatal(seen, member) is not None
                or pgt_id in self._faults
                or stale & set(member.reads)
            ):
                stale.add(pgt_id)
        return stale

    def _relations(
        self, seen: Observation, held: list[int]
    ) -> tuple[list[str], list[str]]:
        """Return what the pass writes and what it reads."""
        written: list[str] = []
        read: list[str] = []
        named = self._request.pgt_ids or ()
        hooked = named if self._request.before_commit is not None else ()
        for pgt_id in {*held, *hooked} & seen.members.keys():
            member = seen.members[pgt_id]
            if member.relation is not None:
                written.append(member.relation)
            read += lockable(member, self._schemas)
        return written, read

    def _analyze_buffers(self, seen: Observation, held: list[int]) -> None:
        """Let the planner know buffers with many changes; not worth waiting for a lock."""
        large = {
            name
            for pgt_id in held
            for source in seen.members[pgt_id].sources
            for _, name in source.buffers
            if _changes(seen.members[pgt_id], source.relid) >= ANALYZE_AFTER
        }
        text = queries(self._schemas)
        for name in sorted(large):
            buffer = buffer_name(self._schemas, name)
            statement = render(text["analyze_buffer"], relation=buffer)
            try:
                self._session.execute(statement)
                self._session.commit()
            except DatabaseError as error:
                self._session.rollback()
                if not error.transient:
                    raise

    def _settle(self, seen: Observation, transaction: Transaction) -> None:
        """Write what does not belong to the refresh itself, in a transaction of its own."""
        progress = self._progress
        try:
            done = list(progress.done.values())
            bookkeeping.succeeded(self._session, self._schemas, seen.at, done)
            self._record_failures(seen)
            for pgt_id, decision in progress.blows.items():
                fuse.record(
                    self._session,
                    self._schemas,
                    {pgt_id: decision},
                    held=pgt_id in progress.held,
                )
            for pgt_id in progress.skipped_changes:
                fuse.skipped(self._session, self._schemas, pgt_id)
            transaction.runner.statements.store()
            self._session.commit()
        except DatabaseError as error:
            logger.warning("status not recorded: %s", error, extra={"action": "settle_failed"})
            self._session.rollback()

    def _lose(self, seen: Observation, held: list[int], error: DatabaseError) -> None:
        """The whole pass was rolled back: nothing of it is left but the errors."""
        progress = self._progress
        progress.take_back(list(progress.done))
        for pgt_id in held:
            progress.fail(seen.members[pgt_id], error)
        try:
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


def _changes(member: Member, relid: int) -> int:
    found = member.pending.get(relid)
    return found.changes if found else 0
