"""Sources and small helpers for the tests of the refresh engine."""

from __future__ import annotations

import pytest

from tests.fix_db import spied
from trickle_runtime.api import Runtime
from trickle_runtime.db.connection import connect
from trickle_runtime.db.session import Row


class Sql:
    """Runs statements that commit at once, on a session of its own."""

    def __init__(self, session):
        self.session = session

    def __call__(self, *statements: str) -> list[Row]:
        rows: list[Row] = []
        for statement in statements:
            rows = self.session.execute(statement)
        self.session.commit()
        return rows

    def value(self, query: str):
        rows = self(query)
        return next(iter(rows[0].values())) if rows else None


@pytest.fixture
def sql(database):
    session = connect(database)
    yield Sql(session)
    session.close()


@pytest.fixture
def other(database):
    """A second runtime on the same database."""
    session = connect(database)
    yield Runtime(session)
    session.close()


@pytest.fixture
def sent(rt, monkeypatch):
    """What the runtime's session sends from here on, a text for each round trip."""
    return spied(rt.session, monkeypatch)


@pytest.fixture
def orders(sql):
    sql(
        "CREATE TABLE customers (id int PRIMARY KEY, region text NOT NULL)",
        "CREATE TABLE orders (id int PRIMARY KEY, customer int, amount numeric(10,2))",
        "INSERT INTO customers SELECT i, 'r' || i % 3 FROM generate_series(1, 9) i",
        "INSERT INTO orders SELECT i, i % 9 + 1, i FROM generate_series(1, 60) i",
    )


TOTALS = """
SELECT c.region, count(*) AS n, sum(o.amount) AS total
FROM orders o JOIN customers c ON c.id = o.customer GROUP BY c.region
"""
