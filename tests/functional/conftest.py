"""Functional tests: dbt in this process, on a PostgreSQL of our own.

Run them apart from the other tiers, which do not import dbt:
``pytest -p dbt.tests.fixtures.project tests/functional``. The role must be a superuser, since the
suite makes roles and a database.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from _pytest.terminal import TerminalReporter
from dbt.flags import set_from_args
from dbt_common.behavior_flags import BehaviorFlagRendered
from psycopg import conninfo, sql

from tests.fix_server import TestServer
from tests.functional.conformance.counts import print_counts

set_from_args(Namespace(), None)
# For each flag of each run it walks the whole stack, which is deep under pytest.
BehaviorFlagRendered._default_source = staticmethod(lambda: "dbt.adapters.trickle.impl")

ROLES = ("dbt_test_user_1", "dbt_test_user_2", "dbt_test_user_3")
# dbt's own code and suite warn; ours must not.
THIRD_PARTY_WARNINGS = (
    "ignore::pytest.PytestRemovedIn10Warning",
    "ignore::DeprecationWarning:dbt.*",
    "ignore::DeprecationWarning:agate.*",
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
    for number, role in enumerate(ROLES, start=1):
        os.environ[f"DBT_TEST_USER_{number}"] = role
    for warning in THIRD_PARTY_WARNINGS:
        config.addinivalue_line("filterwarnings", warning)


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    if config.getoption("--counts"):
        print_counts(terminalreporter)


def pytest_addoption(parser: pytest.Parser) -> None:
    help_text = "at the end, count the tests of each suite of dbt-tests-adapter"
    parser.addoption("--counts", action="store_true", help=help_text)


@pytest.fixture(scope="session")
def dbt_database(server: TestServer, worker_id: str) -> Iterator[str]:
    """A fresh database for this process; the roles of the grants suite exist beside it."""
    name = f"trickle_dbt_{worker_id}_{os.getpid()}"
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        make = sql.SQL(
            "do $$ begin create role {0}; exception when duplicate_object or unique_violation"
            " then null; end $$"
        )
        for role in ROLES:
            connection.execute(make.format(sql.Identifier(role)))
        database = sql.Identifier(name)
        drop = sql.SQL("drop database if exists {} with (force)").format(database)
        connection.execute(drop)
        connection.execute(sql.SQL("create database {}").format(database))
        yield name
        connection.execute(drop)


@pytest.fixture(scope="class")
def dbt_profile_target(dbt_target: dict[str, object]) -> dict[str, object]:
    return dbt_target


@pytest.fixture(scope="class")
def dbt_target(server: TestServer, dbt_database: str) -> dict[str, object]:
    """The target; here under a name that no class of the suite overrides."""
    parts = conninfo.conninfo_to_dict(server.dsn())
    return {
        "type": "trickle",
        "threads": 4,
        "host": parts.get("host", "localhost"),
        "port": int(parts.get("port", 5432)),
        "user": parts.get("user", "postgres"),
        "pass": parts.get("password", "unused"),
        "dbname": dbt_database,
    }


@pytest.fixture(scope="class")
def logs_dir(tmp_path_factory: pytest.TempPathFactory, prefix: str) -> Iterator[str]:
    """dbt's logs, outside the working tree."""
    folder: Path = tmp_path_factory.mktemp("logs") / prefix
    os.environ["DBT_LOG_PATH"] = str(folder)
    yield str(folder)
    del os.environ["DBT_LOG_PATH"]
