"""Nexmark's queries on tables, exact and incremental while auctions run and bids are revised."""

from __future__ import annotations

import random
import re
from pathlib import Path

import psycopg
import pytest

from tests.delta_oracle import assert_delta
from tests.oracle import assert_exact, assert_unrepaired

FILE = Path(__file__).parents[1] / "cases" / "nexmark.sql"
NAMED = re.findall(r"^-- name: (\w+)\n(.*?)(?=^-- name|\Z)", FILE.read_text(), re.M | re.S)
QUERIES = {name: text.strip() for name, text in NAMED}
SETUP = """
CREATE TABLE person (id int PRIMARY KEY, name text, city text, state text, date_time timestamp);
CREATE TABLE auction (id int PRIMARY KEY, item text, seller int, category int,
    date_time timestamp, expires timestamp);
CREATE TABLE bid (auction int, bidder int, price int, channel text, url text,
    date_time timestamp, extra text);
CREATE TABLE side (key int PRIMARY KEY, value text);
CREATE INDEX ON bid (auction);
INSERT INTO side SELECT i, 'v' || i FROM generate_series(0, 3) i;
"""
CYCLES = 5


class Market:
    """Events as Nexmark's generator makes them, and corrections, which it does not make."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.people = self.auctions = 0

    def statements(self) -> list[str]:
        """One transaction."""
        made = [self._person() for _ in range(2)] + [self._auction() for _ in range(3)]
        made += [self._bid() for _ in range(12)]
        made.append(self._correction())
        return made

    def _time(self) -> str:
        return f"'2026-01-01'::timestamp + interval '{self.random.randint(0, 100_000)} s'"

    def _person(self) -> str:
        self.people += 1
        state = self.random.choice(["OR", "ID", "CA", "WA"])
        values = f"{self.people}, 'p{self.people % 5}', 'c', '{state}', {self._time()}"
        return f"INSERT INTO person VALUES ({values})"

    def _auction(self) -> str:
        self.auctions += 1
        seller, category = self.random.randint(1, self.people), self.random.randint(1, 3)
        return (
            f"INSERT INTO auction SELECT {self.auctions}, 'i', {seller}, {category}, t,"
            f" t + interval '9 h' FROM (SELECT {self._time()}) x (t)"
        )

    def _bid(self) -> str:
        auction, bidder = self.random.randint(1, self.auctions), self.random.randint(1, 4)
        channel = self.random.choice(["apple", "Google", "baidu"])
        url = self.random.choice(["https://a.b/x/y/z?&channel_id=7", "https://a.b/q/r", "none"])
        price, extra = self.random.randint(1, 600), self.random.choice(["abc", "ccc", ""])
        return (
            f"INSERT INTO bid VALUES ({auction}, {bidder}, {price}, '{channel}', '{url}',"
            f" {self._time()}, '{extra}')"
        )

    def _correction(self) -> str:
        few = self.random.randint(1, 4)
        some = f"ctid IN (SELECT ctid FROM bid ORDER BY price, ctid LIMIT {few})"
        return self.random.choice(
            [
                f"DELETE FROM bid WHERE {some}",
                f"UPDATE bid SET price = price * 2 WHERE {some}",
                "UPDATE auction SET expires = expires - interval '1 h' WHERE id % 4 = 1",
                "UPDATE auction SET category = category % 3 + 1 WHERE id % 5 = 0",
                "DELETE FROM person WHERE id % 7 = 3",
                "UPDATE side SET value = value || 'x' WHERE key = 2",
            ]
        )


@pytest.fixture
def writer(database):
    with psycopg.connect(database) as connection:
        connection.execute(SETUP)
        connection.commit()
        yield connection


def test_all_queries(rt, writer):
    market = Market(20261125)
    _write(writer, market)
    for name, query in QUERIES.items():
        info = rt.create_stream_table(f"public.{name}", query, schedule="1h")
        assert info.effective_mode == "differential", (name, info.reasons)
        assert not any(reason.message.startswith("recomputed") for reason in info.reasons), name
    for _ in range(CYCLES):
        _write(writer, market)
        for name in QUERIES:
            assert_delta(rt, f"public.{name}")
            result = rt.refresh(f"public.{name}", mode="differential")
            assert_unrepaired(result)
            assert result.action == "DIFFERENTIAL" or name in {"q3", "q8", "q13"}, (name, result)
            assert_exact(rt, f"public.{name}")


def _write(writer: psycopg.Connection, market: Market) -> None:
    for _ in range(2):
        for statement in market.statements():
            writer.execute(statement)
        writer.commit()
