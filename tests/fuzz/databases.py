"""A server of our own, and databases copied from a template with the catalog.

Invariant: a case finds its database as it was made; nothing of another case is left in it.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from typing import Any, Protocol

import psycopg
from psycopg import sql

from trickle_runtime.catalog import migrate
from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import connect
from trickle_runtime.embedded import FAST_SETTINGS, Server

# Nothing in the background may move rows about, or take time.
_SETTINGS = {"autovacuum": "off", "max_connections": "40", "shared_buffers": "256MB"}


class Dsns(Protocol):
    """What is needed of a server."""

    def dsn(self, dbname: str = ...) -> str: ...


class Databases:
    """Makes and drops databases, on a connection that stays open."""

    def __init__(self, server: Dsns) -> None:
        self._server = server
        self._admin: psycopg.Connection[Any] = psycopg.connect(server.dsn(), autocommit=True)
        self._numbers = count(1)
        self._template = f"fuzz_template_{os.getpid()}"
        self._run("CREATE DATABASE {}", self._template)
        with connect(server.dsn(self._template)) as session:
            migrate.install(session, Schemas())
            session.commit()

    @contextmanager
    def database(self) -> Generator[str]:
        """A database with the catalog, as a connection string."""
        name = f"fuzz_{os.getpid()}_{next(self._numbers)}"
        self._run("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, self._template)
        try:
            yield self._server.dsn(name)
        finally:
            self._run("DROP DATABASE {} WITH (FORCE)", name)

    def close(self) -> None:
        """Drop the template and close the connection."""
        self._run("DROP DATABASE {}", self._template)
        self._admin.close()

    def _run(self, statement: str, *names: str) -> None:
        self._admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextmanager
def served(pg_bin: str | None = None) -> Generator[Databases]:
    """Databases on a server that ends with the block."""
    with Server(settings={**FAST_SETTINGS, **_SETTINGS}, pg_bin=pg_bin) as server:
        databases = Databases(server)
        try:
            yield databases
        finally:
            databases.close()
