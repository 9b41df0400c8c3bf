"""How far the first fill of a stream table is, for those who wait for it.

Invariant: what is said here is committed before the phase begins and taken away by the transaction
that ends it; a row whose session is gone is a creation that can be resumed.
"""

from __future__ import annotations

import json
from typing import Any

from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.db.sql import load_queries, render
from trickle_runtime.errors import DatabaseError
from trickle_runtime.refresh.result import FillProgress

CAPTURING, FILLING = "capturing", "filling"
ROW_OVERHEAD = 28  # bytes of a row's header and line pointer
LARGEST = 2.0**62  # bytes


def capturing(session: Session, schemas: Schemas, pgt_id: int) -> None:
    """Say that the sources are being captured; the caller commits."""
    _enter(session, schemas, pgt_id, CAPTURING, None)


def filling(session: Session, schemas: Schemas, pgt_id: int, query: str) -> None:
    """Say that the table is being filled by ``query``, and how much is expected; commits."""
    _enter(session, schemas, pgt_id, FILLING, _estimate(session, schemas, query))
    session.commit()


def ended(session: Session, schemas: Schemas, pgt_id: int) -> None:
    """Say nothing more, in the transaction that ends the fill."""
    session.execute(_sql(schemas)["left"], {"pgt_id": pgt_id})


def progress(session: Session, schemas: Schemas) -> list[FillProgress]:
    """Return how far all fills are; nothing where one is just about to end."""
    try:
        rows = session.execute(_sql(schemas)["progress"])
    except DatabaseError as error:
        if not error.transient:
            raise
        session.rollback()
        return []
    return [FillProgress(**row) for row in rows]


def _enter(
    session: Session, schemas: Schemas, pgt_id: int, phase: str, plan: dict[str, Any] | None
) -> None:
    rows = None if plan is None else float(plan["Plan Rows"])
    width = 0 if plan is None else int(plan["Plan Width"])
    # PostgreSQL guesses any number for a join without a condition: no bigint, and no use.
    size = None if rows is None else int(min(rows * (width + ROW_OVERHEAD), LARGEST))
    values = {"pgt_id": pgt_id, "phase": phase, "bytes": size, "rows": rows}
    session.execute(_sql(schemas)["enter"], values)


def _estimate(session: Session, schemas: Schemas, query: str) -> dict[str, Any] | None:
    """Return the root of the plan; None where the query can't be planned before its states."""
    session.execute("SAVEPOINT pgt_estimate")
    try:
        row = session.execute(render(_sql(schemas)["estimate"], query=query))[0]
    except DatabaseError:
        session.execute("ROLLBACK TO SAVEPOINT pgt_estimate")
        return None
    session.execute("RELEASE SAVEPOINT pgt_estimate")
    found = row["QUERY PLAN"]
    plan: dict[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return plan


def _sql(schemas: Schemas) -> dict[str, str]:
    return load_queries("refresh/filling.sql", schemas)
