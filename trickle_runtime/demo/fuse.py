"""A mass change on purpose: the fuse blows, the report stays as it was, a reset applies it.

Invariant: the daemon does all the work; this file only writes, watches and resets.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from trickle_runtime import errors
from trickle_runtime.api import Runtime, StreamTableStatus
from trickle_runtime.db.session import Session
from trickle_runtime.demo import project
from trickle_runtime.tpch import changes

_TIMEOUT = 120.0
_POLL = 0.1
_SHARE = 50  # of a thousand lines are changed
_NAME = f"{project.SCHEMA}.{project.FUSED}"

Say = Callable[[str], None]


def ceiling(lines: int) -> int:
    """Return a ceiling that daily work stays below and ``blow`` does not."""
    return max(100, lines * _SHARE // 2000)


def blow(runtime: Runtime, session: Session, check: Callable[[], None], say: Say) -> None:
    """Change far more than the ceiling at once and wait for the fuse to blow."""
    changes.apply(session, (changes.Change("touch_lines", _SHARE),))
    session.commit()
    wait_until(lambda: _state(runtime) == "blown", "the fuse to blow", check)
    say(f"{_NAME} stopped itself: {_fused(runtime).blow_reason}")
    waiting = [
        f"{one.name} (for {', '.join(one.waiting_for)})"
        for one in runtime.status()
        if one.waiting_for
    ]
    say("waiting for it: " + (", ".join(waiting) or "nothing"))
    say("the other stream tables went on; this one keeps its rows of before")


def reset(runtime: Runtime, check: Callable[[], None], say: Say) -> None:
    """Reset the fuse with the action ``apply`` and wait until everything is fresh."""
    runtime.reset_fuse(_NAME, action="apply")
    say(f"reset_fuse('{_NAME}', action => 'apply')")
    settle(runtime, check)
    if _state(runtime) != "armed":
        raise errors.TrickleError(f"the fuse is {_state(runtime)} after its reset")
    say("applied, and the fuse is armed again")


def settle(runtime: Runtime, check: Callable[[], None]) -> None:
    """Wait until nothing is pending anywhere."""
    wait_until(
        lambda: not any(status.pending for status in runtime.status()),
        "the daemon to catch up",
        check,
    )


def wait_until(reached: Callable[[], bool], what: str, check: Callable[[], None]) -> None:
    """Poll ``reached``; an error after two minutes."""
    pause = threading.Event()
    deadline = time.monotonic() + _TIMEOUT
    while not reached():
        check()
        if time.monotonic() > deadline:
            raise errors.WaitTimeout(f"waited {_TIMEOUT:.0f} s for {what}")
        pause.wait(_POLL)


def _state(runtime: Runtime) -> str:
    return _fused(runtime).fuse_state


def _fused(runtime: Runtime) -> StreamTableStatus:
    (status,) = runtime.status(_NAME)
    return status
