"""The runtime's ``Session`` on dbt's own connection.

A second connection would deadlock against in-transaction hooks, miss their rows, survive a
failing post-hook and not be cancelled with dbt. Invariant: after ``commit`` and ``rollback`` the
connection is in the state in which dbt's own commit leaves it, and an error inside a savepoint
does not end the transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg2
from dbt.adapters.contracts.connection import Connection
from dbt_common.exceptions import DbtRuntimeError
from psycopg2.extensions import encodings

from dbt.adapters.trickle.connections import TrickleConnectionManager
from dbt.adapters.trickle.statements import split_after_rows
from trickle_runtime.errors import DatabaseError

Row = dict[str, Any]


class DbtSession:
    """Implements ``trickle_runtime.db.session.Session`` for one call of the adapter."""

    def __init__(self, connections: TrickleConnectionManager) -> None:
        self._connections = connections

    def execute(self, sql: str, params: Mapping[str, object] | None = None) -> list[Row]:
        """Run ``sql`` in the session's transaction and return its rows."""
        connection = self._connections.get_thread_connection()
        self._begin(connection)
        if params is not None:
            sql = _bind(connection, sql, params)
        # psycopg2 keeps the result of the last statement only.
        with_rows, rest = split_after_rows(sql)
        rows = self._run(connection, with_rows)
        if rest:
            self._run(connection, rest)
        return rows

    def commit(self) -> None:
        """Commit the open transaction, dbt's or the runtime's."""
        self._end("COMMIT")

    def rollback(self) -> None:
        """Roll back the open transaction, dbt's or the runtime's."""
        self._end("ROLLBACK")

    def autocommit(self, sql: str, params: Mapping[str, object] | None = None) -> list[Row]:
        """Run one statement outside any transaction, such as VACUUM; none may be open."""
        connection = self._connections.get_thread_connection()
        handle = connection.handle
        self._connections.resynchronise(connection)
        before, handle.autocommit = handle.autocommit, True
        try:
            return self._run(connection, sql if params is None else _bind(connection, sql, params))
        finally:
            handle.autocommit = before

    def _begin(self, connection: Connection) -> None:
        """Make the server begin a transaction where none is open.

        The handle of a new connection opens on first use. ``autocommit: true`` in the profile
        would give every statement a transaction of its own.
        """
        handle = connection.handle
        self._connections.resynchronise(connection)
        if handle.autocommit and self._connections.idle(connection):
            self._send(connection, "BEGIN")

    def _end(self, command: str) -> None:
        connection = self._connections.get_thread_connection()
        if not self._connections.idle(connection):
            self._send(connection, command)
        connection.transaction_open = False

    def _run(self, connection: Connection, sql: str) -> list[Row]:
        cursor = self._send(connection, self._connections.comment(sql))
        if cursor.description is None:
            return []
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _send(self, connection: Connection, sql: str) -> Any:
        """Send ``sql`` the way dbt does: logged, with its errors, cancelled with dbt.

        dbt rolls the whole transaction back on any error if it believes one to be open; that
        would take the runtime's savepoints away.
        """
        connection.transaction_open = False
        try:
            _, cursor = self._connections.add_query(sql, auto_begin=False)
        except DbtRuntimeError as error:
            raise _translate(error) from error
        finally:
            connection.transaction_open = not self._connections.idle(connection)
        return cursor


def _bind(connection: Connection, sql: str, params: Mapping[str, object]) -> str:
    """Put the parameters into the text; then neither ``%`` nor a query comment can interfere."""
    values = {name: _adapt(value) for name, value in params.items()}
    with connection.handle.cursor() as cursor:
        return cursor.mogrify(sql, values).decode(encodings[connection.handle.encoding])


def _adapt(value: object) -> object:
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, str | bytes):
        return value
    return list(value) if isinstance(value, Sequence | frozenset | set) else value


def _translate(error: DbtRuntimeError) -> DatabaseError:
    cause = error.__cause__
    if not isinstance(cause, psycopg2.Error):
        return DatabaseError(str(error))
    diag = cause.diag
    return DatabaseError(
        diag.message_primary or str(error),
        detail=diag.message_detail,
        hint=diag.message_hint,
        sqlstate=cause.pgcode,
    )
