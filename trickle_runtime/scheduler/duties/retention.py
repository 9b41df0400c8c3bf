"""Delete old entries of ``pgt_refresh_history``, and requests that were answered long ago.

The setting ``history_retention`` says how old; the newest entries of a table stay, because the
fuse and the choice of the refresh mode learn from them.
"""

from __future__ import annotations

from datetime import timedelta

from trickle_runtime.catalog.store import Store
from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import PsycopgSession
from trickle_runtime.scheduler import lease
from trickle_runtime.scheduler.duties.duty import Duty

KEEP = 100
BATCH = 5000


def run(session: PsycopgSession, schemas: Schemas) -> int:
    """Delete in batches until nothing old is left; returns the number of entries."""
    statements = lease.queries(schemas)
    age = Store(session, schemas).setting("history_retention")
    deleted = len(session.execute(statements["delete_old_requests"]))
    while True:
        batch = session.execute(
            statements["delete_old_history"], {"age": age, "keep": KEEP, "batch": BATCH}
        )
        deleted += len(batch)
        if len(batch) < BATCH:
            return deleted


DUTY = Duty("retention", timedelta(hours=1), run)
