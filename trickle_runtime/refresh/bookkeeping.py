"""What follows the commit of a pass: status, errors, counters, alerts.

Invariant: its own transaction, READ COMMITTED, on rows that users write as well. It may be lost in
a crash: a reason to reinitialise is then answered twice, which is right, only slow.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.errors import TrickleError
from trickle_runtime.refresh import failure, result
from trickle_runtime.refresh.alerts import Alert, send
from trickle_runtime.refresh.member import Work
from trickle_runtime.refresh.members import Member, queries
from trickle_runtime.refresh.settings import RETRY_LONGEST_S, RETRY_SHORTEST_S, Settings


@dataclass(frozen=True)
class Failed:
    """A member that could not be refreshed."""

    member: Member
    action: str
    reason: str | None
    rows_in: int
    duration_ms: float
    error: TrickleError


def succeeded(
    session: Session,
    schemas: Schemas,
    done: Sequence[tuple[Work, result.RefreshResult]],
) -> None:
    """Take back what the refresh of members has made untrue; the caller commits."""
    records = [
        {
            "pgt_id": work.member.pgt_id,
            "full_refresh": outcome.action != result.DIFFERENTIAL,
            "reinit_reason": work.member.reinit_reason,
        }
        for work, outcome in done
        if work.member.unsettled
    ]
    if records:
        session.execute(queries(schemas)["succeeded"], {"done": json.dumps(records)})
    send(session, schemas, [alert for one in done for alert in _after_success(*one)])


def failed(
    session: Session, schemas: Schemas, settings: Settings, entries: Sequence[Failed], by: str
) -> None:
    """Count errors, and suspend what failed too often; the caller commits."""
    for one in entries:
        kind = failure.classify(one.error)
        rows = session.execute(
            queries(schemas)["failed"],
            {
                "pgt_id": one.member.pgt_id,
                "action": one.action,
                "reason": one.reason,
                "initiated_by": by,
                "rows_in": one.rows_in,
                "duration_ms": one.duration_ms,
                "kind": kind.kind,
                "error_code": kind.code,
                "error_message": kind.message,
                "max_errors": settings.max_consecutive_errors,
                "shortest": RETRY_SHORTEST_S,
                "longest": RETRY_LONGEST_S,
            },
        )
        status = rows[0]["status"] if rows else one.member.status
        if status != one.member.status:
            facts = {"status": status, "error": kind.message, "error_code": kind.code}
            send(session, schemas, [Alert("suspended", one.member.name, facts)])


def _after_success(work: Work, outcome: result.RefreshResult) -> list[Alert]:
    alerts: list[Alert] = []
    if work.member.status in {"suspended", "error"}:
        alerts.append(Alert("resumed", work.member.name, {"status": "active"}))
    if outcome.action == result.REINITIALIZE:
        alerts.append(Alert("reinitialized", work.member.name, {"reason": outcome.reason}))
    return alerts
