"""Waiting for other processes and sessions, always with a limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

Value = TypeVar("Value")


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., object]:
    """``wait_until(predicate, timeout=10)``: the predicate's first true value."""
    return _wait_until


def _wait_until(predicate: Callable[[], Value], timeout: float = 10.0) -> Value:
    pause = threading.Event()
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        assert time.monotonic() < deadline, f"not true within {timeout} s: {predicate}"
        pause.wait(0.02)
    return value
