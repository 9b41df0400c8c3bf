"""The PostgreSQL server that the tests run on: one per worker, or one that the user names.

``--pg-bin`` chooses the programs of the embedded server; the environment variable
``TRICKLE_TEST_DSN`` names a running server, where the role may create databases and roles.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from trickle_runtime.embedded import FAST_SETTINGS, Server, bin_directory, server_version
from trickle_runtime.errors import EmbeddedServerError

DSN_VARIABLE = "TRICKLE_TEST_DSN"


class TestServer(Protocol):
    """What tests may ask of the server, ours or the user's."""

    __test__ = False
    version: str

    def dsn(self, dbname: str = ...) -> str: ...


@dataclass(frozen=True)
class ExternalServer:
    """A server that the user named; we only make and drop databases there."""

    address: str
    version: str

    def dsn(self, dbname: str = "postgres") -> str:
        return make_conninfo(self.address, dbname=dbname)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pg-bin", help="bin directory of the PostgreSQL to test on")


def pytest_report_header(config: pytest.Config) -> str:
    address = os.environ.get(DSN_VARIABLE)
    if address:
        return f"PostgreSQL: {_version_at(address)} (from {DSN_VARIABLE})"
    try:
        directory = bin_directory(config.getoption("--pg-bin"))
    except EmbeddedServerError as error:
        return f"PostgreSQL: none; {error.message}"
    return f"PostgreSQL: {server_version(directory)} (embedded)"


@pytest.fixture(scope="session")
def server(pg_bin: str | None) -> Iterator[TestServer]:
    """The server of this worker; stopped, and its files removed, at the end of the session."""
    address = os.environ.get(DSN_VARIABLE)
    if address:
        yield ExternalServer(address, _version_at(address))
    else:
        settings = {**FAST_SETTINGS, "max_prepared_transactions": "10"}
        with Server(settings=settings, pg_bin=pg_bin) as embedded:
            yield embedded


@pytest.fixture(scope="session")
def pg_bin(request: pytest.FixtureRequest) -> str | None:
    """The user's choice of programs, for tests that start a server of their own."""
    return request.config.getoption("--pg-bin")


@pytest.fixture(scope="session")
def server_major(server: TestServer) -> int:
    return int(server.version.split(".")[0])


def _version_at(address: str) -> str:
    with psycopg.connect(address) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    return str(row[0]).split()[0] if row else "unknown"
