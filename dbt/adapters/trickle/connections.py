"""Credentials and connection manager: those of dbt-postgres, and three keys of the profile.

Invariant: ``begin`` really begins a transaction. dbt commits by sending the text ``COMMIT``, of
which psycopg2 knows nothing: it believes that it is still inside a transaction and would send no
further ``BEGIN``, so that everything after the first commit would run in autocommit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dbt.adapters.contracts.connection import Connection, ConnectionState
from dbt.adapters.postgres.connections import PostgresConnectionManager, PostgresCredentials
from dbt_common.dataclass_schema import StrEnum
from psycopg2.extensions import STATUS_BEGIN, TRANSACTION_STATUS_IDLE


class StreamTables(StrEnum):
    """What a target makes of the models materialized as ``stream_table``."""

    maintain = "maintain"
    full = "full"
    table = "table"


@dataclass
class TrickleCredentials(PostgresCredentials):
    """A target of ``type: trickle``."""

    runtime_schema: str = "pgtrickle"
    stream_tables: StreamTables = StreamTables.maintain
    capture_schemas: list[str] = field(default_factory=list)

    @property
    def type(self) -> str:
        """Name of the adapter."""
        return "trickle"

    def _connection_keys(self) -> tuple[str, ...]:
        own = ("runtime_schema", "stream_tables", "capture_schemas")
        return (*super()._connection_keys(), *own)


class TrickleConnectionManager(PostgresConnectionManager):
    """dbt's connections, with transactions that psycopg2 knows of."""

    TYPE = "trickle"

    def begin(self) -> None:
        """Begin a transaction for dbt's next statement."""
        self.resynchronise(self.get_thread_connection())
        super().begin()

    @staticmethod
    def idle(connection: Connection) -> bool:
        """Whether the server has no transaction open on ``connection``; none has a lost one."""
        if connection.state != ConnectionState.OPEN or connection.handle.closed:
            return True
        return connection.handle.info.transaction_status == TRANSACTION_STATUS_IDLE

    def resynchronise(self, connection: Connection) -> None:
        """Tell psycopg2 that its transaction ended with the text ``COMMIT`` or ``ROLLBACK``.

        The rollback finds no transaction at the server; it only resets psycopg2's own state.
        """
        if connection.state != ConnectionState.OPEN or connection.handle.closed:
            return
        handle = connection.handle
        if not handle.autocommit and handle.status == STATUS_BEGIN and self.idle(connection):
            handle.rollback()

    def comment(self, sql: str) -> str:
        """Return ``sql`` with dbt's query comment."""
        return self._add_query_comment(sql)
