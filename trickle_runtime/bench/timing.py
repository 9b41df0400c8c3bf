"""How things are timed.

Invariant: what is compared runs alternately in one process on one server, and medians are shown.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence

from trickle_runtime.db import sql
from trickle_runtime.db.connection import PsycopgSession

_CREATE_AS = "CREATE TABLE bench_copy AS\n{query}"


def milliseconds(action: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000


def create_table_as(session: PsycopgSession, query: str) -> float:
    """Return the time of CREATE TABLE AS with its commit; the table is dropped again."""

    def create() -> None:
        session.execute(sql.render(_CREATE_AS, query=query))
        session.commit()

    session.commit()
    taken = milliseconds(create)
    session.execute("DROP TABLE bench_copy")
    session.commit()
    return taken


def median(values: Iterable[float]) -> float:
    """Return the median; NaN where nothing was measured."""
    found: Sequence[float] = list(values)
    return statistics.median(found) if found else math.nan


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean of positive numbers."""
    return statistics.geometric_mean(values)
