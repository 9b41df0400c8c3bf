"""The demo from start to end.

Invariant: whatever happens, the server, the daemon and the writer are stopped; only ``--keep``,
and only after everything went well, leaves server and daemon running.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from trickle_runtime.api import Runtime
from trickle_runtime.config import Schemas
from trickle_runtime.db import sql
from trickle_runtime.db.connection import PsycopgSession, connect
from trickle_runtime.demo import fuse, project, screen, summary
from trickle_runtime.demo.daemon import Daemon
from trickle_runtime.demo.writer import Writer
from trickle_runtime.embedded import Server
from trickle_runtime.tpch import data

_DATABASE = "postgres"
_SETTINGS = {
    "shared_buffers": "512MB",
    "work_mem": "32MB",
    "max_wal_size": "4GB",
    "jit": "off",
}
_PARTITIONED = f"{project.SCHEMA}.daily_revenue"


@dataclass(frozen=True)
class Options:
    """What the user chose."""

    scale: float = 0.1
    seconds: float = 30.0
    keep: bool = False
    pg_bin: str | None = None
    project: Path | None = None


class Show:
    """One run of the demo."""

    def __init__(self, options: Options, console: Console) -> None:
        self.options = options
        self.console = console
        self._started = time.monotonic()
        self._number = 0

    def run(self) -> int:
        """Play all acts; return the exit code."""
        where = project.find(self.options.project)
        with ExitStack() as stack:
            self._act("start a private PostgreSQL")
            server = stack.enter_context(Server(settings=_SETTINGS, pg_bin=self.options.pg_bin))
            dsn = server.dsn(_DATABASE)
            self._say(f"PostgreSQL {server.version}, {dsn}")
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trickle-demo-")))
            session = stack.enter_context(connect(dsn, application_name="demo"))
            lines = self._load(session, folder)
            self._build(where, server, lines, folder)
            runtime = Runtime(session, Schemas())
            names = [(status.schema, status.name) for status in runtime.status()]
            self._act("trickle-runtime serve, a process of its own")
            log = Path(server.host) / "serve.log"  # it stays as long as the daemon may
            daemon = stack.enter_context(Daemon(dsn, log))
            self._say(f"process {daemon.pid}")
            since, until = self._write(runtime, session, daemon, dsn)
            self._fuse(runtime, session, daemon)
            equal = self._summary(runtime, session, names, since, until)
            if self.options.keep and equal:
                daemon.leave_running()
                self._act("server and daemon go on")
                self._say(f"DSN:      {dsn}")
                self._say(f"log:      {log}")
                self._say(f"look:     trickle-runtime --dsn '{dsn}' status")
                self._say(f"stop all: kill {daemon.pid}; {server.leave_running()}")
        if not self.options.keep:
            self.console.print("everything stopped and removed")
        return 0 if equal else 1

    def _load(self, session: PsycopgSession, folder: Path) -> int:
        self._act(f"TPC-H data at scale factor {self.options.scale:g}")
        data.generate(self.options.scale, folder / "csv")
        data.load(session, folder / "csv")
        (row,) = session.execute(sql.load_queries("demo/queries.sql")["line_count"])
        session.commit()
        self._say(f"eight tables, {row['n']:,} order lines, with keys and foreign keys")
        return int(row["n"])

    def _build(self, where: Path, server: Server, lines: int, folder: Path) -> None:
        self._act(f"dbt build of {where}")
        connection = {
            "PGHOST": server.host,
            "PGPORT": str(server.port),
            "PGUSER": server.user,
            "PGPASSWORD": "",
            "PGDATABASE": _DATABASE,
        }
        variables = {"sample_data": False, "supplier_fuse_ceiling": fuse.ceiling(lines)}
        project.build(where, connection, variables, folder, self._say)

    def _write(
        self, runtime: Runtime, session: PsycopgSession, daemon: Daemon, dsn: str
    ) -> tuple[object, object]:
        orders = max(1, round(100 * self.options.scale))
        self._act(
            f"a writer for {self.options.seconds:g} s: ten transactions a second, each with "
            f"{orders} new, {orders} deleted, {orders} repriced and {orders} advanced orders"
        )
        since = self._now(session)
        with Writer(dsn, orders) as writer:

            def check() -> None:
                daemon.check()
                writer.check()

            screen.watch(
                self.console,
                lambda: screen.read(runtime, session),
                self.options.seconds,
                check,
            )
        writer.check()
        fuse.settle(runtime, daemon.check)
        self._say(f"{writer.transactions} transactions written, all of them taken in")
        (row,) = session.execute(
            sql.load_queries("demo/queries.sql")["partitions"], {"name": _PARTITIONED}
        )
        self._say(f"{_PARTITIONED} has {row['n']} partitions, new months among them")
        return since, self._now(session)

    def _fuse(self, runtime: Runtime, session: PsycopgSession, daemon: Daemon) -> None:
        self._act("a mass change: 5 % of all order lines repriced in one transaction")
        fuse.blow(runtime, session, daemon.check, self._say)
        self._act("reset the fuse")
        fuse.reset(runtime, daemon.check, self._say)

    def _summary(
        self,
        runtime: Runtime,
        session: PsycopgSession,
        names: list[tuple[str, str]],
        since: object,
        until: object,
    ) -> bool:
        self._act("verify every stream table against its query")
        equal = summary.verify(runtime, names, self.console)
        self._act("what a refresh cost")
        summary.compare(session, since, until, self.console)
        return equal

    def _now(self, session: PsycopgSession) -> object:
        (row,) = session.execute(sql.load_queries("demo/queries.sql")["clock"])
        session.commit()
        return row["at"]

    def _act(self, what: str) -> None:
        self._number += 1
        elapsed = time.monotonic() - self._started
        self.console.print(
            f"[bold]{self._number}. {what}[/]  [dim]({elapsed:.0f} s)[/]", soft_wrap=True
        )

    def _say(self, what: str) -> None:
        self.console.print("    " + what, markup=False, soft_wrap=True)
