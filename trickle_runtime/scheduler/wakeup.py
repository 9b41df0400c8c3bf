"""Waiting that a signal, another thread or a notification can end.

Invariant: every wait has a timeout, so a lost wake-up costs time and never work.
"""

from __future__ import annotations

import contextlib
import os
import select
from typing import Protocol


class HasFileno(Protocol):
    """Anything that select() takes."""

    def fileno(self) -> int:
        """Return the descriptor."""
        ...


class Wakeup:
    """A flag that wakes one waiting thread; safe to set in a signal handler."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def set(self) -> None:
        """Wake the thread that waits, or the next that does."""
        with contextlib.suppress(OSError):
            os.write(self._writer, b"!")

    def wait(self, timeout: float, also: HasFileno | None = None) -> None:
        """Return after ``set``, when ``also`` becomes readable, or after ``timeout`` seconds."""
        sources = [self._reader] if also is None else [self._reader, also.fileno()]
        readable, _, _ = select.select(sources, [], [], max(timeout, 0.0))
        if self._reader in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(self._reader, 4096)

    def close(self) -> None:
        """Release the pipe; a later ``set``, by a late signal, does nothing."""
        reader, writer = self._reader, self._writer
        self._reader = self._writer = -1  # the numbers may soon be other files'
        os.close(reader)
        os.close(writer)
