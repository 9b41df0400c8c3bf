"""Pages of the documentation, executed as a reader would.

A fenced block behind a line that ends with a path in backticks is that file. Other blocks:
``shell`` is run, ``sql`` is sent to the database, and one without a language is what the block
before it has to print: line by line, in this order, where ``…`` and ``...`` stand for anything and
times differ.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import yaml
from dbt.adapters.factory import reset_adapters
from dbt.cli.main import dbtRunner
from dbt.tests.util import reset_metadata_vars
from dbt_common.events.functions import capture_stdout_logs, stop_capture_stdout_logs

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`([\w./-]+\.(?:sql|yml|csv|md))`:\s*$")
INSTALLATION = ("pip ", "python -m venv", "pip3 ")
COLOUR = re.compile(r"\x1b\[\d+m")
TIMES = re.compile(r"\d+\\?\.\d+(?=\\? ?s\b)")


@dataclass(frozen=True)
class Block:
    kind: str  # shell, sql, yaml …; '' is expected output
    text: str
    path: str | None


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        path = FILE.search(text[: match.start()].rstrip())
        yield Block(match[1], match[2], path[1] if path else None)


@dataclass
class Reader:
    """Somebody who does what a page says."""

    folder: Path
    profile: Mapping[str, Any]
    connection: psycopg.Connection[Any]
    printed: str = ""
    rows: Sequence[Sequence[object]] | None = None
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def read(self, page: Path) -> None:
        for block in blocks(page):
            if block.path is not None:
                self._write(block.path, block.text)
            elif block.kind == "shell":
                self.printed, self.rows = "", None
                for line in block.text.splitlines():
                    self._command(line)
            elif block.kind == "sql":
                cursor = self.connection.execute(block.text.encode())
                while cursor.nextset():
                    pass
                self.rows = cursor.fetchall() if cursor.description else None
            elif block.kind == "":
                self._compare(block.text)

    def close(self) -> None:
        for daemon in self.daemons:
            daemon.terminate()
            daemon.wait(60)
        reset_adapters()  # dbt keeps one per type: the next test would have this one's database

    def _write(self, path: str, text: str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def _command(self, line: str) -> None:
        words = shlex.split(line, comments=True)
        if not words or line.startswith(INSTALLATION):
            return
        fails = "error" in line.partition("#")[2]
        match words:
            case ["cd", folder]:
                self.folder /= folder
            case ["rm", "-r", folder]:
                shutil.rmtree(self.folder / folder)
            case ["dbt", "init", name]:
                self._dbt(["init", name, "--skip-profile-setup"], fails=False)
                profile = {name: {"target": "dev", "outputs": {"dev": dict(self.profile)}}}
                self._write(f"{name}/profiles.yml", yaml.safe_dump(profile))
            case ["dbt", *arguments]:
                self._dbt([*arguments, "--profiles-dir", str(self.folder)], fails=fails)
            case ["trickle-runtime", *arguments]:
                self._runtime(arguments, fails=fails)
            case _:
                raise AssertionError(f"no reader would know how to run this: {line}")

    def _dbt(self, arguments: list[str], *, fails: bool) -> None:
        reset_metadata_vars()
        with printing() as printed, working_in(self.folder):
            result = dbtRunner().invoke(arguments)
        self.printed += printed.getvalue()
        assert result.success != fails, f"{arguments}: {result.exception}\n{self.printed}"

    def _runtime(self, arguments: list[str], *, fails: bool) -> None:
        command = [os.path.join(os.path.dirname(sys.executable), "trickle-runtime"), *arguments]
        if "serve" in arguments:
            self.daemons.append(subprocess.Popen(command, cwd=self.folder))
            self._await("select pgtrickle.daemon_is_running()")
            return
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        self.printed += done.stdout
        assert (done.returncode != 0) == fails, done.stdout + done.stderr

    def _await(self, question: str) -> None:
        """Wait for another process as a reader does: until something is true."""
        pause = threading.Event()
        for _ in range(600):
            row = self.connection.execute(question.encode()).fetchone()
            if row is not None and row[0]:
                return
            pause.wait(0.1)
        raise AssertionError(f"not within a minute: {question}")

    def _compare(self, expected: str) -> None:
        if self.rows is not None:
            assert [list(map(str, row)) for row in self.rows] == table(expected)
            return
        lines = [re.sub(r"\s+", " ", COLOUR.sub("", x)) for x in self.printed.splitlines()]
        for wanted in filter(None, map(str.strip, expected.splitlines())):
            pattern = re.compile(meaning(wanted))
            where = next((n for n, line in enumerate(lines) if pattern.search(line)), None)
            assert where is not None, f"not printed: {wanted}\n{self.printed}"
            del lines[: where + 1]


@contextmanager
def printing() -> Iterator[StringIO]:
    """What dbt prints."""
    output = StringIO()
    capture_stdout_logs(output)
    try:
        yield output
    finally:
        stop_capture_stdout_logs()


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def table(text: str) -> list[list[str]]:
    """The cells of a table as psql prints it."""
    lines = [line for line in text.splitlines() if "|" in line]
    return [[cell.strip() for cell in line.split("|")] for line in lines[1:]]


def meaning(line: str) -> str:
    """A pattern for a printed line."""
    text = re.escape(re.sub(r"\s+", " ", line))
    text = re.sub(r"(?:\\ )?(?:…|(?:\\\.){3,})(?:\\ )?", ".*", text)
    return TIMES.sub(r"\\d+\\.\\d+", text)
