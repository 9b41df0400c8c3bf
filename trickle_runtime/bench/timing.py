"""How things are timed: wall time, and CPU time where the server is on this machine.

Invariant: what is compared runs alternately in one process on one server, and medians are shown.
CPU time is that of the session's backend, of the server processes that ended meanwhile (parallel
workers, other connections) and, unless told otherwise, of this process. It says what a thing costs
where other work on the machine makes wall time useless.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from trickle_runtime.db import sql
from trickle_runtime.db.connection import PsycopgSession

_CREATE_AS = "CREATE TABLE bench_copy AS\n{query}"


@dataclass(frozen=True)
class Taken:
    """Milliseconds of wall time and of CPU time; the latter is NaN where it can't be read."""

    wall: float
    cpu: float = math.nan

    def __truediv__(self, other: Taken) -> Taken:
        return Taken(self.wall / other.wall, self.cpu / other.cpu if other.cpu else math.nan)

    @property
    def cell(self) -> tuple[float, float | None]:
        """The two numbers for a table."""
        return self.wall, None if math.isnan(self.cpu) else self.cpu


class Meter:
    """Times actions on one session."""

    def __init__(self, session: PsycopgSession, *, client: bool = True) -> None:
        self._backend: Path | None = _process_folder(session.connection.info.backend_pid)
        self._server = _parent(self._backend) if self._backend else None
        self._client = client

    def measure(self, action: Callable[[], object]) -> Taken:
        """Return what one call took."""
        before = self._cpu()
        started = time.perf_counter()
        action()
        wall = (time.perf_counter() - started) * 1000
        return Taken(wall, self._cpu() - before)

    def _cpu(self) -> float:
        if self._backend is None or self._server is None:
            return math.nan
        own = int((self._backend / "schedstat").read_text().split()[0]) / 1e6
        client = time.process_time() * 1000 if self._client else 0.0
        return own + _ended_children(self._server) + client


def milliseconds(action: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000


def create_table_as(session: PsycopgSession, meter: Meter, query: str) -> Taken:
    """Return the time of CREATE TABLE AS with its commit; the table is dropped again."""

    def create() -> None:
        session.execute(sql.render(_CREATE_AS, query=query))
        session.commit()

    session.commit()
    taken = meter.measure(create)
    session.execute("DROP TABLE bench_copy")
    session.commit()
    return taken


def median(values: Iterable[Taken]) -> Taken:
    """Return the medians of both times."""
    found = list(values)
    return Taken(
        statistics.median(one.wall for one in found), statistics.median(one.cpu for one in found)
    )


def geometric_mean(values: Iterable[Taken]) -> Taken:
    """Return the geometric means of both."""
    found = list(values)
    return Taken(
        statistics.geometric_mean(one.wall for one in found),
        math.nan
        if any(math.isnan(one.cpu) for one in found)
        else statistics.geometric_mean(one.cpu for one in found),
    )


def _process_folder(pid: int) -> Path | None:
    """Find the folder of a server process on this machine; a remote one's number means nothing."""
    folder = Path("/proc") / str(pid)
    try:
        is_ours = "postgres" in (folder / "cmdline").read_text()
    except OSError:
        return None
    return folder if is_ours and (folder / "schedstat").exists() else None


def _parent(folder: Path) -> Path:
    return Path("/proc") / _fields(folder)[1]


def _ended_children(folder: Path) -> float:
    """Return the CPU milliseconds of the processes that ``folder``'s one has waited for."""
    fields = _fields(folder)
    return (int(fields[13]) + int(fields[14])) * 1000 / os.sysconf("SC_CLK_TCK")


def _fields(folder: Path) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name, which may hold anything."""
    return (folder / "stat").read_text().rpartition(")")[2].split()
