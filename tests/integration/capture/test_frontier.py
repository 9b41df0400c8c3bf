"""Frontiers: late commits, long and prepared transactions, savepoints, consumers (C9, C26-C28)."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from trickle_runtime import errors
from trickle_runtime.capture import cleanup
from trickle_runtime.catalog.store import Store
from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import PsycopgSession

S = Schemas()


@pytest.fixture(autouse=True)
def source(write):
    write("CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 1), (2, 2)")


def test_commits_out_of_order(consumer, other, session):
    kept = consumer("t")
    early, late = other(), other()
    early.execute("INSERT INTO t VALUES (10, 0)")
    late.execute("INSERT INTO t VALUES (11, 0)")
    late.commit()
    assert kept.refresh() == "differential"
    cleanup.cleanup(session, S)
    early.commit()
    assert kept.pending().changes == 1
    assert kept.refresh() == "differential"


def test_a_long_writer_holds_back_neither_refresh_nor_cleanup(consumer, other, session, write):
    """B5."""
    kept = consumer("t")
    long_writer = other()
    long_writer.execute("INSERT INTO t VALUES (10, 0)")
    for number in range(20, 25):
        write(f"INSERT INTO t VALUES ({number}, 0)")
        assert kept.refresh() == "differential"
    assert cleanup.cleanup(session, S) == 5
    long_writer.commit()
    assert kept.refresh() == "differential"
    assert cleanup.cleanup(session, S) == 1


def test_a_long_idle_reader_holds_nothing_back(consumer, other, session, write):
    kept = consumer("t")
    reader = other()
    reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT * FROM t")
    write("INSERT INTO t VALUES (10, 0)")
    assert kept.refresh() == "differential"
    assert cleanup.cleanup(session, S) == 1


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_writers_of_all_levels(consumer, other, level):
    kept = consumer("t")
    writer = other()
    writer.execute(f"SET TRANSACTION ISOLATION LEVEL {level}; UPDATE t SET a = 5 WHERE id = 1")
    assert kept.refresh() == "nothing"
    writer.commit()
    assert kept.refresh() == "differential"


def test_many_savepoints_carry_one_stamp(consumer, other):
    kept = consumer("t")
    writer = other()
    for number in range(300):
        writer.execute(f"SAVEPOINT s{number}; INSERT INTO t VALUES ({100 + number}, 0)")
    assert kept.refresh() == "nothing"
    writer.execute("ROLLBACK TO SAVEPOINT s200")
    writer.commit()
    assert kept.pending().changes == 200
    assert kept.refresh() == "differential"


def test_prepared_transactions(consumer, other, session):
    if session.execute("SHOW max_prepared_transactions")[0]["max_prepared_transactions"] == "0":
        pytest.skip("max_prepared_transactions is 0 here")
    kept = consumer("t")
    writer = other()
    writer.execute("INSERT INTO t VALUES (10, 0); PREPARE TRANSACTION 'p'")
    writer.commit()
    assert kept.refresh() == "nothing"
    assert cleanup.cleanup(session, S) == 0
    writer.autocommit("COMMIT PREPARED 'p'")
    assert kept.refresh() == "differential"


def test_two_consumers_with_frontiers_of_their_own(consumer, session, write):
    """C28: what one has consumed is kept for the other."""
    fast, slow = consumer("t"), consumer("t", "a")
    for number in range(10, 13):
        write(f"INSERT INTO t VALUES ({number}, 0)")
        assert fast.refresh() == "differential"
        assert cleanup.cleanup(session, S) == 0
    assert slow.pending().changes == 3
    assert slow.refresh() == "differential"
    assert cleanup.cleanup(session, S) == 3


def test_dropping_one_consumer_leaves_the_other(consumer, session, write):
    """C29."""
    one, two = consumer("t"), consumer("t")
    write("INSERT INTO t VALUES (10, 0)")
    one.store.delete(one.pgt_id)
    session.commit()
    assert cleanup.cleanup(session, S) == 0
    assert two.refresh() == "differential"
    write("INSERT INTO t VALUES (11, 0)")
    assert two.refresh() == "differential"


def test_own_write_after_the_snapshot_is_pending(consumer, session):
    kept = consumer("t")
    kept.begin()
    snapshot = session.execute("SELECT pg_current_snapshot()::text AS s")[0]["s"]
    session.execute("INSERT INTO t VALUES (10, 0)")
    kept._advance(snapshot)
    session.commit()
    assert kept.pending().changes == 1


def test_advance_is_compare_and_set(consumer, other, session, until_blocked):
    """F2: a concurrent change of the status harms nobody; a concurrent refresh is noticed."""
    kept = consumer("t")
    first, second = other(), other()
    stores = [Store(first, S), Store(second, S)]
    for one in (first, second):
        one.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1")
    versions = [store.frontiers([kept.pgt_id])[kept.pgt_id].version for store in stores]
    Store(session, S).update(kept.pgt_id, status="paused")
    session.commit()
    assert stores[0].advance_frontier(kept.pgt_id, versions[0], "10:10:", {}, 1)
    blocked = until_blocked(
        second, lambda: stores[1].advance_frontier(kept.pgt_id, versions[1], "10:10:", {}, 1)
    )
    first.commit()
    with pytest.raises(errors.DatabaseError) as raised:
        blocked.result()
    assert raised.value.sqlstate == "40001"
    second.rollback()
    assert not stores[1].advance_frontier(kept.pgt_id, versions[1], "10:10:", {}, 1)


@pytest.mark.parametrize(
    "alien", ["snapshot = '900000000:900000000:'", "system_identifier = system_identifier + 1"]
)
def test_a_frontier_of_another_cluster_stops_cleanup(consumer, session, write, issues, alien):
    """B6: with higher xids, all that is pending here would look consumed."""
    kept = consumer("t")
    write("INSERT INTO t VALUES (10, 0)")
    session.execute(f"UPDATE pgtrickle.pgt_frontiers SET {alien}")
    session.commit()
    assert issues() == ["foreign_cluster"]
    assert cleanup.cleanup(session, S) == 0
    kept.fill()
    assert issues() == []
    assert cleanup.cleanup(session, S) == 1


@dataclass
class Writer:
    """One of many writers: late commits, savepoints, rollbacks."""

    session: PsycopgSession
    seed: int

    def __post_init__(self):
        self.chance = random.Random(self.seed)

    def __call__(self):
        try:
            self.transaction(self.chance.randrange(100_000))
        except errors.DatabaseError as error:
            if error.sqlstate != "40P01":
                raise
            self.session.rollback()

    def transaction(self, number):
        run = self.session.execute
        run(f"INSERT INTO t VALUES ({1000 + number}, {self.seed}) ON CONFLICT DO NOTHING")
        run("SAVEPOINT s")
        run(f"UPDATE t SET a = a + 1 WHERE id % 50 = {number % 50} AND id < 200")
        if self.chance.random() < 0.3:
            run("ROLLBACK TO s")
        run(f"DELETE FROM t WHERE id = {1000 + self.chance.randrange(100_000)}")
        self.session.rollback() if self.chance.random() < 0.2 else self.session.commit()


def test_writers_refreshers_and_cleaners_side_by_side(consumer, other, session):
    """8 writers, a refresher of two consumers that checks each delta, two cleaners."""
    session.execute("INSERT INTO t SELECT i, 0 FROM generate_series(10, 200) i")
    session.commit()
    one, two = consumer("t"), consumer("t", "a")
    stop = threading.Event()

    def until_stopped(action):
        while not stop.is_set():
            action()

    cleaners = [other(), other()]
    actions = [Writer(other(), seed) for seed in range(8)]
    actions += [lambda mine=mine: cleanup.cleanup(mine, S, 50) for mine in cleaners]
    with ThreadPoolExecutor(len(actions)) as pool:
        running = [pool.submit(until_stopped, action) for action in actions]
        try:
            for number in range(60):
                one.refresh()
                if number % 5 == 0:
                    two.refresh()
        finally:
            stop.set()
        for future in running:
            future.result()
    one.refresh()
    two.refresh()
    cleanup.cleanup(session, S)
    assert one.changes() == []
    assert session.execute(f"SELECT * FROM pgtrickle_changes.changes_{one.relid}") == []
