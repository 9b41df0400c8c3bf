"""One pass over the due members of one refresh group, as a task for a worker.

Invariant: whoever holds the lock on a group sees what others did before: a member that was
refreshed after the tick that found it due is left out.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.refresh import engine
from trickle_runtime.refresh.result import COMPLETED, FAILED, NO_DATA, RefreshResult
from trickle_runtime.scheduler import lease, policy

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of a pass; ``busy`` means that another daemon works on the group."""

    results: tuple[RefreshResult, ...] = ()
    busy: bool = False

    @property
    def rows_in(self) -> int:
        """How many changes the pass brought in."""
        return sum(result.rows_in for result in self.results)


def run(session: Session, schemas: Schemas, due: policy.Due, tick: datetime) -> Outcome:
    """Refresh the members that nobody has refreshed since ``tick``; own transactions."""
    with lease.job(session, schemas, "group", due.group) as locked:
        if not locked:
            return Outcome(busy=True)
        statement = lease.queries(schemas)["refreshed_since"]
        rows = session.execute(statement, {"pgt_ids": list(due.pgt_ids), "tick": tick})
        done = {row["pgt_id"] for row in rows}
        pgt_ids = [pgt_id for pgt_id in due.pgt_ids if pgt_id not in done]
        if not pgt_ids:
            return Outcome()
        result = engine.run_pass(session, schemas, pgt_ids, initiated_by="scheduler")
        return Outcome(tuple(result.results.values()))


def log(outcome: Outcome) -> None:
    """Log what became of a pass, one line for each table."""
    for result in outcome.results:
        _log_result(result)


def _log_result(result: RefreshResult) -> None:
    facts = {
        "stream_table": result.name,
        "mode": result.action,
        "rows_in": result.rows_in,
        "inserted": result.inserted,
        "updated": result.updated,
        "deleted": result.deleted,
        "seconds": result.duration,
        "reason": result.reason,
    }
    if result.status == FAILED:
        code = result.error.code if result.error else None
        extra = {"action": "refresh_failed", "code": code, **facts}
        logger.warning("refresh of %s failed: %s", result.name, result.reason, extra=extra)
    elif result.status == COMPLETED and result.action != NO_DATA:
        text = "refreshed %s: %s, +%d ~%d -%d in %.1f ms"
        counts = (result.inserted, result.updated, result.deleted, result.duration * 1000)
        extra = {"action": "refresh_done", **facts}
        logger.info(text, result.name, result.action, *counts, extra=extra)
    else:
        extra = {"action": "refresh_skipped", **facts}
        logger.debug("skipped %s: %s", result.name, result.reason, extra=extra)
