"""A world: random tables, stream tables on them, and a history; all of it from its seed.

Invariant: every part has random numbers of its own, so that a history does not depend on how many
numbers its queries took; PostgreSQL decides which queries are rejected.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from tests.fuzz import changes, schema, sqltypes
from tests.fuzz.grammar import conditions, queries
from tests.fuzz.grammar.gen import Column, Env, Gen, Query, Relation
from tests.fuzz.steps import Case, Step
from tests.fuzz.weights import Weights

_DEPTHS = (0, 1, 1, 2, 2, 2, 3, 3, 4)
_LARGEST = 1500  # rows of a query that is worth its time
_EMPTY = 0.3  # share that is kept of the queries without rows at first
# These empty a result by a NULL that comes, or fill it by one that goes.
_SENSITIVE = re.compile(r"NOT IN \((?:SELECT|WITH|\()|[<>=] ALL \(|NOT EXISTS")
_TIME = "3s"


@dataclass(frozen=True)
class Plan:
    """How large a world is, and what its queries are made of."""

    seed: str
    streams: int = 8
    cycles: int = 12
    weights: Weights = field(default_factory=dict)
    only_differential: bool = False


@dataclass
class World:
    """A world in the making."""

    plan: Plan
    number: int
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.tables = schema.tables(self.rng("tables"))
        rng = self.rng("rows")
        self.setup = [*sqltypes.PRELUDE]
        for table in self.tables:
            self.setup += table.ddl()
            self.setup += schema.first_rows(rng, table)
        self.relations: list[Relation] = [table.relation() for table in self.tables]
        self.queries: dict[str, Query] = {}
        self.texts: dict[str, str] = {}  # of all, also where the creation failed
        self.later: list[str] = []
        self.parts: dict[str, list[str]] = {}  # of stream tables that have a TLP partition

    def rng(self, part: str) -> random.Random:
        """Random numbers for one part of the world."""
        return random.Random(f"{self.plan.seed}/{self.number}/{part}")

    def add_views(self, connection: psycopg.Connection) -> None:
        """One or two views, sometimes."""
        rng = self.rng("views")
        for number in range(rng.choice((0, 0, 1, 1, 2))):
            found = queries.statement(self._gen(rng), rng.choice((0, 0, 1)))
            names = [f"c{i}" for i in range(1, len(found.columns) + 1)]
            text = f"CREATE VIEW v{number} ({', '.join(names)}) AS {found.sql}"
            if self._refusal(connection, found.sql) in {None, "empty"}:
                connection.execute(text)
                self.setup.append(text)
                columns = _named(found.columns, names)
                self.relations.append(Relation(f"v{number}", columns, kind="view"))

    def add_streams(self, create: Callable[[str], bool], connection: psycopg.Connection) -> None:
        """Queries that PostgreSQL takes; ``create`` makes each a stream table at once, or later.

        One in a few is a source of those that follow.
        """
        tries = self.plan.streams * (40 if self.plan.only_differential else 6)
        for number in range(tries):
            if len(self.queries) >= self.plan.streams:
                return
            rng = self.rng(f"query {number}")
            found = queries.statement(self._gen(rng), rng.choice(_DEPTHS))
            self.counts["queries generated"] += 1
            refusal = self._refusal(connection, found.sql)
            kept = 0.8 if _SENSITIVE.search(found.sql) else _EMPTY
            if refusal == "empty" and rng.random() < kept:
                refusal = None
            if refusal is not None:
                self.counts[refusal] += 1
                continue
            name = f"st_{number}"
            self.texts[name] = found.sql
            kind = rng.choices(("plain", "source", "later"), (70, 20, 10))[0]
            if kind == "later":
                self.later.append(name)
            elif not create(name):
                continue
            self.queries[name] = found
            if kind == "plain" and rng.random() < 0.05:
                self._add_parts(name, create)
            if kind == "source" and '"Mixed' not in found.sql:
                self.relations.append(Relation(name, found.columns, kind="stream"))

    def history(self) -> tuple[Step, ...]:
        """The history, for the stream tables that there are."""
        now = [name for name in self.queries if name not in self.later]
        rng = self.rng("history")
        return tuple(changes.history(rng, self.tables, now, self.later, self.plan.cycles))

    def case(self) -> Case:
        """The case so far; more stream tables join it."""
        facts = {"seed": self.plan.seed, "world": self.number}
        return Case(tuple(self.setup), self.texts, (), facts)

    def test(self, name: str) -> str:
        """A condition over the columns of a stream table, named c1, c2 …"""
        columns = self.queries[name].columns
        names = [f"c{i}" for i in range(1, len(columns) + 1)]
        relation = Relation("q", _named(columns, names))
        g = self._gen(self.rng(f"condition {name}"))
        return conditions.condition(g, Env(relation.expressions()), 1)

    def _add_parts(self, name: str, create: Callable[[str], bool]) -> None:
        """Stream tables of the rows for which a condition is true, false, and NULL."""
        whole, test = self.queries[name], self.test(name)
        names = ", ".join(f"c{i}" for i in range(1, len(whole.columns) + 1))
        parts: list[str] = []
        for letter, condition in zip("pnu", (test, f"NOT {test}", f"{test} IS NULL"), strict=True):
            part = f"{name}{letter}"
            self.texts[part] = f"SELECT * FROM ({whole.sql}) AS q({names}) WHERE {condition}"
            if create(part):
                self.queries[part] = Query(self.texts[part], whole.columns)
                parts.append(part)
        if len(parts) == 3:
            self.parts[name] = parts

    def _gen(self, rng: random.Random) -> Gen:
        return Gen(rng, list(self.relations), self.plan.weights)

    def _refusal(self, connection: psycopg.Connection, query: str) -> str | None:
        """Why a query is not used, or None."""
        try:
            with connection.transaction(force_rollback=True):
                connection.execute(f"SET LOCAL statement_timeout = '{_TIME}'")
                text = f"SELECT count(*), count(q::text) FROM ({query}\n) AS q"
                row = connection.execute(text).fetchone()
        except psycopg.Error as error:
            return _why(error)
        rows = 0 if row is None else row[0]
        return "empty" if rows == 0 else "too large" if rows > _LARGEST else None


def _named(columns: tuple[Column, ...], names: list[str]) -> tuple[Column, ...]:
    return tuple(Column(n, c.type, c.exact) for n, c in zip(names, columns, strict=True))


def _why(error: psycopg.Error) -> str:
    state = error.sqlstate or ""
    if state == "57014":
        return "too slow"
    if state[:2] in {"21", "22"}:
        return "raises"
    said = re.sub(r"[a-z]+\d+", "#", str(error).splitlines()[0])
    return f"rejected {state}: {said[:90]}"
