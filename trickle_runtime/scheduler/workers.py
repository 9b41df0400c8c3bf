"""The threads that do the work, each with a connection of its own.

Invariant: a task gets a session without an open transaction, and a session that a task has left
broken is never used again. Threads and connections are made when they are first needed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TypeVar, cast

from trickle_runtime.db.connection import PsycopgSession, connect
from trickle_runtime.errors import DatabaseError

Result = TypeVar("Result")


class Workers:
    """A pool of threads with sessions."""

    def __init__(self, dsn: str, count: int) -> None:
        self._dsn = dsn
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="trickle-worker")
        self._local = threading.local()
        self._sessions: set[PsycopgSession] = set()
        self._running: set[Future[object]] = set()
        self._generation = 0

    def submit(self, task: Callable[[PsycopgSession], Result]) -> Future[Result]:
        """Run ``task`` with a session when a thread is free."""
        future = self._pool.submit(self._run, task)
        running = cast("Future[object]", future)
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return future

    def wait(self, timeout: float | None) -> bool:
        """Wait for everything submitted; returns whether all of it has ended."""
        return not wait(set(self._running), timeout).not_done

    def close(self, timeout: float, hurry: threading.Event) -> bool:
        """Take no new task, let the running ones end, cancel those that take too long.

        ``hurry`` ends the waiting early. Returns whether nothing had to be cancelled.
        """
        self._pool.shutdown(wait=False, cancel_futures=True)
        limit = time.monotonic() + timeout
        give_up = None
        while not self.wait(0.25):
            now = time.monotonic()
            if give_up is None and (hurry.is_set() or now > limit):
                give_up = now + 10
            if give_up is not None:
                self.cancel()  # each time: one that falls between two statements hits nothing
                if now > give_up:
                    break
        for session in tuple(self._sessions):
            session.close()
        return give_up is None

    def renew(self) -> None:
        """Give no session of before to a later task: the server was away."""
        self._generation += 1

    def cancel(self) -> None:
        """Cancel the statements that run now."""
        for session in tuple(self._sessions):
            with suppress(DatabaseError):
                session.cancel()

    def _run(self, task: Callable[[PsycopgSession], Result]) -> Result:
        session = self._session()
        try:
            return task(session)
        finally:
            self._tidy(session)

    def _session(self) -> PsycopgSession:
        session: PsycopgSession | None = getattr(self._local, "session", None)
        if session is not None and self._local.generation != self._generation:
            self._discard(session)
            session = None
        if session is None:
            self._local.generation = self._generation
            session = connect(self._dsn, application_name="trickle-runtime worker")
            self._sessions.add(session)
            self._local.session = session
        return session

    def _tidy(self, session: PsycopgSession) -> None:
        try:
            session.rollback()
        except DatabaseError:
            self._discard(session)
        if session.connection.closed:
            self._discard(session)

    def _discard(self, session: PsycopgSession) -> None:
        self._sessions.discard(session)
        self._local.session = None
        session.close()
