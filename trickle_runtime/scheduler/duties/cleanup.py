"""Delete captured changes that every stream table has consumed.

Soon after large passes as well: a delta reads a buffer from end to end, so consumed rows in it
cost time at every refresh.
"""

from __future__ import annotations

from datetime import timedelta

from trickle_runtime.capture import cleanup
from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import PsycopgSession
from trickle_runtime.scheduler import lease
from trickle_runtime.scheduler.duties.duty import Duty

SOON_AFTER = 1000  # changes brought in


def run(session: PsycopgSession, schemas: Schemas) -> int:
    """Clean the buffers up, unless another daemon is at it."""
    with lease.job(session, schemas, "cleanup", 0) as locked:
        return cleanup.cleanup(session, schemas) if locked else 0


DUTY = Duty("cleanup", timedelta(seconds=15), run)
