"""The beginning of a transaction that computes rows: locks, then the snapshot.

Invariant: no relation is read at the snapshot that was not locked before it was taken. Else a
rewrite or TRUNCATE that commits in between makes a source look empty, for good and without a
trace (LOCK takes no snapshot itself).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TypeVar

from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session, run_along
from trickle_runtime.db.sql import quote_literal, render
from trickle_runtime.errors import DatabaseError, RefreshError
from trickle_runtime.refresh.members import queries
from trickle_runtime.refresh.settings import Settings

T = TypeVar("T")
Relations = Mapping[str, int]  # qualified, quoted names with oids

ATTEMPTS = 10
IN_THE_WAY = frozenset({"55P03", "40P01", "40001"})  # lock, deadlock, serialization
GONE = frozenset({"42P01", "3F000"})  # undefined table, invalid schema name


class RelationsMoved(RefreshError):
    """A locked name means another relation by now, or more relations are needed: begin again."""

    def __init__(self, message: str = "the relations of a refresh keep changing") -> None:
        super().__init__(message, hint="Try again when that has ended.")


def begin(
    session: Session,
    schemas: Schemas,
    lock_timeout: str | None,
    *,
    write: Relations,
    read: Relations,
    along: bool = False,
) -> Relations:
    """Open a REPEATABLE READ transaction that holds locks and has no snapshot yet.

    Ends the transaction before; returns what is locked. The relations of ``write`` get a lock that
    conflicts with SHARE, by which the creation of a stream table above waits for passes that don't
    write a change log yet. ``lock_timeout`` is the setting; statements have no limit so far.
    ``along``: together with the next statements, whose errors may then be those of the locks.
    """
    session.commit()
    text = queries(schemas)
    timeout = quote_literal(lock_timeout or Settings().lock_timeout)
    statements = [render(text["begin_pass"], lock=timeout)]
    if write:
        names = ", ".join(in_order(write))
        statements.append(render(text["lock_to_write"], relations=names))
    rest = {name: relid for name, relid in read.items() if name not in write}
    if rest:
        names = ", ".join(in_order(rest))
        statements.append(render(text["lock_to_read"], relations=names))
    run = partial(run_along, session) if along else session.execute
    try:
        run(";\n".join(statements))
    except DatabaseError as error:
        if error.sqlstate in GONE:  # since the survey: a drained buffer, a replaced source
            raise RelationsMoved from error
        raise
    return {**read, **write}


def check(locked: Relations, needed: Iterable[tuple[str, int]]) -> None:
    """See that what is needed is locked, and still is what its name meant.

    Raises:
        RelationsMoved: when not.
    """
    if any(locked.get(name) != relid for name, relid in needed):
        raise RelationsMoved


def hold(session: Session, schemas: Schemas, views: Relations) -> None:
    """Keep materialized views, which can't be locked before the snapshot, from being refreshed.

    Raises:
        RelationsMoved: one was, since the snapshot, and looks empty at it.
    """
    if not views:
        return
    text = queries(schemas)
    touches = [render(text["touch"], relation=name) for name in in_order(views)]
    session.execute(";\n".join(touches))
    if session.execute(text["refilled"], {"relids": list(views.values())}):
        raise RelationsMoved


def in_order(relations: Relations) -> list[str]:
    """Return names in the order in which everybody locks them."""
    return sorted(relations, key=lambda name: relations[name])


def patiently(session: Session, action: Callable[[], T]) -> T:
    """Try a transaction again while relations move or locks are in its way."""
    for attempt in range(ATTEMPTS):
        try:
            return action()
        except (RelationsMoved, DatabaseError) as error:
            session.rollback()
            again = isinstance(error, RelationsMoved) or error.sqlstate in IN_THE_WAY
            if not again or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError
