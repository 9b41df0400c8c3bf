"""TPC-H data: made by tpchgen-cli, loaded with COPY.

Invariant: keys and indexes are made after the rows, statistics last, so that a loaded database is
as a sensible DBA would leave it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from trickle_runtime import errors
from trickle_runtime.db import sql
from trickle_runtime.db.connection import PsycopgSession

if TYPE_CHECKING:
    from typing_extensions import LiteralString

TABLES = (
    "region",
    "nation",
    "supplier",
    "part",
    "partsupp",
    "customer",
    "orders",
    "lineitem",
)
_CHUNK = 1 << 20


def generate(scale: float, directory: Path) -> None:
    """Write the eight tables as CSV files into ``directory``."""
    command = [_generator(), "csv", "-s", f"{scale:g}", f"--output-dir={directory}"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as failure:
        raise errors.TrickleError(
            "tpchgen-cli failed", detail=(failure.stderr or failure.stdout).strip()
        ) from failure


def load(session: PsycopgSession, directory: Path) -> None:
    """Create the schema ``tpch`` and fill it from the files in ``directory``; commits."""
    session.execute(sql.load_text("tpch/schema.sql"))
    for table in TABLES:
        _copy(session, table, directory / f"{table}.csv")
    session.execute(sql.load_text("tpch/indexes.sql"))
    session.commit()
    session.autocommit("VACUUM (ANALYZE)")


def _generator() -> str:
    """Find the program beside the running Python first: that is where our extra installs it."""
    beside = Path(sys.executable).with_name("tpchgen-cli")
    found = str(beside) if beside.exists() else shutil.which("tpchgen-cli")
    if found is None:
        raise errors.TrickleError(
            "tpchgen-cli is not installed", hint="pip install 'dbt-trickle[demo]'"
        )
    return found


def _copy(session: PsycopgSession, table: str, file: Path) -> None:
    statement = sql.render(
        "COPY {table} FROM STDIN (FORMAT csv, HEADER)", table=sql.qualified("tpch", table)
    )
    with (
        session.connection.cursor() as cursor,
        cursor.copy(cast("LiteralString", statement)) as copy,
        file.open("rb") as rows,
    ):
        while chunk := rows.read(_CHUNK):
            copy.write(chunk)
