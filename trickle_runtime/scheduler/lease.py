"""Who is at work: the daemon's row in ``pgt_workers``, and locks on single jobs.

Invariant: time is the database's. A row says that a daemon lives, and binds nobody; a job is
bound by a session-level advisory lock, which the server releases with the session, so a daemon
that dies holds nothing up. Even two daemons on one job lose nothing: the frontier is advanced by
compare-and-set.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import metadata

from trickle_runtime.catalog.store import Store
from trickle_runtime.config import Schemas
from trickle_runtime.db import sql
from trickle_runtime.db.session import Session
from trickle_runtime.errors import DatabaseError

SILENT_FOR = "1 minute"  # six heartbeats


@dataclass(frozen=True)
class Worker:
    """One running daemon."""

    schemas: Schemas
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    worker_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def beat(self, session: Session) -> None:
        """Write or renew the row, and remove those of daemons long silent; own transaction.

        Rows of the dead would mislead people, and dbt, which looks whether a daemon is there.
        """
        store = Store(session, self.schemas)
        store.heartbeat(self.worker_id, self.host, self.pid, metadata.version("dbt-trickle"))
        store.remove_workers(None, silent_for=SILENT_FOR)
        session.commit()

    def leave(self, session: Session) -> None:
        """Remove the row; own transaction."""
        Store(session, self.schemas).remove_workers(self.worker_id, silent_for=SILENT_FOR)
        session.commit()


@contextmanager
def job(session: Session, schemas: Schemas, kind: str, number: int) -> Generator[bool]:
    """Hold the lock on a job; yields whether this session got it. Takes own transactions."""
    key = {"kind": kind, "number": number % 2**31}
    locked = bool(session.execute(queries(schemas)["try_lock"], key)[0]["locked"])
    try:
        yield locked
    finally:
        if locked:
            with suppress(DatabaseError):  # the session is lost, and the lock with it
                session.rollback()
                session.execute(queries(schemas)["unlock"], key)


def queries(schemas: Schemas) -> dict[str, str]:
    """Return the statements of the daemon."""
    return sql.load_queries("scheduler/queries.sql", schemas)
