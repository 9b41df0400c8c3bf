from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from trickle_runtime.embedded import FAST_SETTINGS, Server, bin_directory
from trickle_runtime.embedded.account import Account
from trickle_runtime.errors import EmbeddedServerError

# Starts a server, says where it is, then ends as the argument tells.
OWNER = """
import os, signal, sys, time
from trickle_runtime.embedded import FAST_SETTINGS, Server
# Tests that a script started in the background would hand on that it is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
with Server(settings=FAST_SETTINGS, pg_bin=sys.argv[2] or None) as server:
    if sys.argv[1] == "leave":
        print(server.pid, server.host, server.leave_running(), sep="\\n", flush=True)
    else:
        print(server.pid, server.host, sep="\\n", flush=True)
    if sys.argv[1] == "raise":
        raise RuntimeError("on purpose")
    if sys.argv[1] != "leave":
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
        time.sleep(60)
"""


@pytest.fixture
def private(pg_bin: str | None) -> Iterator[Server]:
    """A server of the test's own, with every durability setting on."""
    with Server(pg_bin=pg_bin) as server:
        yield server


def ask(server: Server, statement: str) -> str:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return str(row[0])


def run(server: Server, statement: str) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(statement)


def start_owner(end: str, pg_bin: str | None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", OWNER, end, pg_bin or ""]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def is_running(pid: int) -> bool:
    """Whether the process runs; one that ended and waits to be collected does not."""
    state = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            return state.read_text().rpartition(")")[2].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):  # perhaps between opening and reading
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_locale_encoding_and_time_zone_do_not_depend_on_the_machine(private: Server) -> None:
    found = ask(
        private,
        "SELECT concat_ws(' ', current_setting('timezone'), pg_encoding_to_char(encoding),"
        " datcollate, datctype) FROM pg_database WHERE datname = current_database()",
    )
    assert found == "UTC UTF8 C C"


def test_it_runs_the_version_it_names_and_is_durable_by_default(private: Server) -> None:
    assert ask(private, "SHOW server_version").split()[0] == private.version
    assert ask(private, "SHOW fsync") == "on"
    assert ask(private, "SHOW wal_level") == "logical"


def test_it_listens_on_a_socket_in_a_closed_folder_only(private: Server) -> None:
    assert ask(private, "SHOW listen_addresses") == ""
    assert Path(private.host).stat().st_mode & 0o077 == 0


def test_its_home_is_its_own_folder(private: Server) -> None:
    run(private, "CREATE TABLE home (path text)")
    run(private, "COPY home FROM PROGRAM 'echo $HOME'")
    assert ask(private, "TABLE home") == private.host


def test_committed_rows_survive_a_kill(private: Server) -> None:
    run(private, "CREATE TABLE kept AS SELECT 42 AS answer")
    first = private.pid
    private.kill()
    assert not is_running(first)
    private.start()
    assert private.pid != first
    assert ask(private, "TABLE kept") == "42"


def test_stop_and_start_keep_the_data(private: Server) -> None:
    run(private, "CREATE TABLE kept AS SELECT 42 AS answer")
    private.stop()
    private.start()
    assert ask(private, "TABLE kept") == "42"


def test_starting_twice_is_one_server(private: Server) -> None:
    first = private.pid
    private.start()
    assert private.pid == first


def test_settings_of_the_caller_win(pg_bin: str | None) -> None:
    with Server(settings={**FAST_SETTINGS, "max_connections": "31"}, pg_bin=pg_bin) as server:
        assert ask(server, "SHOW max_connections") == "31"
        assert ask(server, "SHOW fsync") == "off"


def test_a_given_data_directory_stays_and_is_used_again(
    pg_bin: str | None, open_folder: Path
) -> None:
    data = open_folder / "data"
    with Server(data, settings=FAST_SETTINGS, pg_bin=pg_bin) as server:
        run(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    assert (data / "PG_VERSION").exists()
    with Server(data, settings=FAST_SETTINGS, pg_bin=pg_bin) as server:
        assert ask(server, "TABLE kept") == "42"


def test_a_server_that_does_not_start_says_why_and_leaves_nothing(pg_bin: str | None) -> None:
    server = Server(settings={"shared_buffers": "nonsense"}, pg_bin=pg_bin)
    with pytest.raises(EmbeddedServerError, match="shared_buffers"):
        server.start()
    with pytest.raises(EmbeddedServerError, match="not running"):
        _ = server.pid
    with pytest.raises(EmbeddedServerError, match="not been started"):
        _ = server.host


@pytest.mark.parametrize("end", ["SIGINT", "SIGTERM", "SIGKILL", "raise"])
def test_nothing_is_left_however_its_owner_ends(
    end: str, pg_bin: str | None, wait_until: Callable[..., object]
) -> None:
    owner = subprocess.run(
        [sys.executable, "-c", OWNER, end, pg_bin or ""],
        capture_output=True,
        text=True,
        timeout=60,
    )
    pid, folder = owner.stdout.splitlines()
    assert owner.returncode != 0
    wait_until(lambda: not is_running(int(pid)) and not Path(folder).exists(), timeout=30)


def test_left_running_it_outlives_its_owner_until_the_command_it_gave(
    pg_bin: str | None, wait_until: Callable[..., object]
) -> None:
    owner = start_owner("leave", pg_bin)
    assert owner.returncode == 0, owner.stderr
    pid, folder, command = owner.stdout.splitlines()
    try:
        assert is_running(int(pid))
    finally:
        subprocess.run(command, shell=True, check=True)
    wait_until(lambda: not is_running(int(pid)), timeout=30)
    assert not Path(folder).exists()


def test_it_starts_where_path_has_no_postgresql(
    pg_bin: str | None, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sh", "cp", "rm", "sleep"):
        program = shutil.which(name)
        assert program is not None
        (open_folder / name).symlink_to(program)
    monkeypatch.setenv("PATH", str(open_folder))
    with Server(settings=FAST_SETTINGS, pg_bin=pg_bin) as server:
        assert ask(server, "SELECT 1") == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_root_runs_it_as_another_user(private: Server) -> None:
    assert Path(private.data_dir).stat().st_uid != 0
    assert os.stat(f"/proc/{private.pid}").st_uid == private.data_dir.stat().st_uid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs a copy of the programs")
def test_programs_below_a_closed_folder_are_copied_and_the_folder_stays_closed(
    pg_bin: str | None, tmp_path: Path
) -> None:
    found = bin_directory(pg_bin)
    package = found.parent.parent
    closed = tmp_path / "closed"
    shutil.copytree(found.parent, closed / package.name / found.parent.name, symlinks=True)
    libraries = package.parent / f"{package.name}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, closed / libraries.name)
    closed.chmod(0o700)
    programs = closed / package.name / found.parent.name / found.name
    copy = Account.for_server(None).reachable(programs)
    try:
        assert copy != programs
        assert closed.stat().st_mode & 0o777 == 0o700
        assert copy == Account.for_server(None).reachable(programs)  # made once
    finally:
        shutil.rmtree(copy.parents[2])


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the server's user can enter; pytest's own are closed."""
    account = Account.for_server(None)
    folder = account.temporary_base() / f"trickle-test-{os.getpid()}"
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder)
