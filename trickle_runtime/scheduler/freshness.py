"""Alerts about stream tables that have been stale for longer than they may.

Invariant: ``overdue`` is pure. A table counts as stale from the moment the daemon first saw that
it had something to do, so an alert is never early; the database keeps it from being repeated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.scheduler import lease, policy

TOLERANCE = 2  # intervals
AT_LEAST = timedelta(seconds=30)
REPEAT = timedelta(minutes=15)


@dataclass(frozen=True)
class Overdue:
    """A table that has been stale for too long."""

    pgt_id: int
    stale_for: timedelta
    interval: timedelta


def overdue(
    now: datetime, work: policy.Plan, stale_since: Mapping[int, datetime]
) -> list[Overdue]:
    """Return the tables whose oldest known change waits for more than twice their interval."""
    found: list[Overdue] = []
    for pgt_id, since in stale_since.items():
        table = work.tables.get(pgt_id)
        if table is None or table.status == "paused":
            continue
        interval = policy.effective_interval(pgt_id, work)
        if interval is not None and now - since > max(interval * TOLERANCE, AT_LEAST):
            found.append(Overdue(pgt_id, now - since, interval))
    return found


def alert(session: Session, schemas: Schemas, found: Sequence[Overdue]) -> None:
    """Send ``freshness_violated`` for each; own transaction."""
    for one in found:
        facts = {
            "stale_for_seconds": round(one.stale_for.total_seconds()),
            "interval_seconds": round(one.interval.total_seconds()),
        }
        session.execute(
            lease.queries(schemas)["alert_freshness"],
            {"pgt_id": one.pgt_id, "facts": json.dumps(facts), "repeat": REPEAT},
        )
