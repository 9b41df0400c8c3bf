"""Where a measurement runs: a private server with sane settings, or the one the user names.

Invariant: fsync stays on; numbers with it off say nothing about a real server.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from trickle_runtime.db.connection import PsycopgSession
from trickle_runtime.embedded import Server

_SETTINGS = {
    "shared_buffers": "2GB",
    "work_mem": "64MB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
    "jit": "off",
    "autovacuum": "off",  # every measurement vacuums by itself, before the clock starts
}
_SHOWN = """
SELECT current_setting('server_version') AS version,
       (SELECT string_agg(name || '=' || current_setting(name), ', ' ORDER BY name)
        FROM pg_settings
        WHERE name IN ('shared_buffers', 'work_mem', 'fsync', 'synchronous_commit', 'wal_level',
                       'jit', 'random_page_cost', 'autovacuum',
                       'max_parallel_workers_per_gather')) AS settings
"""


@contextmanager
def database(dsn: str | None) -> Generator[str]:
    """Give the DSN of a database to measure in; a private server goes when the block ends."""
    if dsn is not None:
        yield dsn
        return
    with Server(settings=_SETTINGS) as server:
        yield server.dsn("postgres")


def machine(session: PsycopgSession) -> dict[str, str]:
    """Describe the machine, the server and how busy it was at the end of the run."""
    server = session.execute(_SHOWN)[0]
    session.commit()
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory()} of memory",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "PostgreSQL": f"{server['version']} ({server['settings']})",
        "load average": ", ".join(f"{value:.2f}" for value in os.getloadavg()),
    }


def _processor() -> str:
    return (
        _proc_field("/proc/cpuinfo", "model name") or platform.processor() or "unknown processor"
    )


def _memory() -> str:
    kib = _proc_field("/proc/meminfo", "MemTotal")
    return f"{int(kib.split()[0]) / 1024**2:.0f} GiB" if kib else "an unknown amount"


def _proc_field(file: str, name: str) -> str | None:
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return None
    found = (line.partition(":")[2].strip() for line in lines if line.startswith(name))
    return next(found, None)
