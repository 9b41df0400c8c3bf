"""Is everything in order?

Invariant: reads only; whatever is not in order comes with the statement or command that mends it.
"""

from __future__ import annotations

from trickle_runtime.catalog import migrate
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
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
        Finding(row["checked"], row["severity"], row["message"], row["remedy"]) for row in rows
    ]
    return found or [Finding("all", "OK", "nothing is wrong")]
