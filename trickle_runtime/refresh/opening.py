"""The beginning of a transaction that computes rows: locks, then the snapshot.

Invariant: no relation is read at the snapshot that was not locked before it was taken. Else a
rewrite or TRUNCATE that commits in between makes a source look empty, for good and without a
trace (LOCK takes no snapshot itself).
"""

from __future__ import annotations

from collections.abc import Iterable

from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.db.sql import quote_literal, render
from trickle_runtime.refresh.members import queries
from trickle_runtime.refresh.settings import Settings


class RelationsMoved(Exception):
    """A locked name means another relation by now, or more relations are needed: begin again."""


def begin(
    session: Session,
    schemas: Schemas,
    settings: Settings,
    *,
    write: Iterable[str],
    read: Iterable[str],
    unlimited: bool = False,
) -> dict[str, int]:
    """Open a REPEATABLE READ transaction that holds locks and has no snapshot yet.

    Ends the transaction before. Returns the locked relations with the oids that their names had
    before. The relations of ``write`` get a lock that conflicts with SHARE, by which the creation
    of a stream table above waits for passes that don't write a change log yet.
    """
    written = set(write)
    oids = _oids(session, schemas, written | set(read))
    session.commit()
    text = queries(schemas)
    statements = [
        render(
            text["begin_pass"],
            lock=quote_literal(settings.lock_timeout),
            limit="0" if unlimited else quote_literal(settings.statement_timeout),
        )
    ]
    to_write = [name for name in oids if name in written]
    to_read = [name for name in oids if name not in written]
    if to_write:
        statements.append(render(text["lock_to_write"], relations=", ".join(to_write)))
    if to_read:
        statements.append(render(text["lock_to_read"], relations=", ".join(to_read)))
    session.execute(";\n".join(statements))
    return oids


def check(
    session: Session, schemas: Schemas, locked: dict[str, int], needed: Iterable[str]
) -> None:
    """See that the locks hold what the names mean, and all that is ``needed``.

    Raises:
        RelationsMoved: when not.
    """
    if not set(needed) <= locked.keys():
        raise RelationsMoved
    parameters = {"names": list(locked), "relids": list(locked.values())}
    if session.execute(queries(schemas)["locked_as"], parameters):
        raise RelationsMoved


def _oids(session: Session, schemas: Schemas, names: set[str]) -> dict[str, int]:
    """Return the names that exist, in the order of their oids."""
    rows = session.execute(queries(schemas)["relation_oids"], {"names": sorted(names)})
    found = {row["name"]: row["relid"] for row in rows if row["relid"] is not None}
    return dict(sorted(found.items(), key=lambda one: one[1]))
