"""The session protocol: what the runtime needs of a database connection.

psycopg 3 implements it for the daemon, the CLI and Python users; dbt's own connection (psycopg 2)
implements it inside dbt. Invariant: nothing above this file knows which driver runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

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


@runtime_checkable
class AutocommitSession(Session, Protocol):
    """A session that can also run statements PostgreSQL forbids inside a transaction (VACUUM)."""

    def autocommit(self, sql: str, params: Mapping[str, object] | None = None) -> list[Row]:
        """Run one statement outside any transaction, in one round trip; none may be open."""
        ...


def run_last(session: Session, sql: str, params: Mapping[str, object] | None = None) -> None:
    """Run statements and commit, in one round trip where the session can."""
    if isinstance(session, AutocommitSession):
        session.execute(f"{sql};\nCOMMIT", params)
    else:
        session.execute(sql, params)
        session.commit()


def run_alone(session: Session, sql: str, params: Mapping[str, object] | None = None) -> list[Row]:
    """Run one statement in a transaction of its own, in one round trip where the session can."""
    if isinstance(session, AutocommitSession):
        session.commit()
        return session.autocommit(sql, params)
    rows = session.execute(sql, params)
    session.commit()
    return rows


@runtime_checkable
class DirectSession(Session, Protocol):
    """A session that knows which backend the other side of its socket said it was."""

    @property
    def announced_pid(self) -> int:
        """The process id in the server's first messages (manual, 55.7, BackendKeyData)."""
        ...
