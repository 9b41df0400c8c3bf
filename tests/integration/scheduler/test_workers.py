from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from trickle_runtime.db.connection import PsycopgSession
from trickle_runtime.errors import ConnectionFailed, DatabaseError
from trickle_runtime.scheduler.workers import Workers


@pytest.fixture
def workers(database: str) -> Iterator[Workers]:
    pool = Workers(database, 2)
    yield pool
    pool.close(10, threading.Event())


def backend(session: PsycopgSession) -> int:
    return session.execute("SELECT pg_backend_pid() AS pid")[0]["pid"]


def one_at_a_time(workers: Workers) -> int:
    return workers.submit(backend).result(30)


def test_no_connection_before_there_is_work(
    workers: Workers, session: PsycopgSession, database: str
) -> None:
    statement = (
        "SELECT count(*) AS n FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'trickle-runtime worker'"
    )
    assert session.execute(statement) == [{"n": 0}]
    session.rollback()
    one_at_a_time(workers)
    assert session.execute(statement) == [{"n": 1}]


def test_tasks_run_side_by_side_each_with_a_session(workers: Workers) -> None:
    both = threading.Barrier(2, timeout=30)

    def task(session: PsycopgSession) -> int:
        both.wait()
        return backend(session)

    first, second = workers.submit(task), workers.submit(task)
    assert first.result(30) != second.result(30)


def test_a_task_gets_no_open_transaction(database: str) -> None:
    workers = Workers(database, 1)
    workers.submit(lambda session: session.execute("CREATE TABLE left_open ()")).result(30)
    found = workers.submit(lambda s: s.execute("SELECT to_regclass('left_open') AS name"))
    assert found.result(30) == [{"name": None}]
    workers.close(10, threading.Event())


def test_an_error_leaves_the_session_usable(database: str) -> None:
    workers = Workers(database, 1)
    pid = one_at_a_time(workers)
    with pytest.raises(DatabaseError):
        workers.submit(lambda session: session.execute("SELECT 1/0")).result(30)
    assert one_at_a_time(workers) == pid
    workers.close(10, threading.Event())


def test_a_broken_session_is_replaced(database: str, session: PsycopgSession) -> None:
    workers = Workers(database, 1)
    pid = one_at_a_time(workers)
    session.execute(f"SELECT pg_terminate_backend({pid}, 10000)")
    with pytest.raises(DatabaseError):
        one_at_a_time(workers)
    assert one_at_a_time(workers) != pid
    workers.close(10, threading.Event())


def test_sessions_are_renewed_when_the_server_was_away(database: str) -> None:
    workers = Workers(database, 1)
    pid = one_at_a_time(workers)
    workers.renew()
    assert one_at_a_time(workers) != pid
    workers.close(10, threading.Event())


def test_no_connection_is_an_error_of_the_task() -> None:
    workers = Workers("host=/nowhere", 1)
    with pytest.raises(ConnectionFailed):
        one_at_a_time(workers)
    assert workers.close(10, threading.Event())


def test_closing_cancels_what_takes_too_long(
    database: str, session: PsycopgSession, wait_until: Callable[..., object]
) -> None:
    workers = Workers(database, 1)
    running = workers.submit(lambda session: session.execute("SELECT pg_sleep(600)"))
    waiting = workers.submit(backend)

    def is_running() -> bool:
        session.rollback()
        return bool(session.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))

    wait_until(is_running)
    assert not workers.close(0.05, threading.Event())
    with pytest.raises(DatabaseError) as error:
        running.result(0)
    assert error.value.sqlstate == "57014"
    assert waiting.cancelled()


def test_a_hurried_close_waits_no_longer(
    database: str, session: PsycopgSession, wait_until: Callable[..., object]
) -> None:
    workers = Workers(database, 1)
    started = threading.Event()

    def task(session: PsycopgSession) -> None:
        started.set()
        session.execute("SELECT pg_sleep(600)")

    workers.submit(task)
    assert started.wait(30)
    hurry = threading.Event()
    hurry.set()
    assert not workers.close(600, hurry)
