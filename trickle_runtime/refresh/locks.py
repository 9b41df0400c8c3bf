"""Session advisory locks on stream tables.

Invariant: an optimisation, which keeps workers from doing the same work twice. What keeps a
refresh right is the compare-and-set of its frontier: these locks don't survive a pooler that
hands out connections per transaction.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session, run_alone
from trickle_runtime.errors import DatabaseError
from trickle_runtime.refresh.members import queries


@contextmanager
def held(
    session: Session, schemas: Schemas, pgt_ids: Sequence[int], *, wait: bool
) -> Generator[list[int]]:
    """Hold the locks of the given stream tables; yield those that could be had.

    With ``wait``, wait for each up to a minute, in one order for everybody.
    """
    got: list[int] = []
    try:
        if wait:
            _wait(session, schemas, pgt_ids, got)
        else:
            got += _try(session, schemas, pgt_ids)
        yield got
    finally:
        _release(session, schemas, got)


def lock_log(session: Session, schemas: Schemas, pgt_id: int) -> None:
    """Let no other reader of a change log come or go until the transaction ends."""
    parameters = {"space": space(schemas), "pgt_id": pgt_id}
    session.execute(queries(schemas)["log_lock"], parameters)


def space(schemas: Schemas) -> int:
    """Return the first half of the lock's key: catalogs of one database don't meet."""
    return zlib.crc32(f"stream table of {schemas.prefix}".encode()) - 2**31


def _try(session: Session, schemas: Schemas, pgt_ids: Sequence[int]) -> list[int]:
    parameters = {"space": space(schemas), "pgt_ids": list(pgt_ids)}
    rows = run_alone(session, queries(schemas)["try_locks"], parameters)
    return [row["pgt_id"] for row in rows]


def _wait(session: Session, schemas: Schemas, pgt_ids: Sequence[int], got: list[int]) -> None:
    statement = queries(schemas)["wait_lock"]
    for pgt_id in sorted(pgt_ids):
        run_alone(session, statement, {"space": space(schemas), "pgt_id": pgt_id})
        got.append(pgt_id)


def _release(session: Session, schemas: Schemas, pgt_ids: Sequence[int]) -> None:
    """Let go; a lost connection has let go already."""
    if not pgt_ids:
        return
    parameters = {"space": space(schemas), "pgt_ids": list(pgt_ids)}
    try:
        session.rollback()
        run_alone(session, queries(schemas)["unlock"], parameters)
    except DatabaseError as error:
        if not error.transient:
            raise
