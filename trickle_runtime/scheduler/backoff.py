"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass
class Backoff:
    """Delays that double from ``first`` to ``longest`` seconds, each with up to half as jitter.

    Jitter keeps several daemons from hitting a server that comes back at the same moment.
    """

    first: float = 0.5
    longest: float = 30.0
    failures: int = 0

    def next(self) -> float:
        """Count a failure and return the seconds to wait."""
        delay = min(self.longest, self.first * 2 ** min(self.failures, 30))
        self.failures += 1
        return delay * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Forget the failures, after a success."""
        self.failures = 0
