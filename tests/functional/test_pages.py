"""The tutorial and other pages do what they say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo, sql

from tests.fix_server import TestServer
from tests.functional.pages import Reader

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [
    "quickstart.md",
    "tutorial.md",
    "howto/from-incremental.md",
    "howto/from-materialized-view.md",
    "howto/from-dbt-pgtrickle.md",
]


@pytest.fixture
def reader(server: TestServer, tmp_path: Path) -> Iterator[Reader]:
    """A reader with an empty database."""
    name = f"trickle_reader_{os.getpid()}"
    database = sql.Identifier(name)
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(database))
        try:
            with psycopg.connect(server.dsn(name), autocommit=True) as connection:
                reader = Reader(tmp_path, _profile(server.dsn(name)), connection)
                try:
                    yield reader
                finally:
                    reader.close()
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(database))


def _profile(dsn: str) -> dict[str, object]:
    parts = conninfo.conninfo_to_dict(dsn)
    return {
        "type": "trickle",
        "host": str(parts.get("host", "localhost")),
        "port": int(parts.get("port", 5432)),
        "user": str(parts.get("user", "postgres")),
        "pass": str(parts.get("password", "unused")),
        "dbname": str(parts["dbname"]),
        "schema": "dev",
        "threads": 2,
    }


@pytest.mark.parametrize("page", PAGES)
def test_page(reader: Reader, page: str) -> None:
    reader.read(DOCS / page)
