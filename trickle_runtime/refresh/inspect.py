"""Questions that the catalog answers by itself, in SQL.

Invariant: the same functions that users call in SQL, so answers can't disagree.
"""

from __future__ import annotations

from collections.abc import Sequence

from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Row, Session, run_alone
from trickle_runtime.refresh.members import queries


def call(session: Session, schemas: Schemas, function: str, name: str) -> list[Row]:
    """Call a function of the catalog for a stream table."""
    return session.execute(queries(schemas)[function], {"name": name})


def number(session: Session, schemas: Schemas, name: str) -> int | None:
    """Return the number of a stream table, if there is one of that name; commits."""
    rows = run_alone(session, queries(schemas)["number"], {"name": name})
    return rows[0]["pgt_id"] if rows else None


def rehome(session: Session, schemas: Schemas) -> bool:
    """Find everything again by name after a dump was restored; whether that was necessary."""
    return bool(session.execute(queries(schemas)["rehome"])[0]["moved"])


def fuse_status(session: Session, schemas: Schemas, pgt_ids: Sequence[int]) -> list[Row]:
    """Return the fuses of stream tables."""
    return session.execute(queries(schemas)["fuse_status"], {"pgt_ids": list(pgt_ids)})
