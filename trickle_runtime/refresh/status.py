"""How stream tables are, and waiting for them.

Invariant: reads only, each answer at one snapshot.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from trickle_runtime.catalog.models import StreamTable
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Row, Session
from trickle_runtime.errors import WaitTimeout
from trickle_runtime.refresh.members import queries
from trickle_runtime.refresh.result import StreamTableStatus

FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.5


def status(
    session: Session, schemas: Schemas, pgt_ids: Sequence[int] | None
) -> list[StreamTableStatus]:
    """Return the state of the given stream tables, or of all."""
    ids = None if pgt_ids is None else list(pgt_ids)
    rows = session.execute(queries(schemas)["status"], {"pgt_ids": ids})
    return [_status(row) for row in rows]


def wait(session: Session, schemas: Schemas, row: StreamTable, timeout: float) -> None:
    """Return when all that is committed now has arrived in the stream table. Commits.

    Raises:
        WaitTimeout: that took longer than ``timeout`` seconds.
    """
    session.commit()
    since = session.execute(queries(schemas)["clock"])[0]["now"]
    deadline = time.monotonic() + timeout
    pause = FIRST_PAUSE_S
    while True:
        parameters = {"pgt_id": row.pgt_id, "since": since.isoformat()}
        found = session.execute(queries(schemas)["freshness"], parameters)[0]
        session.commit()
        if found["fresh"]:
            return
        if time.monotonic() >= deadline:
            stopped = ", ".join(found["stopped"] or ())
            raise WaitTimeout(
                f"{row.relation} was not fresh within {timeout:g} s",
                detail=f"Not refreshed: {stopped}." if stopped else None,
                hint="Is a daemon running? trickle-runtime status shows what is pending.",
            )
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(2 * pause, LONGEST_PAUSE_S)


def _status(row: Row) -> StreamTableStatus:
    values = dict(row)
    values["waiting_for"] = tuple(values["waiting_for"])
    values["mode_reasons"] = tuple(values["mode_reasons"])
    return StreamTableStatus(**values)
