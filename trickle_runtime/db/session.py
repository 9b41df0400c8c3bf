"""The session protocol: what the runtime needs of a database connection.

psycopg 3 implements it for the daemon, the CLI and Python users; dbt's own connection (psycopg 2)
implements it inside dbt. Invariant: nothing above this file knows which driver runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol, TypeAlias, TypeGuard

Row: TypeAlias = dict[str, Any]


class Session(Protocol):
    """One connection with one transaction at a time.

    A transaction begins with the first ``execute`` after ``commit`` or ``rollback``.
    """

    def execute(self, sql: str, params: Mapping[str, object] | None = None) -> list[Row]:
        """Run ``sql`` and return its rows.

        Several statements separated by ``;`` may be given; the rows are those of the last
        statement that returned any. Parameters are ``%(name)s``, bound on the client; with
        ``params=None`` a ``%`` in the text is an ordinary character.

        Raises:
            DatabaseError: with the SQLSTATE, for every error of the server.
        """
        ...

    def commit(self) -> None:
        """Commit the open transaction; nothing happens where none is open."""
        ...

    def rollback(self) -> None:
        """Roll the open transaction back; nothing happens where none is open."""
        ...


class AutocommitSession(Session, Protocol):
    """A session that can also run statements PostgreSQL forbids inside a transaction (VACUUM)."""

    def autocommit(self, sql: str, params: Mapping[str, object] | None = None) -> list[Row]:
        """Run one statement outside any transaction, in one round trip; none may be open."""
        ...


class QueueingSession(AutocommitSession, Protocol):
    """A session that can keep statements back, to send them together with the next ones."""

    def queue(self, sql: str, params: Mapping[str, object] | None = None) -> None:
        """Run statements right before the next ones, in the open transaction or a new one.

        Their errors are those of the next ones, which are not run then.
        """
        ...

    def queue_alone(self, sql: str, params: Mapping[str, object] | None = None) -> None:
        """The same in a transaction of their own; none may be open."""
        ...


class DirectSession(Session, Protocol):
    """A session that knows which backend the other side of its socket said it was."""

    @property
    def announced_pid(self) -> int:
        """The process id in the server's first messages (manual, 55.7, BackendKeyData)."""
        ...


def commits_itself(session: Session) -> TypeGuard[AutocommitSession]:
    """Whether a session can run statements outside a transaction, and COMMIT among others."""
    return _has(type(session), "autocommit")


def queues(session: Session) -> TypeGuard[QueueingSession]:
    """Whether a session can keep statements back."""
    return _has(type(session), "queue")


def is_direct(session: Session) -> TypeGuard[DirectSession]:
    """Whether a session knows its backend."""
    return _has(type(session), "announced_pid")


@cache  # ``isinstance`` looks at every member of a protocol, each time
def _has(kind: type, member: str) -> bool:
    return hasattr(kind, member)


def run_along(session: Session, sql: str, params: Mapping[str, object] | None = None) -> None:
    """Run statements whose rows nobody reads, together with the next where the session can."""
    if queues(session):
        session.queue(sql, params)
    else:
        session.execute(sql, params)


def run_last(
    session: Session, sql: str, params: Mapping[str, object] | None = None, *, then: str = ""
) -> bool:
    """Run statements and commit, in one round trip where the session can.

    Returns whether ``then`` was run after the commit as well, in the same round trip.
    """
    also = then if queues(session) else ""
    together = [part for part in (sql, "COMMIT", also) if part]
    if len(together) > 1 and commits_itself(session):
        session.execute(";\n".join(together), params)
    else:
        if sql:
            session.execute(sql, params)
        session.commit()
    return bool(also)


def run_alone(session: Session, sql: str, params: Mapping[str, object] | None = None) -> list[Row]:
    """Run one statement in a transaction of its own, in one round trip where the session can."""
    if commits_itself(session):
        session.commit()
        return session.autocommit(sql, params)
    rows = session.execute(sql, params)
    session.commit()
    return rows
