"""Random transactions over three tables with NULLs and duplicates; many stream tables on top.

All tables share the change buffers of the same three sources, one of them has no key, and some are
refreshed at every cycle while others wait: after each refresh every refreshed table equals its
query, and beforehand a sample of the deltas equals new minus old. Seeds are fixed.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.delta_oracle import assert_delta
from tests.oracle import assert_exact, assert_unrepaired

if TYPE_CHECKING:
    from trickle_runtime.api import Runtime

SETUP = """
CREATE TABLE a (x int, y int, z numeric, v numeric(8,2), s text, f float8, j json);
CREATE TABLE b (x int, y int, v numeric(8,2), s text);
CREATE TABLE c (id int PRIMARY KEY, x int NOT NULL, d date);
"""

MORE = """
CREATE TABLE e (id int, arr int[], doc jsonb, k int, t timestamptz, s text);
CREATE TABLE g (src int, dst int);
INSERT INTO g VALUES (0, 1), (1, 2), (2, 0), (1, 3);
CREATE MATERIALIZED VIEW mv AS SELECT x, count(*) AS n FROM b GROUP BY x;
"""

FOLDER = Path(__file__).parents[1] / "cases"


def _queries(name: str) -> list[str]:
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("--")]


ABOVE = "SELECT n, count(*) AS tables, sum(sv) AS sv FROM st_9 GROUP BY n"


class Changes:
    """Random statements on the three tables."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def statement(self) -> str:
        table = self.random.choice("abc")
        kind = self.random.random()
        some = f"ctid IN (SELECT ctid FROM {table} ORDER BY random() LIMIT {self._few()})"
        if kind < 0.45:
            rows = ", ".join(self._row(table) for _ in range(self._few()))
            return f"INSERT INTO {table} VALUES {rows} ON CONFLICT DO NOTHING"
        if kind < 0.65:
            return f"DELETE FROM {table} WHERE {some}"
        if kind < 0.98:
            return f"UPDATE {table} SET {self._assignment(table)} WHERE {some}"
        return f"DELETE FROM {table}"

    def _few(self) -> int:
        return self.random.randint(1, 3)

    def _small(self) -> str:
        return self.random.choice(["NULL", "0", "1", "2", "3"])

    def _number(self) -> str:
        return self.random.choice(["NULL", "1.0", "2", "0.5", "3.25", "-1", "7"])

    def _text(self) -> str:
        return self.random.choice(["NULL", "'a'", "'b'", "''", "'A'"])

    def _row(self, table: str) -> str:
        if table == "a":
            json = self.random.choice(["NULL", "'{}'", "'[1]'"])
            loose = self.random.choice(["NULL", "1.0", "1.00", "0.001"])
            return (
                f"({self._small()}, {self._small()}, {loose}, {self._number()}, {self._text()},"
                f" {self._number()}, {json})"
            )
        if table == "b":
            return f"({self._small()}, {self._small()}, {self._number()}, {self._text()})"
        day = self.random.choice(["NULL", "'2020-01-01'", "'2020-02-03'"])
        return f"({self.random.randint(1, 40)}, {self.random.randint(0, 3)}, {day})"

    def _assignment(self, table: str) -> str:
        choices = {
            "a": [
                f"x = {self._small()}",
                f"y = {self._small()}",
                f"v = {self._number()}",
                f"s = {self._text()}",
                "x = y",
                "f = f + 1",
                "z = z * 1.0",
            ],
            "b": [f"x = {self._small()}", f"v = {self._number()}", f"s = {self._text()}"],
            "c": [f"x = {self.random.randint(0, 3)}", "d = NULL", "d = d + 1"],
        }
        return self.random.choice(choices[table])


class MoreChanges(Changes):
    """Also on a table of arrays, documents and times, on a graph, and a materialized view."""

    def statement(self) -> str:
        kind = self.random.random()
        if kind < 0.18:
            return self._event()
        return self._edge() if kind < 0.35 else super().statement()

    def _event(self) -> str:
        kind = self.random.random()
        some = f"ctid IN (SELECT ctid FROM e ORDER BY random() LIMIT {self._few()})"
        if kind < 0.5:
            rows = ", ".join(self._event_row() for _ in range(self._few()))
            return f"INSERT INTO e VALUES {rows}"
        if kind < 0.75:
            return f"DELETE FROM e WHERE {some}"
        assignment = self.random.choice(
            [
                "arr = arr || 4",
                "k = k + 1",
                "doc = NULL",
                "id = id + 1",
                "t = t - interval '1 hour'",
                "s = s || 'a'",
            ]
        )
        return f"UPDATE e SET {assignment} WHERE {some}"

    def _event_row(self) -> str:
        array = self.random.choice(["NULL", "'{}'", "'{1,2}'", "'{2,NULL,3}'", "'{1,1}'"])
        document = self.random.choice(
            [
                "NULL",
                "'{}'",
                """'{"a":"b","l":[1,2,2],"r":[{"a":1,"b":"x"},{"a":null}]}'""",
                """'{"l":[],"a":"A"}'""",
                """'{"l":[{"q":1}],"r":[]}'""",
            ]
        )
        hours = self.random.choice([-50, -3, -1, 0, 1, 5])
        text = self.random.choice(["NULL", "'abac'", "'a'", "'xaya'"])
        time = f"now() + interval '{hours} hours'"
        number = self.random.randint(1, 6)
        return f"({number}, {array}, {document}, {self._small()}, {time}, {text})"

    def _edge(self) -> str:
        kind = self.random.random()
        one = "ctid IN (SELECT ctid FROM g ORDER BY random() LIMIT 1)"
        if kind < 0.5:
            ends = self.random.randint(0, 4), self.random.randint(0, 4)
            return f"INSERT INTO g VALUES {ends}"
        if kind < 0.75:
            return f"DELETE FROM g WHERE {one}"
        if kind < 0.95:
            return f"UPDATE g SET dst = {self.random.randint(0, 4)} WHERE {one}"
        return "REFRESH MATERIALIZED VIEW mv"


def _depends_on_time(query: str) -> bool:
    return "now()" in query or "current_timestamp" in query


def _prove(rt: Runtime, name: str, query: str) -> None:
    """The table equals its query; one that depends on the time, at the time of its refresh."""
    if _depends_on_time(query):
        found = rt.verify(name)
        assert found.equal, (query, str(found))
    else:
        assert_exact(rt, name)


@pytest.mark.parametrize(
    ("queries", "seed"),
    [
        ("random_queries.sql", 20261122),
        pytest.param("random_queries.sql", 7, marks=pytest.mark.once),
        ("random_queries_wide.sql", 3),
        ("random_queries_rest.sql", 20261125),
    ],
)
def test_random_changes(queries: str, seed: int, rt: Runtime, database: str) -> None:
    changes = MoreChanges(seed) if queries == "random_queries_rest.sql" else Changes(seed)
    texts = _queries(queries)
    with psycopg.connect(database) as writer:
        writer.execute(SETUP + MORE)
        for _ in range(12):
            writer.execute(changes.statement())
        writer.commit()
        names = [f"public.st_{number}" for number in range(len(texts))]
        for name, query in zip(names, texts, strict=True):
            info = rt.create_stream_table(name, query, schedule="1h")
            assert info.effective_mode == "differential", (query, info.reasons)
        if queries == "random_queries.sql":
            names.append("public.above")
            texts.append(ABOVE)
            rt.create_stream_table("public.above", ABOVE, schedule="1h")
        known = dict(zip(names, texts, strict=True))
        for cycle in range(5):
            _write(writer, changes)
            for name in changes.random.sample(names, 6):
                if not _depends_on_time(known[name]):
                    assert_delta(rt, name)
            chosen = names if cycle == 4 else changes.random.sample(names, len(names) // 2)
            for name in chosen:
                assert_unrepaired(rt.refresh(name))
            for name in chosen:
                _prove(rt, name, known[name])


def _write(writer: psycopg.Connection, changes: Changes) -> None:
    """A few transactions; every fourth is rolled back, some have a savepoint undone."""
    for _ in range(changes.random.randint(2, 5)):
        for _ in range(changes.random.randint(1, 3)):
            writer.execute(changes.statement())
        if changes.random.random() < 0.3:
            writer.execute("SAVEPOINT s")
            writer.execute(changes.statement())
            writer.execute("ROLLBACK TO SAVEPOINT s")
        if changes.random.random() < 0.25:
            writer.rollback()
        else:
            writer.commit()
