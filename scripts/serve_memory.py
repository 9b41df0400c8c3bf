"""Memory of ``trickle-runtime serve``: ``python scripts/serve_memory.py [--tables 500]``.

Makes that many stream tables in a private PostgreSQL, a tenth of them above others, lets the
daemon refresh every one of them, and prints the daemon's resident set in MiB (VmRSS, and VmHWM,
its maximum) as JSON.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg

import trickle_runtime
from trickle_runtime.embedded import FAST_SETTINGS, Server

SOURCES = 20
AT_WORK = "SELECT 1 FROM pgtrickle.pgt_workers"
SOURCE = (
    "CREATE TABLE s{number} (id int PRIMARY KEY, g int, v int)",
    "INSERT INTO s{number} SELECT i, i % 10, i % 100 FROM generate_series(1, 100) i",
)
CHANGE = "UPDATE s{number} SET v = v + 100 WHERE id <= 10"
JOINED = (
    "SELECT a.g, count(*) AS n, sum(a.v + b.v) AS v"
    " FROM s{one} a JOIN s{other} b ON b.id = a.id WHERE a.v > {number} GROUP BY a.g"
)
ABOVE = "SELECT g, n, v FROM t{below} WHERE n > 0"
REFRESHED = """SELECT count(*) FROM pgtrickle.pgt_refresh_history
WHERE initiated_by = 'scheduler' AND status = 'completed'"""


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=500)
    tables = parser.parse_args().tables
    with Server(settings=FAST_SETTINGS) as server:
        make(server.dsn(), tables)
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            daemon = start(server.dsn())
            try:
                found = measure(daemon.pid, connection, tables)
            finally:
                daemon.send_signal(signal.SIGTERM)
                daemon.wait(60)
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


def make(dsn: str, tables: int) -> None:
    """Make the sources and the stream tables."""
    with trickle_runtime.connect(dsn) as runtime, psycopg.connect(dsn, autocommit=True) as db:
        runtime.install()
        for number in range(SOURCES):
            for statement in SOURCE:
                db.execute(statement.format(number=number))
        for number in range(tables):
            one, other = number % SOURCES, (number + 7) % SOURCES
            query = JOINED.format(one=one, other=other, number=number % 50)
            if number % 10 == 9:
                query = ABOVE.format(below=number - 1)
            runtime.create_stream_table(f"t{number}", query, schedule="1s")


def start(dsn: str) -> subprocess.Popen[bytes]:
    """Start the daemon."""
    command = [sys.executable, "-m", "trickle_runtime", "--dsn", dsn, "serve"]
    return subprocess.Popen([*command, "--log-level", "warning"])


def measure(pid: int, db: psycopg.Connection, tables: int) -> dict[str, object]:
    """Change every source until each stream table was refreshed twice; return what it takes."""
    wait_until(lambda: db.execute(AT_WORK).fetchone() is not None)
    idle = memory(pid)
    for turn in (1, 2):
        for number in range(SOURCES):
            db.execute(CHANGE.format(number=number))
        wait_until(partial(refreshed, db, turn * tables))
    return {"tables": tables, "after_start": idle, "after_refreshing_all": memory(pid)}


def refreshed(db: psycopg.Connection, times: int) -> bool:
    """Whether the daemon has done that many refreshes."""
    row = db.execute(REFRESHED).fetchone()
    return row is not None and row[0] >= times


def memory(pid: int) -> dict[str, float]:
    """Return VmRSS and VmHWM in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return {name: round(int(found[name]) / 1024, 1) for name in ("VmRSS", "VmHWM")}


def wait_until(predicate: Callable[[], bool], tries: int = 6000) -> None:
    """Wait until ``predicate`` holds."""
    pause = threading.Event()
    for _ in range(tries):
        if predicate():
            return
        pause.wait(0.1)
    raise SystemExit("the daemon did not refresh everything in time")


if __name__ == "__main__":
    main()
