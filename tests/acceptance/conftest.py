"""Real processes: the command line and the daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

COMMAND = (sys.executable, "-m", "trickle_runtime")


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment without what would choose another connection."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "TRICKLE", "DBT"))}
    return {**inherited, **extra}


class Daemon:
    """A running ``trickle-runtime serve``."""

    def __init__(self, dsn: str, log: Path, *options: str) -> None:
        self.log = log
        arguments = ("--dsn", dsn, "serve", "--log-format", "json", "--interval", "0.1", *options)
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                (*COMMAND, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=clean_environment(),
            )

    def lines(self, action: str | None = None, **facts: object) -> list[dict[str, Any]]:
        """The complete log lines so far with that action and these facts."""
        text = self.log.read_text()
        found = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        wanted = {**({"action": action} if action else {}), **facts}
        return [line for line in found if wanted.items() <= line.items()]

    def terminate(self, timeout: float = 30) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)


StartDaemon = Callable[..., Daemon]


@pytest.fixture
def start_daemon(tmp_path: Path, wait_until: Callable[..., object]) -> Iterator[StartDaemon]:
    """``start_daemon(dsn, *options)`` returns when the daemon is at work."""
    daemons: list[Daemon] = []

    def start(dsn: str, *options: str) -> Daemon:
        daemon = Daemon(dsn, tmp_path / f"daemon{len(daemons)}.log", *options)
        daemons.append(daemon)
        wait_until(lambda: daemon.lines("connected") or daemon.process.poll() is not None, 60)
        assert daemon.process.poll() is None, daemon.log.read_text()
        return daemon

    yield start
    for daemon in daemons:
        daemon.kill()
        sys.stdout.write(daemon.log.read_text())  # shown when the test fails


class Command:
    """Runs ``trickle-runtime`` and waits for its end."""

    def __init__(self, dsn: str | None) -> None:
        self.dsn = dsn

    def __call__(
        self, *args: str, input: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        where = () if self.dsn is None else ("--dsn", self.dsn)
        return subprocess.run(
            (*COMMAND, *where, *args),
            input=input,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=clean_environment(**environment),
        )


@pytest.fixture
def command(database: str) -> Command:
    return Command(database)
