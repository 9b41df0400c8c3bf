"""Random graphs of stream tables under random work: always equal to their queries."""

from __future__ import annotations

import random

import pytest

from trickle_runtime.errors import NotActive
from trickle_runtime.refresh import engine

STEPS = 25
SEEDS = 6
QUERIES = {
    "joined": "SELECT a.id AS a, b.id AS b, a.v + b.v AS v FROM a JOIN b ON b.k = a.k",
    "grouped": "SELECT k, count(*) AS n, sum(v) AS v, max(v) AS top FROM a GROUP BY k",
    "bags": "SELECT k % 3 AS k, v % 5 AS v FROM a UNION ALL SELECT k, v FROM b WHERE v > 3",
    "keys": "SELECT DISTINCT k FROM joined JOIN grouped ON grouped.n = joined.a % 7",
    "over": "SELECT n, count(*) AS c, min(v) AS low FROM grouped GROUP BY n",
    "pair": "SELECT g.k, g.n, o.c FROM grouped g JOIN over o ON o.n = g.n",
    "whole": "SELECT count(*) AS n, sum(v) AS v FROM bags",
    "last": "SELECT b.k, b.c, w.n FROM pair b, whole w WHERE b.k IS NOT NULL",
}


class Game:
    """Moves that a user, dbt or a daemon could make."""

    def __init__(self, rt, sql, seed: int) -> None:
        self.rt, self.sql, self.random = rt, sql, random.Random(seed)
        self.moves = [
            *[self.write] * 8,
            *[self.refresh_one] * 3,
            *[self.refresh_some] * 3,
            *[self.refresh_all] * 2,
            self.truncate,
            self.swap,
            self.full,
            self.alter,
            self.pause,
            self.resume,
            self.verify,
            self.clean,
        ]

    def move(self) -> str:
        chosen = self.random.choice(self.moves)
        chosen()
        return chosen.__name__

    def one(self) -> str:
        return self.random.choice(list(QUERIES))

    def table(self) -> str:
        return self.random.choice("ab")

    def write(self) -> None:
        table, key = self.table(), self.random.choice(("NULL", *map(str, range(6))))
        texts = (
            f"INSERT INTO {table} (k, v) SELECT {key}, i FROM generate_series(1, 3) i",
            f"UPDATE {table} SET v = v + 1 WHERE k IS NOT DISTINCT FROM {key}",
            f"UPDATE {table} SET k = {key} WHERE v % 4 = 1",
            f"DELETE FROM {table} WHERE k IS NOT DISTINCT FROM {key}",
            "UPDATE a SET v = v - 1; DELETE FROM b WHERE v % 3 = 0; DELETE FROM a WHERE k = 2",
        )
        self.sql(self.random.choice(texts))

    def refresh_one(self) -> None:
        name = self.one()
        if self.rt.status(name)[0].status == "paused":
            with pytest.raises(NotActive):
                self.rt.refresh(name)
        else:
            self.rt.refresh(name)

    def refresh_some(self) -> None:
        ids = [one.pgt_id for one in self.rt.status()]
        chosen = self.random.sample(ids, self.random.randint(1, 4))
        outcome = engine.run_pass(
            self.rt.session, self.rt.schemas, chosen, initiated_by="scheduler"
        )
        assert {one.status for one in outcome.results.values()} <= {"completed", "skipped"}

    def refresh_all(self) -> None:
        assert {one.status for one in self.rt.refresh_all()} <= {"completed", "skipped"}

    def truncate(self) -> None:
        self.sql(f"TRUNCATE {self.table()}")

    def swap(self) -> None:
        table = self.table()
        self.sql(
            f"CREATE TABLE {table}_new (LIKE {table} INCLUDING ALL)",
            f"INSERT INTO {table}_new SELECT * FROM {table} WHERE v % 5 <> 2",
            f"ALTER TABLE {table} RENAME TO {table}_old",
            f"ALTER TABLE {table}_new RENAME TO {table}",
            f"DROP TABLE {table}_old CASCADE",
        )

    def full(self) -> None:
        mode = self.random.choice(("full", "auto", "differential"))
        self.rt.alter_stream_table(self.one(), refresh_mode=mode)

    def alter(self) -> None:
        name = self.one()
        extra = self.random.choice((" ", " -- the same", "\n"))
        self.rt.alter_stream_table(name, query=QUERIES[name] + extra)

    def pause(self) -> None:
        self.rt.pause(self.one())

    def resume(self) -> None:
        for name in QUERIES:
            self.rt.resume(name)

    def verify(self) -> None:
        for one in self.rt.verify_all():
            assert one.equal or one.note, one

    def clean(self) -> None:
        self.rt.cleanup(batch=20)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_work(rt, sql, oracle, seed):
    sql("CREATE SEQUENCE ids")
    for name in "ab":
        sql(
            f"CREATE TABLE {name} (id int PRIMARY KEY DEFAULT nextval('ids'), k int, v int)",
            f"INSERT INTO {name} (k, v) SELECT nullif(i % 6, 5), i FROM generate_series(1, 20) i",
        )
    for name, query in QUERIES.items():
        rt.create_stream_table(f"public.{name}", query)
    game = Game(rt, sql, seed)
    played: list[str] = []
    for step in range(STEPS):
        played.append(game.move())
        if step % 8 == 7 or step == STEPS - 1:
            game.resume()
            results = rt.refresh_all()
            assert {one.status for one in results} == {"completed"}, (played, results)
            for name in QUERIES:
                oracle(rt, f"public.{name}")
