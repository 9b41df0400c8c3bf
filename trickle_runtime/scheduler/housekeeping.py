"""Which duties are due, and when they were last thought of.

Invariant: a duty is never given out again before it was handed back.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from trickle_runtime.scheduler.duties import DUTIES
from trickle_runtime.scheduler.duties.duty import Duty


class Housekeeping:
    """The state of the duties."""

    def __init__(self, duties: Sequence[Duty] = DUTIES) -> None:
        self._duties = {duty.name: duty for duty in duties}
        self._last: dict[str, datetime] = {}
        self._out: set[str] = set()

    def take(self, now: datetime) -> list[Duty]:
        """Return the duties that are due; at the first call all of them."""
        found = [duty for duty in self._duties.values() if self._is_due(duty, now)]
        for duty in found:
            self._last[duty.name] = now
            self._out.add(duty.name)
        return found

    def done(self, name: str) -> None:
        """Hand a duty back."""
        self._out.discard(name)

    def hasten(self, name: str) -> None:
        """Make a duty due at the next call."""
        self._last.pop(name, None)

    def _is_due(self, duty: Duty, now: datetime) -> bool:
        last = self._last.get(duty.name)
        return duty.name not in self._out and (last is None or last + duty.interval <= now)
