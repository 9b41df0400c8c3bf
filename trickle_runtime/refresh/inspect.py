"""Questions that the catalog answers by itself, in SQL.

Invariant: the same functions that users call in SQL, so answers can't disagree.
"""

from __future__ import annotations

from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Row, Session
from trickle_runtime.refresh.members import queries


def call(session: Session, schemas: Schemas, function: str, name: str) -> list[Row]:
    """Call a function of the catalog for a stream table."""
    return session.execute(queries(schemas)[function], {"name": name})


def fuse_status(session: Session, schemas: Schemas, pgt_id: int | None) -> list[Row]:
    """Return the fuses, of one stream table where ``pgt_id`` is given."""
    return session.execute(queries(schemas)["fuse_status"], {"pgt_id": pgt_id})
