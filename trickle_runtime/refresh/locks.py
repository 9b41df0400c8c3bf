"""Session advisory locks on stream tables.

Invariant: an optimisation, which keeps workers from doing the same work twice. What keeps a
refresh right is the compare-and-set of its frontier: these locks don't survive a pooler that
hands out connections per transaction.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

from trickle_runtime.config import Schemas
from trickle_runtime.db.session import QueueingSession, Session, run_alone, run_last
from trickle_runtime.errors import DatabaseError
from trickle_runtime.refresh.members import queries

BUSY = "PT002"  # SQLSTATE of ``pgt_hold``: another session has one of the locks


class Busy(Exception):
    """Another session has one of the locks that were expected to be free."""


class Held:
    """The locks of some stream tables that this session has."""

    def __init__(self, session: Session, schemas: Schemas) -> None:
        self.pgt_ids: list[int] = []
        self._session = session
        self._parameters = {"space": space(schemas), "pgt_ids": self.pgt_ids}
        self._unlock = queries(schemas)["unlock"]

    def commit(self, sql: str, params: Mapping[str, object], *, keep: bool) -> None:
        """Run statements, commit, and unless ``keep`` let go: in one round trip if possible."""
        then = "" if keep else self._unlock
        if run_last(self._session, sql, {**params, **self._parameters}, then=then):
            self.pgt_ids.clear()

    def release(self) -> None:
        """Let go; a lost connection has let go already."""
        if not self.pgt_ids:
            return
        try:
            self._session.rollback()
            run_alone(self._session, self._unlock, self._parameters)
        except DatabaseError as error:
            if not error.transient:
                raise


@contextmanager
def held(
    session: Session, schemas: Schemas, pgt_ids: Sequence[int], *, wait: bool
) -> Generator[Held]:
    """Hold the locks of the given stream tables, or of those that could be had.

    With ``wait``, wait for each up to a minute, in one order for everybody.
    """
    found = Held(session, schemas)
    try:
        if wait:
            _wait(session, schemas, pgt_ids, found.pgt_ids)
        else:
            found.pgt_ids += _try(session, schemas, pgt_ids)
        yield found
    finally:
        found.release()


@contextmanager
def expected(
    session: QueueingSession, schemas: Schemas, pgt_ids: Sequence[int]
) -> Generator[Held]:
    """Take the locks together with the next statements.

    Raises:
        Busy: one of them could not be had, and so these statements were not run.
    """
    found = Held(session, schemas)
    found.pgt_ids += pgt_ids
    parameters = {"space": space(schemas), "pgt_ids": sorted(pgt_ids)}
    session.queue_alone(queries(schemas)["hold"], parameters)
    try:
        yield found
    except DatabaseError as error:
        if error.sqlstate != BUSY:
            raise
        found.pgt_ids.clear()
        session.rollback()
        raise Busy from error
    finally:
        found.release()


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
