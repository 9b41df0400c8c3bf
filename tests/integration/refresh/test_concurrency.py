"""Writers, long transactions and a refresher beside each other: nothing lost, exact each time."""

from __future__ import annotations

import random
import threading

import pytest

from trickle_runtime.api import Runtime
from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import connect
from trickle_runtime.db.session import Session
from trickle_runtime.errors import DatabaseError
from trickle_runtime.refresh import engine
from trickle_runtime.refresh.members import Observation

WRITERS = 8
TRANSACTIONS = 40
JOINED = """
SELECT a.id AS a, b.id AS b, a.v + b.v AS v FROM a JOIN b ON b.k = a.k WHERE a.v % 3 <> 0
"""
GROUPED = "SELECT k, count(*) AS n, sum(v) AS v, min(v) AS low FROM a GROUP BY k"
ABOVE = "SELECT n, count(*) AS groups FROM grouped GROUP BY n"
STATEMENTS = (
    "INSERT INTO {t} (k, v) SELECT {k}, {v} FROM generate_series(1, {n})",
    "UPDATE {t} SET v = v + 1 WHERE k = {k}",
    "UPDATE {t} SET k = {v} % 10 WHERE k = {k} AND v % 2 = 0",
    "DELETE FROM {t} WHERE k = {k} AND v % 4 = {n} % 4",
)


class Writer(threading.Thread):
    """Commits late, out of order, or not at all; takes rows in any order."""

    def __init__(self, dsn: str, seed: int, barrier: threading.Barrier) -> None:
        super().__init__()
        self.dsn, self.random, self.barrier = dsn, random.Random(seed), barrier
        self.committed = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        session = connect(self.dsn)
        try:
            self.barrier.wait(60)
            for _ in range(TRANSACTIONS):
                self._transaction(session)
        except BaseException as error:
            self.error = error
        finally:
            session.close()

    def _transaction(self, session: Session) -> None:
        try:
            if self.random.random() < 0.3:
                session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            for _ in range(self.random.choice((1, 1, 2, 5))):
                self._statement(session)
            if self.random.random() < 0.2:
                session.rollback()
            else:
                session.commit()
                self.committed += 1
        except DatabaseError as error:
            session.rollback()
            if not error.transient:
                raise

    def _statement(self, session: Session) -> None:
        text = self.random.choice(STATEMENTS).format(
            t=self.random.choice("ab"),
            k=self.random.randrange(10),
            v=self.random.randrange(100),
            n=self.random.randrange(1, 4),
        )
        undone = self.random.random() < 0.1
        session.execute("SAVEPOINT s" if undone else "SELECT pg_sleep(random() / 100)")
        session.execute(text)
        if undone:
            session.execute("ROLLBACK TO SAVEPOINT s")


@pytest.fixture
def tables(rt, sql):
    for name in ("a", "b"):
        sql(
            f"CREATE TABLE {name} (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, k int, v int)",
            f"INSERT INTO {name} (k, v) SELECT i % 10, i FROM generate_series(1, 50) i",
            f"CREATE INDEX ON {name} (k)",
        )
    rt.create_stream_table("public.joined", JOINED)
    rt.create_stream_table("public.grouped", GROUPED)
    rt.create_stream_table("public.above", ABOVE)
    rt.create_stream_table("public.slow", GROUPED)


def test_exact_at_every_snapshot(rt, database, tables, oracle, sql):
    barrier = threading.Barrier(WRITERS + 1)
    writers = [Writer(database, seed, barrier) for seed in range(WRITERS)]
    for writer in writers:
        writer.start()
    checked = 0
    queries = {"joined": JOINED, "grouped": GROUPED, "above": ABOVE}
    ids = {one.name: one.pgt_id for one in rt.status()}
    wrong: list[tuple[str, str, int]] = []

    def check(seen: Observation) -> None:
        for name, query in queries.items():
            different = rt.session.execute(
                f"SELECT count(*) AS n FROM ((({query}) EXCEPT ALL TABLE {name})"
                f" UNION ALL (TABLE {name} EXCEPT ALL ({query}))) d"
            )
            if different[0]["n"]:
                wrong.append((name, seen.snapshot, different[0]["n"]))

    idle, cleaner = connect(database), connect(database)
    idle.execute("INSERT INTO a (k, v) VALUES (0, 1000)")  # open all the time
    barrier.wait(60)
    while any(writer.is_alive() for writer in writers):
        outcome = engine.run_pass(
            rt.session,
            Schemas(),
            [ids[name] for name in queries],
            initiated_by="manual",
            before_commit=check,
        )
        assert {one.status for one in outcome.results.values()} <= {"completed"}, outcome
        assert wrong == [], (checked, outcome)
        checked += 1
        if checked % 3 == 0:
            Runtime(cleaner).cleanup(batch=50)
    idle.commit()
    idle.close()
    cleaner.close()
    assert [writer.error for writer in writers] == [None] * WRITERS
    assert sum(writer.committed for writer in writers) > WRITERS * TRANSACTIONS / 4
    assert checked > 3
    rt.refresh_all()
    for name in (*queries, "slow"):
        oracle(rt, name)
        assert rt.refresh(name).action == "NO_DATA"


def test_created_while_others_write(rt, database, tables, oracle, sql):
    """D13, B1: no gap between trigger and fill, though another consumer refreshes and cleans."""
    barrier = threading.Barrier(5)
    writers = [Writer(database, 100 + seed, barrier) for seed in range(4)]
    for writer in writers:
        writer.start()
    barrier.wait(60)
    other = connect(database)
    for number in range(4):
        rt.create_stream_table(f"public.c{number}", JOINED if number % 2 else GROUPED)
        Runtime(other).refresh("joined")
        Runtime(other).cleanup()
    for writer in writers:
        writer.join(120)
    other.close()
    assert [writer.error for writer in writers] == [None] * 4
    rt.refresh_all()
    for number in range(4):
        oracle(rt, f"public.c{number}")
