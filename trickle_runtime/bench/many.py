"""``bench idle`` and ``bench memory``: what many stream tables cost when little happens.

Invariant: the round trips counted are the calls of the session that the runtime really uses; the
memory is that of a real daemon process.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from trickle_runtime import errors
from trickle_runtime.api import Runtime
from trickle_runtime.bench import timing
from trickle_runtime.bench.report import Cell, Table
from trickle_runtime.config import Schemas
from trickle_runtime.db import sql
from trickle_runtime.db.connection import PsycopgSession
from trickle_runtime.db.session import Row

_FILE = "bench/sql/many.sql"
_PASSES = 50
_SECONDS = 20
_GOAL_MIB = 200
_GOAL_MS = 20


class CountingSession:
    """A session that counts the statements, and thereby the round trips, it passes on."""

    def __init__(self, inner: PsycopgSession) -> None:
        self.inner = inner
        self.calls = 0

    def execute(self, sql: str, params: Mapping[str, object] | None = None) -> list[Row]:
        """Count and pass on."""
        self.calls += 1
        return self.inner.execute(sql, params)

    def autocommit(self, sql: str, params: Mapping[str, object] | None = None) -> list[Row]:
        """Count and pass on."""
        self.calls += 1
        return self.inner.autocommit(sql, params)

    def commit(self) -> None:
        """Pass on; counted where a transaction is open."""
        self.calls += self._open()
        self.inner.commit()

    def rollback(self) -> None:
        """Pass on; counted where a transaction is open."""
        self.calls += self._open()
        self.inner.rollback()

    def _open(self) -> int:
        return int(self.inner.connection.info.transaction_status.name != "IDLE")


def create(runtime: Runtime, session: PsycopgSession, tables: int, schedule: str) -> None:
    """Create ``tables`` stream tables over two sources."""
    statements = sql.load_queries(_FILE)
    session.execute(statements["sources"])
    session.commit()
    for number in range(tables):
        query = sql.render(statements["query"], tables=str(tables), number=str(number))
        runtime.create_stream_table(f"many.stream_{number}", query, schedule=schedule)


def idle(
    runtime: Runtime, session: PsycopgSession, *, tables: int, say: Callable[[str], None]
) -> tuple[Table, ...]:
    """Measure passes over ``tables`` stream tables in which nothing has changed."""
    say(f"creating {tables} stream tables")
    create(runtime, session, tables, "1h")
    runtime.refresh_all()
    session.autocommit("VACUUM (ANALYZE)")
    counting = CountingSession(session)
    counted = Runtime(counting, Schemas())
    counted.refresh_all()
    counting.calls = 0
    times = [timing.milliseconds(counted.refresh_all) for _ in range(_PASSES)]
    rows: tuple[tuple[Cell, ...], ...] = (
        (tables, counting.calls / _PASSES, statistics.median(times), min(times), max(times)),
    )
    return (
        Table(
            "A pass in which nothing has changed",
            ("stream tables", "round trips", "median ms", "least ms", "most ms"),
            rows,
            (f"{_PASSES} passes. Goal: one round trip, under {_GOAL_MS} ms.",),
        ),
    )


def memory(
    runtime: Runtime,
    session: PsycopgSession,
    dsn: str,
    *,
    tables: int,
    say: Callable[[str], None],
) -> tuple[Table, ...]:
    """Measure the resident memory of ``serve`` with ``tables`` stream tables, some changing."""
    say(f"creating {tables} stream tables")
    create(runtime, session, tables, "1s")
    say(f"running serve for {_SECONDS} s beside a writer")
    readings = _serve(session, dsn)
    (found,) = session.execute(sql.load_queries(_FILE)["refreshes"])
    session.commit()
    rows: tuple[tuple[Cell, ...], ...] = (
        (tables, found["n"], statistics.median(readings), max(readings), float(_GOAL_MIB)),
    )
    return (
        Table(
            "Resident memory of serve, MiB",
            ("stream tables", "refreshes meanwhile", "median", "most", "goal"),
            rows,
            (f"Read once a second for {_SECONDS} s; the tables are due every second.",),
        ),
    )


def _serve(session: PsycopgSession, dsn: str) -> list[float]:
    command = [sys.executable, "-m", "trickle_runtime", "--dsn", dsn, "serve"]
    daemon = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    readings: list[float] = []
    clock = threading.Event()
    try:
        for _ in range(_SECONDS):
            clock.wait(1.0)
            if daemon.poll() is not None:
                raise errors.TrickleError(f"serve ended with exit code {daemon.returncode}")
            session.execute(sql.load_queries(_FILE)["change"])
            session.commit()
            readings.append(_resident_mib(daemon.pid))
    finally:
        daemon.terminate()
        daemon.wait(timeout=30)
    return readings


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2
