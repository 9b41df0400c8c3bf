"""A first fill can be watched, cancelled and resumed; nobody's writes wait for it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.integration.refresh.conftest import TOTALS
from trickle_runtime.api import Runtime
from trickle_runtime.db.connection import connect
from trickle_runtime.errors import DatabaseError, StreamTableNotFound
from trickle_runtime.refresh import fill

GATE = 4711  # an advisory lock: the fill ends when the test lets it go
SLOW = "SELECT id, amount FROM orders WHERE blocked(id) IS NOT NULL"


class Killed(BaseException):
    pass


def die(*_: object) -> None:
    raise Killed


@pytest.fixture
def killed(rt, orders, monkeypatch) -> None:
    """A creation whose program died before the fill."""
    monkeypatch.setattr(fill, "fill", die)
    with pytest.raises(Killed):
        rt.create_stream_table("public.totals", TOTALS)
    monkeypatch.undo()
    rt.session.rollback()


@pytest.fixture
def blocked(database, orders, sql) -> Iterator[Callable[[], None]]:
    """A fill in a thread, which waits in the middle; call it to let the fill end."""
    sql(
        # Whoever waits for a lock is sent away by the lock_timeout of a fill.
        "CREATE FUNCTION blocked(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
        f" 'BEGIN WHILE NOT pg_try_advisory_xact_lock_shared({GATE}) LOOP PERFORM pg_sleep(0.02);"
        " END LOOP; RETURN 1; END'"
    )
    with connect_to(database) as holder:
        holder.execute(f"SELECT pg_advisory_lock({GATE})")
        holder.commit()

        def let_go() -> None:
            holder.execute(f"SELECT pg_advisory_unlock({GATE})")
            holder.commit()

        yield let_go


class connect_to:
    def __init__(self, dsn: str) -> None:
        self.session = connect(dsn)

    def __enter__(self):
        return self.session

    def __exit__(self, *_: object) -> None:
        self.session.close()


def test_what_a_dead_program_left_is_gone_on_with(rt, other, sql, killed, oracle):
    assert sql.value("SELECT status FROM pgtrickle.pgt_stream_tables") == "initializing"
    sql("INSERT INTO orders VALUES (1000, 1, 5)")
    assert rt.refresh_all()[0].status == "skipped"
    before = sql("SELECT pgt_id, pgt_relid FROM pgtrickle.pgt_stream_tables")
    info = other.create_stream_table("public.totals", TOTALS)
    assert info.resumed
    assert sql("SELECT pgt_id, pgt_relid FROM pgtrickle.pgt_stream_tables") == before
    assert other.fills() == []
    oracle(rt, "public.totals")
    sql("INSERT INTO orders VALUES (1001, 1, 5)")
    assert other.refresh("public.totals").action == "DIFFERENTIAL"
    oracle(rt, "public.totals")


@pytest.mark.parametrize(
    ("query", "options", "before"),
    [
        (TOTALS.replace("sum", "max"), {}, ()),
        (TOTALS, {"partition_by": "LIST:region"}, ()),
        (TOTALS, {"schedule": "5m"}, ()),
        (
            TOTALS,
            {},
            ("ALTER TABLE orders RENAME TO orders_old", "CREATE TABLE orders AS TABLE orders_old"),
        ),
    ],
    ids=["query", "storage", "option", "source"],
)
def test_something_else_is_started_over(other, sql, killed, oracle, query, options, before):
    sql(*before)
    assert not other.create_stream_table("public.totals", query, **options).resumed
    oracle(other, "public.totals")
    assert len(other.status()) == 1


def test_in_place_of_another_relation(rt, other, sql, orders, oracle, monkeypatch):
    sql("CREATE VIEW totals AS SELECT 7 AS other")
    monkeypatch.setattr(fill, "fill", die)
    with pytest.raises(Killed):
        rt.create_stream_table("public.totals", TOTALS, replace_relation=True)
    monkeypatch.undo()
    rt.session.rollback()
    assert sql.value("SELECT other FROM totals") == 7
    info = other.create_stream_table("public.totals", TOTALS, replace_relation=True)
    assert info.resumed
    oracle(rt, "public.totals")


def creation(dsn: str, errors: list[BaseException]) -> threading.Thread:
    return in_thread(dsn, errors, lambda rt: rt.create_stream_table("public.slow", SLOW))


def in_thread(
    dsn: str, errors: list[BaseException], act: Callable[[Runtime], object]
) -> threading.Thread:
    def run() -> None:
        with connect_to(dsn) as session:
            try:
                act(Runtime(session))
            except DatabaseError as error:
                errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def filling(rt):
    return [one for one in rt.fills() if one.phase == "filling"]


def busy(sql):
    """Whether the statement that fills is running: between two, a cancellation has no effect."""
    return sql.value(
        "SELECT true FROM pgtrickle.pgt_fills JOIN pg_stat_activity USING (pid)"
        " WHERE wait_event = 'PgSleep'"
    )


def test_it_can_be_watched(rt, database, sql, blocked, oracle, wait_until):
    errors: list[BaseException] = []
    thread = creation(database, errors)
    (seen,) = wait_until(lambda: filling(rt))
    assert (seen.schema, seen.name) == ("public", "slow")
    assert seen.expected_bytes > 0
    assert re.match(r"filling public\.slow: \d+ s, 0\.0 MB written", str(seen))
    sql("INSERT INTO orders VALUES (1000, 1, 5)")  # does not wait
    blocked()
    thread.join()
    assert errors == []
    assert rt.fills() == []
    rt.refresh("public.slow")
    oracle(rt, "public.slow")


def test_it_can_be_cancelled_and_resumed(rt, database, sql, blocked, oracle, wait_until):
    errors: list[DatabaseError] = []
    thread = creation(database, errors)
    wait_until(lambda: busy(sql))
    assert sql.value("SELECT pg_cancel_backend(pid) FROM pgtrickle.pgt_fills")
    thread.join()
    assert [error.sqlstate for error in errors] == ["57014"]
    # A backend needs a moment to end when its client is gone.
    wait_until(lambda: [one.phase for one in rt.fills()] == ["interrupted"])
    sql("INSERT INTO orders VALUES (1000, 1, 5)")
    blocked()
    assert rt.create_stream_table("public.slow", SLOW).resumed
    oracle(rt, "public.slow")


def test_it_can_be_cancelled_and_dropped(rt, database, sql, blocked, wait_until):
    thread = creation(database, [])
    wait_until(lambda: busy(sql))
    sql("SELECT pg_terminate_backend(pid) FROM pgtrickle.pgt_fills")
    thread.join()
    rt.drop_stream_table("public.slow")
    with pytest.raises(StreamTableNotFound):
        rt.query("public.slow")
    assert sql.value("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'orders'::regclass") == 0


@pytest.mark.parametrize("query", [SLOW, SLOW.replace("id, amount", "id::text AS id, amount")])
def test_an_alteration_can_be_cancelled(
    rt, database, sql, blocked, oracle, wait_until, query: str
):
    """In place or beside: the old rows and definition stay, and it can be asked for again."""
    rt.create_stream_table("public.slow", "SELECT id, amount FROM orders")
    errors: list[DatabaseError] = []
    thread = in_thread(database, errors, lambda rt: rt.alter_stream_table("slow", query=query))
    waiting = (
        "SELECT pid FROM pg_stat_activity"
        " WHERE wait_event = 'PgSleep' AND datname = current_database()"
    )
    pid = wait_until(lambda: sql.value(waiting))
    assert sql.value(f"SELECT pg_cancel_backend({pid})")
    thread.join()
    assert [error.sqlstate for error in errors] == ["57014"]
    assert rt.query("slow") == "SELECT id, amount FROM orders"
    oracle(rt, "slow")
    blocked()
    sql("INSERT INTO orders VALUES (1000, 1, 5)")
    assert rt.refresh("slow").action == "DIFFERENTIAL"
    oracle(rt, "slow")
    rt.alter_stream_table("slow", query=query)
    oracle(rt, "slow")
