"""``trickle-runtime serve`` as the demo runs it: a process of its own, as in production.

Invariant: the process ends with the block that started it, unless it was left running.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType

from trickle_runtime import errors

_TIMEOUT = 30.0


class Daemon:
    """One ``serve`` process; its log goes to a file."""

    def __init__(self, dsn: str, log: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "trickle_runtime", "--dsn", dsn, "serve"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us; we end the daemon in order
            )
        self._left = False

    def __enter__(self) -> Daemon:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._left:
            self.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def check(self) -> None:
        """Raise where the daemon has ended by itself."""
        if self._process.poll() is not None:
            lines = self.log.read_text(errors="replace").splitlines()
            raise errors.TrickleError(
                f"serve ended with exit code {self._process.returncode}",
                detail="\n".join(lines[-15:]),
            )

    def leave_running(self) -> None:
        """Let the process outlive this one."""
        self._left = True

    def stop(self) -> None:
        """End the process: it finishes the refresh it is at."""
        self._process.terminate()
        try:
            self._process.wait(timeout=_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
