"""The live table: one line per stream table, redrawn in place on a terminal.

Invariant: on anything that is not a terminal only plain lines are printed, a few of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.table import Table

from trickle_runtime.api import Runtime
from trickle_runtime.db import sql
from trickle_runtime.db.session import Session

_FRAME = 0.25
_PLAIN_EVERY = 5.0


@dataclass(frozen=True)
class Line:
    """What is shown of one stream table."""

    name: str
    lag: float | None
    pending: int
    state: str
    action: str
    rows: int
    milliseconds: float

    def cells(self) -> tuple[str, ...]:
        """Format for the table."""
        lag = "-" if self.lag is None else f"{self.lag:.1f} s"
        times = (f"{self.rows:,}", f"{self.milliseconds:,.1f}")
        return (self.name, lag, f"{self.pending:,}", self.state, self.action, *times)


def read(runtime: Runtime, session: Session) -> list[Line]:
    """Ask for the state of all stream tables."""
    found = session.execute(sql.load_queries("demo/queries.sql")["last_rows"])
    session.commit()
    rows = {row["pgt_id"]: int(row["rows"]) for row in found}
    return [
        Line(
            name=status.name,
            lag=status.lag,
            pending=status.pending,
            state="BLOWN" if status.fuse_state == "blown" else status.status,
            action=status.last_action or "-",
            rows=rows.get(status.pgt_id, 0),
            milliseconds=status.last_duration_ms or 0.0,
        )
        for status in runtime.status()
    ]


def watch(
    console: Console,
    lines: Callable[[], Sequence[Line]],
    seconds: float,
    check: Callable[[], None],
) -> None:
    """Show ``lines`` for some seconds; ``check`` raises where something has gone wrong."""
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    if not console.is_terminal:
        _plain(console, lines, deadline, check, pause)
        return
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while (left := deadline - time.monotonic()) > 0:
            check()
            live.update(table(lines(), f"{left:.0f} s left"), refresh=True)
            pause.wait(min(_FRAME, left))


def table(lines: Sequence[Line], caption: str) -> Table:
    """Draw the table."""
    drawn = Table(caption=caption)
    drawn.add_column("stream table")
    for heading in ("lag", "pending"):
        drawn.add_column(heading, justify="right")
    for heading in ("state", "last action"):
        drawn.add_column(heading)
    for heading in ("rows", "ms"):
        drawn.add_column(heading, justify="right")
    for line in lines:
        drawn.add_row(*line.cells(), style="bold red" if line.state == "BLOWN" else None)
    return drawn


def _plain(
    console: Console,
    lines: Callable[[], Sequence[Line]],
    deadline: float,
    check: Callable[[], None],
    pause: threading.Event,
) -> None:
    while (left := deadline - time.monotonic()) > 0:
        check()
        shown = lines()
        worst = max((line.lag or 0.0 for line in shown), default=0.0)
        refreshes = ", ".join(f"{line.name} {line.milliseconds:.1f}" for line in shown)
        console.print(
            f"    {left:.0f} s left; {sum(line.pending for line in shown):,} changes pending; "
            f"greatest lag {worst:.1f} s; last refresh in ms: {refreshes}",
            soft_wrap=True,
        )
        pause.wait(min(_PLAIN_EVERY, left))
