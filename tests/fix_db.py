"""Databases: one per test, copied from a template that has the catalog installed.

The runtime's modules are imported inside the fixtures, so that tests which need no database run
without them.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.fix_server import TestServer
from tests.oracle import assert_exact

if TYPE_CHECKING:
    from trickle_runtime.api import Runtime
    from trickle_runtime.db.connection import PsycopgSession


# not supported, no such object, no such syntax
_MISSING = frozenset({"0A000", "42704", "42601"})


def spied(session: PsycopgSession, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect what a session sends from here on, a text for each round trip."""
    sent: list[str] = []
    run = session._run

    def spy(text, params):
        sent.append(text)
        return run(text, params)

    monkeypatch.setattr(session, "_run", spy)
    return sent


@dataclass(frozen=True)
class Databases:
    """Makes and drops databases of this worker, on a connection that stays open."""

    server: TestServer
    connection: psycopg.Connection
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def create(self, template: str = "template0") -> str:
        name = f"trickle_{os.getpid()}_{next(self.numbers)}"
        self._run("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, template)
        return name

    def drop(self, name: str) -> None:
        self.connection.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE database = %s AND NOT active",
            [name],
        )
        self._run("DROP DATABASE {} WITH (FORCE)", name)

    def _run(self, statement: str, *names: str) -> None:
        self.connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@dataclass(frozen=True)
class RoleDatabase:
    """A database where an unprivileged role owns the runtime's schemas and ``marts``.

    ``dsn`` connects as that role, ``admin_dsn`` as a superuser, who owns everything else.
    """

    role: str
    dsn: str
    admin_dsn: str


@pytest.fixture(scope="session")
def databases(server: TestServer) -> Iterator[Databases]:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        yield Databases(server, connection)


@pytest.fixture(scope="session")
def template(databases: Databases) -> Iterator[str]:
    """The name of a database with the catalog installed."""
    name = databases.create()
    _install(databases.server.dsn(name))
    yield name
    databases.drop(name)


@pytest.fixture
def empty_database(databases: Databases) -> Iterator[str]:
    """A database without the catalog, as a connection string."""
    name = databases.create()
    yield databases.server.dsn(name)
    databases.drop(name)


@pytest.fixture
def database(databases: Databases, template: str) -> Iterator[str]:
    """A database with the catalog, as a connection string."""
    name = databases.create(template)
    yield databases.server.dsn(name)
    databases.drop(name)


@pytest.fixture
def session(database: str) -> Iterator[PsycopgSession]:
    """A session in ``database``."""
    yield from _session(database)


@pytest.fixture
def rt(session: PsycopgSession) -> Runtime:
    """The API on ``session``."""
    from trickle_runtime.api import Runtime
    from trickle_runtime.config import Schemas

    return Runtime(session, Schemas())


@pytest.fixture
def supported(session: PsycopgSession) -> Callable[[str], bool]:
    """``supported(statement)``: whether this build of the server has what the statement needs."""
    from trickle_runtime.errors import DatabaseError

    def check(statement: str) -> bool:
        try:
            session.execute(statement)
        except DatabaseError as error:
            if error.sqlstate not in _MISSING:
                raise
            return False
        finally:
            session.rollback()
        return True

    return check


@pytest.fixture(scope="session")
def role(server: TestServer) -> Iterator[str]:
    """A role with no privileges but to log in."""
    name = f"trickle_role_{os.getpid()}"
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        identifier = sql.Identifier(name)
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'trickle'").format(identifier))
        yield name
        connection.execute(sql.SQL("DROP ROLE {}").format(identifier))


@pytest.fixture(scope="session")
def role_template(databases: Databases, role: str) -> Iterator[str]:
    """The name of a database where ``role`` has installed the catalog and made ``marts``."""
    name = databases.create()
    dsn = databases.server.dsn(name)
    with psycopg.connect(dsn, autocommit=True) as connection:
        grant = "GRANT CREATE ON DATABASE {} TO {}"
        connection.execute(sql.SQL(grant).format(sql.Identifier(name), sql.Identifier(role)))
    as_role = _as_role(dsn, role)
    _install(as_role)
    with psycopg.connect(as_role, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA marts")
    yield name
    databases.drop(name)


@pytest.fixture
def role_database(databases: Databases, role_template: str, role: str) -> Iterator[RoleDatabase]:
    """A copy of ``role_template``; the role may create no schemas here (grants are not copied)."""
    name = databases.create(role_template)
    dsn = databases.server.dsn(name)
    yield RoleDatabase(role, _as_role(dsn, role), dsn)
    databases.drop(name)


@pytest.fixture
def role_session(role_database: RoleDatabase) -> Iterator[PsycopgSession]:
    """A session of the unprivileged role in ``role_database``."""
    yield from _session(role_database.dsn)


@pytest.fixture
def role_admin(role_database: RoleDatabase) -> Iterator[PsycopgSession]:
    """A superuser's session in ``role_database``, to make the sources."""
    yield from _session(role_database.admin_dsn)


@pytest.fixture(scope="session")
def oracle() -> Callable[[Runtime, str], None]:
    """``oracle(rt, name)``: fails unless the stream table equals its query, as a bag."""
    return assert_exact


def _session(dsn: str) -> Iterator[PsycopgSession]:
    from trickle_runtime.db.connection import connect

    session = connect(dsn)
    yield session
    session.close()


def _install(dsn: str) -> None:
    from trickle_runtime.catalog import migrate
    from trickle_runtime.config import Schemas
    from trickle_runtime.db.connection import connect

    session = connect(dsn)
    try:
        migrate.install(session, Schemas())
        session.commit()
    finally:
        session.close()


def _as_role(dsn: str, role: str) -> str:
    return make_conninfo(dsn, user=role, password="trickle")


@pytest.fixture
def half_detach(database: str, wait_until: Callable[..., object]) -> Callable[[str, str], None]:
    """``half_detach(table, partition)``: as a cancelled DETACH … CONCURRENTLY leaves it."""

    def detach(table: str, partition: str) -> None:
        text = f"ALTER TABLE {table} DETACH PARTITION {partition} CONCURRENTLY"
        pending = "SELECT FROM pg_inherits WHERE inhdetachpending"
        with (
            ThreadPoolExecutor() as pool,
            psycopg.connect(database, autocommit=True) as worker,
            psycopg.connect(database, autocommit=True) as watcher,
            psycopg.connect(database) as reader,
        ):
            reader.execute(f"SELECT FROM {table}")
            running = pool.submit(worker.execute, text)
            wait_until(lambda: watcher.execute(pending).fetchall())
            worker.cancel()
            with pytest.raises(psycopg.errors.QueryCanceled):
                running.result()

    return detach
