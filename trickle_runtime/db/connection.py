"""A session on psycopg 3.

Invariants: the only place that sees ``psycopg.Error``, which leaves it as ``DatabaseError``; a
transaction costs no round trip of its own, because ``BEGIN`` travels with its first statement.
What is queued is sent before anything else, or, if the transaction it belongs to is rolled back,
never.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias, cast

import psycopg
from psycopg import pq
from psycopg.rows import dict_row

from trickle_runtime import errors
from trickle_runtime.db.session import Row

if TYPE_CHECKING:
    from typing_extensions import LiteralString

_Connection: TypeAlias = psycopg.Connection[Row]


def connect(dsn: str, *, application_name: str = "trickle-runtime") -> PsycopgSession:
    """Open a session; ``dsn`` is anything libpq takes, an empty one means its environment."""
    try:
        connection = psycopg.Connection[Row].connect(
            dsn,
            autocommit=True,
            row_factory=dict_row,
            cursor_factory=psycopg.ClientCursor[Row],
            fallback_application_name=application_name,
        )
    except psycopg.Error as error:
        raise errors.ConnectionFailed(str(error).strip(), sqlstate=error.sqlstate) from error
    return PsycopgSession(connection)


class PsycopgSession:
    """``Session`` on a psycopg connection in autocommit mode, with transactions sent by hand."""

    def __init__(self, connection: _Connection) -> None:
        self.connection: _Connection = connection
        self._queued: list[str] = []
        self._begun = False  # what is queued leaves a transaction open

    def execute(self, sql: str, params: Mapping[str, object] | None = None) -> list[Row]:
        """Run statements in the open transaction, or begin one; rows of the last that has any."""
        if not self._in_transaction():
            self._queued.append("BEGIN")
        return self._run(sql, params)

    def queue(self, sql: str, params: Mapping[str, object] | None = None) -> None:
        """Run statements with the next ones, in the open transaction or a new one."""
        if not self._in_transaction():
            self._queued.append("BEGIN")
            self._begun = True
        self._queued.append(self._bound(sql, params))

    def queue_alone(self, sql: str, params: Mapping[str, object] | None = None) -> None:
        """Run statements with the next ones, before them, in a transaction of their own."""
        self._refuse_transaction(sql)
        self._queued += ["BEGIN", self._bound(sql, params), "COMMIT"]

    def commit(self) -> None:
        """Commit; an error, where an earlier error has already made that impossible."""
        if self.connection.info.transaction_status == pq.TransactionStatus.INERROR:
            self.rollback()
            raise errors.DatabaseError(
                "the transaction was rolled back: one of its statements had failed",
                sqlstate="25P02",
            )
        if self._in_transaction():
            self._run("COMMIT", None)

    def rollback(self) -> None:
        """Roll back; silent on a connection that is lost, since nothing is left to undo there."""
        self._queued.clear()
        self._begun = False
        if self._in_transaction() and not self.connection.closed:
            self._run("ROLLBACK", None)

    def autocommit(self, sql: str, params: Mapping[str, object] | None = None) -> list[Row]:
        """Run one statement outside any transaction, such as VACUUM."""
        self._refuse_transaction(sql)
        if self._queued:  # several statements at once are a transaction
            self._run("", None)
        return self._run(sql, params)

    def fileno(self) -> int:
        """Return the socket, which becomes readable when a notification arrives."""
        with _translated():
            return self.connection.fileno()

    def notifications(self) -> list[str]:
        """Return the payloads of the notifications that have arrived, without waiting."""
        with _translated():
            return [notify.payload for notify in self.connection.notifies(timeout=0)]

    def cancel(self) -> None:
        """Cancel what the session is executing; for another thread to call."""
        with _translated():
            self.connection.cancel_safe(timeout=5)

    @property
    def announced_pid(self) -> int:
        """The process id that the server, or a pooler in its place, gave when it let us in."""
        return self.connection.info.backend_pid

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back by the server."""
        self.connection.close()

    def __enter__(self) -> PsycopgSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _in_transaction(self) -> bool:
        status = self.connection.info.transaction_status
        open_now = status in (pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR)
        return open_now or self._begun

    def _refuse_transaction(self, sql: str) -> None:
        if self._in_transaction():
            raise errors.InternalError("a transaction is open", detail=sql)

    def _bound(self, sql: str, params: Mapping[str, object] | None) -> str:
        """Return statements with their parameters put in, as the driver does on the client."""
        if params is None:
            return sql
        with _translated(), psycopg.ClientCursor(self.connection) as cursor:
            return cursor.mogrify(cast("LiteralString", sql), params)

    def _run(self, sql: str, params: Mapping[str, object] | None) -> list[Row]:
        queued, self._queued, self._begun = self._queued, [], False
        if queued:
            sql, params = ";\n".join([*queued, self._bound(sql, params)]), None
        # The text is not literal for the type checker; where it may come from is rule 5.2 of the
        # house (three homes of SQL), and lint rule S608 watches over it.
        with _translated(), self.connection.cursor() as cursor:
            cursor.execute(cast("LiteralString", sql), params)
            rows: list[Row] = []
            while True:
                if cursor.pgresult is not None and cursor.pgresult.nfields:
                    rows = cursor.fetchall()
                if not cursor.nextset():
                    return rows


@contextmanager
def _translated() -> Generator[None]:
    """Turn ``psycopg.Error`` into ``DatabaseError``."""
    try:
        yield
    except psycopg.Error as error:
        raise _database_error(error) from error


def _database_error(error: psycopg.Error) -> errors.DatabaseError:
    diagnostic = error.diag
    sqlstate = error.sqlstate
    if sqlstate is None and not isinstance(error, psycopg.OperationalError):
        # The driver refused (a parameter is missing, a type can't be bound): no retry helps.
        sqlstate = "XX000"
    return errors.DatabaseError(
        diagnostic.message_primary or str(error).strip(),
        detail=_detail(diagnostic),
        hint=diagnostic.message_hint,
        sqlstate=sqlstate,
    )


def _detail(diagnostic: psycopg.errors.Diagnostic) -> str | None:
    parts = (diagnostic.message_detail, diagnostic.context)
    return "\n".join(part for part in parts if part) or None
