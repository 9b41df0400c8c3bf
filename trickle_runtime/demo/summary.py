"""What the demo proves at its end: every table equals its query, and what the refreshes cost.

Invariant: "full" is timed here, on the same data: CREATE TABLE AS of the table's query.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from trickle_runtime.api import Runtime
from trickle_runtime.db import sql
from trickle_runtime.db.session import Row, Session

_RUNS = 3
_CAPTION = "medians; ms: differential refresh, full ms: CREATE TABLE AS"
_CREATE = "CREATE TEMPORARY TABLE demo_full AS {query}"


def verify(runtime: Runtime, names: Sequence[tuple[str, str]], console: Console) -> bool:
    """Compare every table with its query; whether all are equal."""
    unequal: list[str] = []
    for name in names:
        answer = runtime.verify(name)
        if not answer.equal:
            unequal.append(answer.name)
            console.print(f"    {answer}", style="bold red", markup=False, soft_wrap=True)
    if not unequal:
        console.print(
            f"    all {len(names)} stream tables equal their queries (EXCEPT ALL both ways)"
        )
    return not unequal


def compare(session: Session, since: object, until: object, console: Console) -> None:
    """Print differential against full, per table."""
    rows = session.execute(
        sql.load_queries("demo/queries.sql")["totals"], {"since": since, "until": until}
    )
    session.commit()
    drawn = Table(caption=_CAPTION)
    drawn.add_column("stream table")
    for heading in ("refreshes", "changes", "rows", "ms", "full ms", "faster"):
        drawn.add_column(heading, justify="right")
    ratios: list[float] = []
    for row in rows:
        full = statistics.median(_full(session, row["query"]) for _ in range(_RUNS))
        drawn.add_row(*_cells(row, full))
        if row["refreshes"]:
            ratios.append(full / row["differential_ms"])
    console.print(drawn)
    if ratios:
        console.print(f"    geometric mean: {statistics.geometric_mean(ratios):.1f} times faster")


def _cells(row: Row, full: float) -> tuple[str, ...]:
    """One line; a table that was not refreshed differentially has nothing to compare."""
    counts = (f"{row[column]:,}" for column in ("refreshes", "changes", "rows"))
    own = row["differential_ms"]
    times = (
        ("", f"{full:.1f}", "")
        if own is None
        else (f"{own:.1f}", f"{full:.1f}", f"{full / own:.1f}")
    )
    return (row["name"].partition(".")[2], *counts, *times)


def _full(session: Session, query: str) -> float:
    """Return the milliseconds of computing the query anew."""
    started = time.perf_counter()
    session.execute(sql.render(_CREATE, query=query))
    taken = (time.perf_counter() - started) * 1000
    session.rollback()
    return taken
