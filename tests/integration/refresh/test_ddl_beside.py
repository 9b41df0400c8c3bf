"""Creating, altering and dropping beside writers and refreshers: no surprise, no wrong row."""

from __future__ import annotations

import random
import threading

from trickle_runtime.api import Runtime
from trickle_runtime.db.connection import connect
from trickle_runtime.errors import (
    AlreadyExists,
    DatabaseError,
    NotActive,
    StreamTableNotFound,
    TrickleError,
)

QUERIES = {
    "g": "SELECT k, count(*) AS n, sum(v) AS v FROM a GROUP BY k",
    "o": "SELECT n, count(*) AS c FROM g GROUP BY n",
    "d": "SELECT g.k, o.c FROM g JOIN o USING (n)",
}
WIDER = "SELECT k, count(*) AS n, sum(v) AS v, max(id) AS last FROM a GROUP BY k"
TURNS = 12
EXPECTED = (AlreadyExists, NotActive, StreamTableNotFound)


class Player(threading.Thread):
    """Plays turns on a session of its own; only errors that say what others do are expected."""

    def __init__(self, dsn: str, seed: int, play) -> None:
        super().__init__()
        self.session = connect(dsn)
        self.runtime, self.random, self.play = Runtime(self.session), random.Random(seed), play
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            for _ in range(TURNS):
                self.turn()
        except BaseException as error:
            self.error = error
        finally:
            self.session.close()

    def turn(self) -> None:
        try:
            self.play(self.runtime, self.random)
        except TrickleError as error:
            self.session.rollback()
            transient = isinstance(error, DatabaseError) and error.transient
            if not (transient or isinstance(error, EXPECTED)):
                raise


def write(runtime: Runtime, dice: random.Random) -> None:
    for _ in range(10):
        key = dice.randrange(6)
        text = dice.choice(
            (
                f"INSERT INTO a (k, v) VALUES ({key}, 1), ({key}, 2)",
                f"UPDATE a SET v = v + 1 WHERE k = {key}",
                f"DELETE FROM a WHERE k = {key} AND v % 3 = 0",
            )
        )
        runtime.session.execute(text)
        runtime.session.commit()


def refresh(runtime: Runtime, dice: random.Random) -> None:
    if dice.random() < 0.5:
        runtime.refresh_all()
    else:
        name = dice.choice(list(QUERIES))
        found = runtime.verify(name)
        assert found.equal or found.note, found


def come_and_go(runtime: Runtime, dice: random.Random) -> None:
    if dice.random() < 0.5:
        runtime.create_stream_table("public.d", QUERIES["d"])
    else:
        runtime.drop_stream_table("public.d", if_exists=True)


def change(runtime: Runtime, dice: random.Random) -> None:
    move = dice.randrange(3)
    if move == 0:
        runtime.alter_stream_table("g", query=dice.choice((WIDER, QUERIES["g"])))
    elif move == 1:
        runtime.alter_stream_table("o", refresh_mode=dice.choice(("auto", "full")))
    else:
        runtime.cleanup(batch=20)


def test_all_at_once(rt, sql, database, oracle):
    sql(
        "CREATE TABLE a (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, k int, v int)",
        "INSERT INTO a (k, v) SELECT i % 6, i FROM generate_series(1, 30) i",
    )
    for name, query in QUERIES.items():
        rt.create_stream_table(f"public.{name}", query)
    plays = (write, write, refresh, refresh, come_and_go, come_and_go, change)
    players = [Player(database, seed, play) for seed, play in enumerate(plays)]
    for player in players:
        player.start()
    for player in players:
        player.join(180)
    assert [player.error for player in players] == [None] * len(players)
    assert {one.status for one in rt.refresh_all()} == {"completed"}
    for one in rt.status():
        oracle(rt, f"public.{one.name}")
    assert sql.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
