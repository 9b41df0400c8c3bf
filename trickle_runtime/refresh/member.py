"""The refresh of one member inside the transaction of a pass.

Invariant: everything happens under a savepoint of the member, its frontier first. When ``run``
returns, content, frontier, change log and history agree; when it raises, the caller rolls back to
a savepoint and nothing of the member is left.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from trickle_runtime.compiler.result import Step
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Row, Session, run_along
from trickle_runtime.db.sql import quote_literal, render
from trickle_runtime.errors import (
    DatabaseError,
    Diverged,
    InternalError,
    RefreshError,
    TrickleError,
    UnsupportedQuery,
)
from trickle_runtime.refresh import constraints, locks, plans, policy, result
from trickle_runtime.refresh.compiled import Statements
from trickle_runtime.refresh.members import Member, Observation, buffer_name, queries
from trickle_runtime.storage import partitioning

MOVED = "PT003"  # SQLSTATE of ``pgt_advance``
CANCELED = "57014"  # by statement_timeout, or by somebody
_ON_TABLE = frozenset({"delta", "apply"})  # kinds of steps that read or write the stream table
DELTA = "pgtrickle_delta"  # the temporary table of a materialised delta


class AlreadyRefreshed(Exception):
    """The frontier moved since it was read: somebody else brought these changes in."""


@dataclass(frozen=True)
class Work:
    """What a member is to do in this pass.

    ``prepare`` is called between computing the rows and writing them: what it changes of the
    table is locked for as long as the writing takes, and no longer.
    """

    member: Member
    mode: str  # differential, full, skip (only the frontier moves)
    action: str
    reason: str | None
    changed: frozenset[int]
    upstream: Mapping[int, int]  # consumed refresh numbers after this refresh
    rows_in: int
    budget_ms: float | None = None
    prepare: Callable[[], None] | None = None


class Runner:
    """Runs members of one pass; holds what they share."""

    def __init__(
        self,
        session: Session,
        schemas: Schemas,
        seen: Observation,
        initiated_by: str,
    ) -> None:
        self.statements = Statements(session, schemas, seen)
        self._session = session
        self._schemas = schemas
        self._seen = seen
        self._initiated_by = initiated_by
        self._sql = queries(schemas)
        self._plans = plans.of(session, seen.backend_pid)
        self._only = False
        self._last: tuple[str, dict[str, object]] | None = None

    def run(self, work: Work, *, only: bool = False) -> result.RefreshResult:
        """Refresh one member, going on to a full difference where that is the way out.

        The record of the ``only`` member of a transaction travels with ``commit``.
        """
        self._only = only
        with constraints.violations(work.member.name):
            return self._run(work)

    def commit(self, held: locks.Held, *, keep: bool) -> None:
        """Commit the transaction and, unless ``keep``, let go of the locks of its members."""
        held.commit(*(self._last or ("", {})), keep=keep)

    def _run(self, work: Work) -> result.RefreshResult:
        started = time.perf_counter()
        try:
            return self._attempt(work, started)
        except (Diverged, DatabaseError, InternalError, UnsupportedQuery) as error:
            if isinstance(error, DatabaseError) and error.sqlstate == MOVED:
                raise AlreadyRefreshed from error
            again = _second_attempt(work, error, (time.perf_counter() - started) * 1000)
            if again is None:
                raise
        self._session.execute("ROLLBACK TO SAVEPOINT pgt_member")
        return self._attempt(again, started)

    def _attempt(self, work: Work, started: float) -> result.RefreshResult:
        self._advance(work)
        if work.member.append_only and work.mode == "differential":
            self._check_append_only(work)
        counts = (0, 0, 0) if work.mode == "skip" else self._run_steps(work)
        self._watch_default_partition(work.member, counts)
        duration = time.perf_counter() - started
        self._finish(work, counts, duration * 1000)
        return result.RefreshResult(
            work.member.name,
            work.action,
            work.rows_in,
            *counts,
            duration=duration,
            reason=work.reason,
        )

    def _advance(self, work: Work) -> None:
        """Set the savepoint, the settings and the frontier, together with what comes next."""
        member = work.member
        run_along(
            self._session,
            ";\n".join(["SAVEPOINT pgt_member", self._sql["advance"]]),
            {
                "pgt_id": member.pgt_id,
                "version": member.version,
                "snapshot": self._seen.snapshot,
                "system_identifier": self._seen.system_identifier,
                "upstream": json.dumps({str(key): no for key, no in work.upstream.items()}),
                "settings": json.dumps(self._settings(work)),
            },
        )

    def _settings(self, work: Work) -> dict[str, str | None]:
        """Return what the statements of a refresh run under."""
        settings: dict[str, str | None] = {
            **work.member.session_settings,
            **self._seen.places(self._schemas, work.member),
            f"{self._schemas.prefix}.refreshing": "on",
            "statement_timeout": self._seen.settings.statement_timeout,
        }
        # A delta reads few pages, most of them warm, and what it costs is rows: at the default
        # costs dimensions are scanned whole for it, or joined before the few changed rows are
        # (manual, 19.7.2). For a query over everything, NULL is the server's own setting.
        cost = "0.2" if work.mode == "differential" else None
        settings["seq_page_cost"] = settings["random_page_cost"] = cost
        return settings

    def _run_steps(self, work: Work) -> tuple[int, int, int]:
        spec = self._self_creating(work.member)
        steps = self.statements.get(
            work.member,
            work.changed if work.mode == "differential" else None,
            materialise=spec is not None,
            staged=work.prepare is not None,
        )
        deadline = None if work.budget_ms is None else time.perf_counter() + work.budget_ms / 1000
        prepare = work.prepare
        keep = work.mode == "differential" and plans.keepable(steps)
        counts = (0, 0, 0)
        for batch in _batches(steps, singly=deadline is not None or prepare is not None):
            if prepare is not None and batch[0].kind in _ON_TABLE:
                prepare()
                prepare = None
            rows = self._execute(work, batch, deadline, keep=keep)
            if batch[-1].kind == "apply":
                more = _counts(work, rows)
                counts = (counts[0] + more[0], counts[1] + more[1], counts[2] + more[2])
            elif batch[-1].kind == "delta" and spec is not None:
                partitioning.ensure_partitions(self._session, work.member.name, spec, DELTA)
        return counts

    def _execute(
        self, work: Work, batch: Sequence[Step], deadline: float | None, *, keep: bool
    ) -> list[Row]:
        limit: list[str] = []
        no_limit: list[str] = []
        if deadline is not None:
            left = max(1, int((deadline - time.perf_counter()) * 1000))
            usual = quote_literal(self._seen.settings.statement_timeout)
            limit.append(render(self._sql["limit_statements"], milliseconds=str(left)))
            no_limit.append(render(self._sql["limit_statements"], milliseconds=usual))
        if keep and self._plans is not None:
            settings = work.member.session_settings
            return self._plans.execute(
                self._session,
                self._schemas,
                batch,
                work.rows_in,
                settings,
                around=(limit, no_limit),
            )
        return self._session.execute(";\n".join([*limit, *(one.sql for one in batch), *no_limit]))

    def _self_creating(self, member: Member) -> partitioning.PartitionSpec | None:
        if member.partition_by is None:
            return None
        spec = partitioning.parse(member.partition_by, member.columns)
        return spec if spec is not None and spec.self_creating else None

    def _watch_default_partition(self, member: Member, counts: tuple[int, int, int]) -> None:
        if member.partition_by is not None and any(counts):
            spec = partitioning.parse(member.partition_by, member.columns)
            partitioning.default_growth(
                self._session, self._schemas, member.pgt_id, member.name, spec
            )

    def _check_append_only(self, work: Work) -> None:
        member = work.member
        for source in member.sources:
            for _, name in source.buffers if source.relid in work.changed else ():
                buffer = buffer_name(self._schemas, name)
                text = render(self._sql["other_than_inserts"], buffer=buffer)
                if self._session.execute(text, {"frontier": member.frontier}):
                    raise RefreshError(
                        f"{source.name} was promised to be append-only and had rows changed",
                        hint="Alter the stream table with append_only => false, or repair it.",
                    )

    def _finish(self, work: Work, counts: tuple[int, int, int], milliseconds: float) -> None:
        """Record the refresh and release the savepoint, in one round trip or with the commit."""
        member = work.member
        parts = [self._sql["record"], "RELEASE SAVEPOINT pgt_member"]
        if member.logged and not any(counts):
            parts.insert(0, self._sql["nothing_changed"])
        parameters: dict[str, object] = {
            "pgt_id": member.pgt_id,
            "action": work.action,
            "reason": work.reason,
            "initiated_by": self._initiated_by,
            "rows_in": work.rows_in,
            "inserted": counts[0],
            "updated": counts[1],
            "deleted": counts[2],
            "duration_ms": milliseconds,
        }
        if self._only:
            self._last = ";\n".join(parts), parameters
        else:
            self._session.execute(";\n".join(parts), parameters)


def _second_attempt(work: Work, error: TrickleError, spent_ms: float) -> Work | None:
    """Return the full refresh that follows a differential one that failed, if one does.

    A delta can fail where the query does not: it computes rows that came and went again.
    """
    if work.mode != "differential":
        return None
    full = replace(work, mode="full", action=result.REINITIALIZE, budget_ms=None)
    if not isinstance(error, DatabaseError):
        return replace(full, reason=error.message)
    if error.sqlstate == CANCELED and work.budget_ms is not None and spent_ms >= work.budget_ms:
        reason = f"{policy.OVER_BUDGET} of {work.budget_ms:.0f} ms for a differential refresh"
        return replace(full, action=result.FULL, reason=reason)
    if error.transient or error.sqlstate == plans.LOST:
        return None
    return replace(full, reason=f"the delta failed: {error.message}")


def _batches(steps: Sequence[Step], *, singly: bool) -> list[list[Step]]:
    """Cut the steps behind each one whose rows or effects are looked at."""
    batches: list[list[Step]] = [[]]
    for step in steps:
        batches[-1].append(step)
        if singly or step.kind in _ON_TABLE:
            batches.append([])
    return [batch for batch in batches if batch]


def _counts(work: Work, rows: list[Row]) -> tuple[int, int, int]:
    row = rows[0]
    counts = (int(row["inserted"]), int(row["updated"]), int(row["deleted"]))
    expected = row.get("expected")
    if "expected" in row and expected is None:
        raise Diverged(
            f"a sum of {work.member.name} is not a number (NaN)",
            detail="Addition does not lead back from NaN, so the query is computed.",
        )
    if expected is not None and int(expected) != sum(counts):
        raise Diverged(
            f"{work.member.name} lacks rows that its delta announced",
            detail=f"Of {expected} rows to change, {sum(counts)} were found.",
        )
    return counts
