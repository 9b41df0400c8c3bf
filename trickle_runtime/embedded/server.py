"""A PostgreSQL server of our own: start, stop, kill.

Invariant: whatever ends this process, the server ends with it and its temporary folder goes,
unless ``leave_running`` was called.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from trickle_runtime.embedded import cluster, provider
from trickle_runtime.embedded.account import Account
from trickle_runtime.errors import EmbeddedServerError

# For data that nobody misses after a crash of the machine; never for the demo or crash tests.
FAST_SETTINGS: Mapping[str, str] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}

_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "wal_level": "logical",
    "max_replication_slots": "10",
    "max_wal_senders": "10",
    "max_connections": "120",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
}

# Reads until this process is gone, then stops the server and removes the folder. It has to be a
# process of its own: nothing of ours runs after a kill -9.
_WATCHDOG = """
read -r _
kill -INT "$1" 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    kill -0 "$1" 2>/dev/null || break
    sleep 0.5
done
kill -KILL "$1" 2>/dev/null
[ -z "$2" ] || rm -rf "$2"
"""

_TIMEOUT = 60.0
# The folder goes when the server has gone: until then it writes there. (Its process may stay as
# one that nobody collects, its pid file does not.)
_STOP = (
    "kill -INT {pid}; while kill -0 {pid} 2>/dev/null && [ -e {data}/postmaster.pid ];"
    " do sleep 0.1; done; rm -rf {folder}"
)


class Server:
    """One private PostgreSQL server; use it as a context manager.

    Args:
        data_dir: where the data lie and stay; a temporary folder that goes with us if ``None``.
        settings: server settings on top of ours, for example ``FAST_SETTINGS``.
        pg_bin: PostgreSQL's bin directory, where another than the best one found is wanted.
    """

    user = "postgres"
    port = 5432

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        pg_bin: str | Path | None = None,
    ) -> None:
        found = provider.bin_directory(pg_bin)
        self.version = provider.server_version(found)
        self._account = Account.for_server(data_dir)
        self.bin_directory = self._account.reachable(found)
        self._settings = {**_SETTINGS, **(settings or {})}
        self._given_data_dir = data_dir
        self._folder: Path | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._left: subprocess.Popen[bytes] | None = None
        self._lifeline: int | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def host(self) -> str:
        """The folder of the server's socket, which libpq takes for a host."""
        return str(self._started_folder())

    @property
    def data_dir(self) -> Path:
        """The data directory."""
        return self._given_data_dir or self._started_folder() / "data"

    @property
    def pid(self) -> int:
        """Process id of the server's first process."""
        if self._server is None:
            raise EmbeddedServerError("the embedded server is not running")
        return self._server.pid

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        return (self._started_folder() / "server.log").read_text(errors="replace")

    def dsn(self, dbname: str = "postgres", *, user: str | None = None) -> str:
        """Return the connection string of a database."""
        address = f"host={quote(self.host, safe='')}&port={self.port}"
        return f"postgresql://{quote(user or self.user)}@/{quote(dbname, safe='')}?{address}"

    def start(self) -> None:
        """Start the server, making the cluster where there is none, and wait until it answers.

        Raises:
            EmbeddedServerError: it did not start; the detail has the end of its log.
        """
        if self._server is not None:
            return
        atexit.register(self.close)
        try:
            self._prepare()
            self._launch()
            self._await_ready()
        except BaseException:
            self.close()
            raise

    def stop(self) -> None:
        """Stop the server as ``pg_ctl stop -m fast`` does; the data stay for the next start."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill the server with SIGKILL and wait until all its processes have gone."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Stop the server and remove its temporary folder."""
        if os.getpid() != self._owner:  # a forked child has our objects, but owns nothing
            return
        atexit.unregister(self.close)
        self.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def leave_running(self) -> str:
        """Let the server outlive this process; return the shell command that ends it."""
        command = _STOP.format(pid=self.pid, data=self.data_dir, folder=self._started_folder())
        atexit.unregister(self.close)
        self._dismiss_watchdog()
        self._close_lifeline()
        self._left, self._server, self._folder = self._server, None, None
        return command

    def _started_folder(self) -> Path:
        if self._folder is None:
            raise EmbeddedServerError("the embedded server has not been started")
        return self._folder

    def _prepare(self) -> None:
        if self._folder is None:
            base = self._account.temporary_base()
            self._folder = Path(tempfile.mkdtemp(prefix="trickle-", dir=base))
            self._account.own(self._folder)
        if not (self.data_dir / "PG_VERSION").exists():
            self.data_dir.mkdir(parents=True, exist_ok=True)
            self._account.own(self.data_dir)
            cluster.create(self.data_dir, self.bin_directory, self._account)

    def _launch(self) -> None:
        folder = self._started_folder()
        settings = {**self._settings, "unix_socket_directories": str(folder)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [self.bin_directory / "postgres", "-D", self.data_dir, *options]
        # Every process of the server inherits the write end: reading meets the end of file when
        # the last of them has gone. A new postmaster refuses to start before that.
        self._lifeline, inherited = os.pipe()
        try:
            with (folder / "server.log").open("ab") as log:
                self._server = self._account.popen(
                    command, home=folder, output=log.fileno(), pass_fds=(inherited,)
                )
        finally:
            os.close(inherited)
        self._watchdog = subprocess.Popen(
            ["sh", "-c", _WATCHDOG, "sh", str(self._server.pid), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    def _await_ready(self) -> None:
        server = self._server
        deadline = time.monotonic() + _TIMEOUT
        while server is not None and time.monotonic() < deadline:
            if self._ready(server.pid):
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(timeout=0.02)
                break
        raise EmbeddedServerError(
            f"PostgreSQL {self.version} from {self.bin_directory} did not start",
            detail="\n".join(self.log.splitlines()[-15:]),
        )

    def _ready(self, pid: int) -> bool:
        """Whether the server says in its pid file that it takes connections."""
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _end(self, how: signal.Signals) -> None:
        if self._server is not None:
            _terminate(self._server, how)
            self._server = None
        self._dismiss_watchdog()
        if self._lifeline is not None:
            _await_end_of_file(self._lifeline)
            self._close_lifeline()

    def _close_lifeline(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

    def _dismiss_watchdog(self) -> None:
        if self._watchdog is not None:
            self._watchdog.kill()
            self._watchdog.communicate()
            self._watchdog = None


def _terminate(server: subprocess.Popen[bytes], how: signal.Signals) -> None:
    for request in (how, signal.SIGQUIT, signal.SIGKILL):
        server.send_signal(request)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=_TIMEOUT / 2)
            return
    raise EmbeddedServerError(f"process {server.pid} does not end")


def _await_end_of_file(descriptor: int) -> None:
    readable, _, _ = select.select([descriptor], [], [], _TIMEOUT)
    if not readable or os.read(descriptor, 1):
        raise EmbeddedServerError("processes of the killed server are still running")
