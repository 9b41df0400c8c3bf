from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass

from trickle_runtime.scheduler.wakeup import Wakeup


@dataclass
class Readable:
    descriptor: int

    def fileno(self) -> int:
        return self.descriptor


def waited(wakeup: Wakeup, also: Readable | None = None) -> float:
    start = time.monotonic()
    wakeup.wait(30.0, also)
    return time.monotonic() - start


def test_another_thread_ends_the_wait() -> None:
    wakeup = Wakeup()
    thread = threading.Thread(target=wakeup.set)
    thread.start()
    assert waited(wakeup) < 20
    thread.join()
    wakeup.close()


def test_a_flag_that_was_set_before_counts_once() -> None:
    wakeup = Wakeup()
    wakeup.set()
    wakeup.set()
    assert waited(wakeup) < 20
    start = time.monotonic()
    wakeup.wait(0.05)
    assert time.monotonic() - start >= 0.04
    wakeup.close()


def test_something_readable_ends_the_wait() -> None:
    wakeup = Wakeup()
    reader, writer = os.pipe()
    os.write(writer, b"x")
    assert waited(wakeup, Readable(reader)) < 20
    os.close(reader)
    os.close(writer)
    wakeup.close()


def test_setting_a_closed_one_does_no_harm() -> None:
    wakeup = Wakeup()
    wakeup.close()
    wakeup.set()
