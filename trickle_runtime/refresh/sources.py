"""Sources that changed otherwise than by rows: found again, captured anew, or given up.

Invariant: after ``follow`` every member it was called for is either right again (by difference, in
a transaction of its own) or has an error that says what its source lacks.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from trickle_runtime.capture import install as capturing
from trickle_runtime.capture.fingerprint import SourceIssue
from trickle_runtime.catalog.store import Store
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.errors import RowSecurity, SourceNotFound, TrickleError
from trickle_runtime.refresh import alerts, redefine, renew
from trickle_runtime.refresh.members import Member, Observation
from trickle_runtime.refresh.redefine import Change
from trickle_runtime.refresh.result import RefreshResult

FATAL = {"gone": SourceNotFound, "renamed": SourceNotFound, "row_security": RowSecurity}
REDEFINE = frozenset({"swapped", "columns_changed"})  # the query may mean something else now
HINTS = {
    "gone": "Create it again, or alter or drop the stream table.",
    "renamed": "Rename it back, or alter the stream table with a query that uses the new name.",
    "row_security": "Grant BYPASSRLS to the runtime's role, or drop the policies.",
}


def issues_of(seen: Observation, member: Member) -> list[SourceIssue]:
    """Return what is wrong with the sources of a member."""
    relids = {source.relid for source in member.sources if source.pgt_id is None}
    return [issue for issue in seen.issues if issue.relid in relids]


def fatal(seen: Observation, member: Member) -> TrickleError | None:
    """Return the error of a member that has a source it can't do without, if so."""
    for issue in issues_of(seen, member):
        if issue.kind in FATAL:
            message = f"{member.name} can't be refreshed: {issue.message}"
            return FATAL[issue.kind](message, hint=HINTS[issue.kind])
    if member.relation is None:
        return SourceNotFound(f"{member.name} does not exist any more")
    return None


def moved(
    seen: Observation, faults: Mapping[int, TrickleError], followed: Container[int] = ()
) -> set[int]:
    """Return the members whose sources, views or functions have to be followed.

    A frontier of another cluster stays one until its table is refreshed: for those that were
    ``followed`` it is no reason to do it again.
    """
    return {
        member.pgt_id
        for member in seen.members.values()
        if member.status not in {"initializing", "paused"}
        and member.pgt_id not in faults
        and fatal(seen, member) is None
        and (member.drift or _open_issues(seen, member, followed))
    }


def _open_issues(seen: Observation, member: Member, followed: Container[int]) -> bool:
    again = member.pgt_id in followed
    return any(
        not (again and issue.kind == "foreign_cluster") for issue in issues_of(seen, member)
    )


@dataclass
class Followed:
    """What came of following sources."""

    members: set[int] = field(default_factory=set[int])
    faults: dict[int, TrickleError] = field(default_factory=dict[int, TrickleError])
    outcomes: dict[int, RefreshResult] = field(default_factory=dict[int, RefreshResult])

    def add(self, other: Followed) -> None:
        """Add what came of it in another attempt."""
        self.faults |= other.faults
        self.outcomes |= other.outcomes


def follow(
    session: Session, schemas: Schemas, seen: Observation, pgt_ids: Iterable[int], by: str
) -> Followed:
    """Follow the sources of the given members, whose locks are held; commits.

    A member that was only recaptured is brought up to date by the next pass, which finds its
    marker; one whose query means the same as before only takes over new oids.
    """
    found = Followed()
    captured: set[int] = set()
    for pgt_id in sorted(pgt_ids):
        member = seen.members[pgt_id]
        issues = issues_of(seen, member)
        try:
            for issue in issues:
                if issue.relid not in captured and _needs_repair(session, schemas, seen, issue):
                    capturing.repair(session, schemas, issue.relid, issue.message)
                    captured.add(issue.relid)
            reasons = [*member.drift, *(one.message for one in issues if one.kind in REDEFINE)]
            outcome = None
            if reasons:
                outcome = _redefine(session, schemas, pgt_id, "; ".join(reasons), by)
        except TrickleError as error:
            session.rollback()
            found.faults[pgt_id] = error
            continue
        if outcome is not None:
            found.outcomes[pgt_id] = outcome
        if outcome is not None or issues:
            _announce(session, schemas, member, issues)
    return found


def _needs_repair(
    session: Session, schemas: Schemas, seen: Observation, issue: SourceIssue
) -> bool:
    """Whether the capture itself is broken: a frontier alone can be another cluster's."""
    if issue.kind == "swapped":
        return False
    source = Store(session, schemas).source(issue.relid)
    ours = source is not None and source.system_identifier == seen.system_identifier
    return issue.kind != "foreign_cluster" or not ours


def _redefine(
    session: Session, schemas: Schemas, pgt_id: int, reason: str, by: str
) -> RefreshResult | None:
    """Analyse the query again, by the names in it, and take the difference to its new meaning."""
    row = Store(session, schemas).by_id(pgt_id)
    options = redefine.options_of(row)
    change = Change(row, row.canonical_query, options, reason, by, kept_query=row.query)
    defined = redefine.analyse_change(session, schemas, change)
    if renew.renew(session, schemas, row, defined):
        return None
    return redefine.redefine(session, schemas, change, defined)


def _announce(
    session: Session, schemas: Schemas, member: Member, issues: Sequence[SourceIssue]
) -> None:
    reasons = [*member.drift, *(issue.message for issue in issues)]
    facts = {"reasons": reasons}
    alerts.send(session, schemas, [alerts.Alert("source_changed", member.name, facts)])
    session.commit()
