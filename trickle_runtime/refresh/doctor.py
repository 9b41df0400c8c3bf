"""Is everything in order?

Invariant: reads only; whatever is not in order comes with the statement or command that mends it.
"""

from __future__ import annotations

from collections.abc import Iterator

from trickle_runtime.catalog import migrate
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session, is_direct
from trickle_runtime.errors import CatalogError
from trickle_runtime.refresh.members import queries
from trickle_runtime.refresh.result import Finding


def examine(session: Session, schemas: Schemas) -> list[Finding]:
    """Return what is not in order; one finding of severity OK where all is."""
    try:
        migrate.check(session, schemas)
    except CatalogError as error:
        return [Finding("catalog", "ERROR", error.message, error.hint)]
    rows = session.execute(queries(schemas)["doctor"])
    found = [
        *_pooler(session),
        *(Finding(row["checked"], row["severity"], row["message"], row["remedy"]) for row in rows),
    ]
    return found or [Finding("all", "OK", "nothing is wrong")]


def _pooler(session: Session) -> Iterator[Finding]:
    """Poolers announce process ids of their own, so that they can take a request to cancel."""
    if not is_direct(session):
        return
    pid = session.execute("SELECT pg_backend_pid() AS pid")[0]["pid"]
    if pid != session.announced_pid:
        yield Finding(
            "connection",
            "WARNING",
            "a pooler stands between us and the server: one that hands out connections per"
            " transaction breaks LISTEN and lets two sessions do the same work",
            "Connect the daemon to the server itself; refreshes stay right in any case.",
        )
