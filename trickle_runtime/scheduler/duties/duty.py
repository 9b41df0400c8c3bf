"""What a duty is.

Invariant: a duty commits its own work, may be run by several daemons at once, and may be run at
any time; the interval is only how often the daemon thinks of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import PsycopgSession

Run: TypeAlias = Callable[[PsycopgSession, Schemas], int]


@dataclass(frozen=True)
class Duty:
    """A piece of housekeeping; ``run`` returns how many things it did."""

    name: str
    interval: timedelta
    run: Run
