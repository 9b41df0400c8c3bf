"""What the daemon remembers of its own attempts, and no catalog knows.

Invariant: losing it, as every restart does, costs one look at each table and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from datetime import datetime, timedelta

from trickle_runtime.scheduler import policy
from trickle_runtime.scheduler.backoff import Backoff


class Memory:
    """When each table was looked at, what is being worked on, and what must wait."""

    def __init__(self) -> None:
        self.attempted: dict[int, datetime] = {}
        self.stale_since: dict[int, datetime] = {}  # first seen with something to do
        self._busy: set[int] = set()
        self._held: dict[int, datetime] = {}
        self._backoffs: dict[int, Backoff] = {}

    def looked(self, pgt_ids: Iterable[int], stale: Set[int], now: datetime) -> None:
        """Note that these tables were looked at, and which of them had something to do."""
        for pgt_id in pgt_ids:
            self.attempted[pgt_id] = now
            if pgt_id in stale:
                self.stale_since.setdefault(pgt_id, now)
            else:
                self.stale_since.pop(pgt_id, None)

    def may_start(self, due: policy.Due, now: datetime) -> bool:
        """Whether no pass over the group is running, and none failed just now."""
        held = self._held.get(due.group)
        return due.group not in self._busy and (held is None or held <= now)

    def started(self, due: policy.Due) -> None:
        """Note that a pass over the group is under way."""
        self._busy.add(due.group)

    def ended(self, due: policy.Due) -> None:
        """Note that a pass came to its end, whatever became of its members."""
        self._busy.discard(due.group)
        self._held.pop(due.group, None)
        self._backoffs.pop(due.group, None)

    def undone(self, due: policy.Due) -> None:
        """Note that a pass could not run, since another daemon has the group: look again soon."""
        self._busy.discard(due.group)
        self.forget(due.pgt_ids)

    def failed(self, due: policy.Due, now: datetime) -> None:
        """Note that the pass as a whole failed: try again after a growing delay."""
        self._busy.discard(due.group)
        self.forget(due.pgt_ids)
        delay = self._backoffs.setdefault(due.group, Backoff(first=1.0, longest=60.0)).next()
        self._held[due.group] = now + timedelta(seconds=delay)

    def settle(self, tables: Mapping[int, policy.Table]) -> None:
        """Take in what the catalog says: tables are gone, or were refreshed."""
        for pgt_id in [one for one in self.attempted if one not in tables]:
            del self.attempted[pgt_id]
        for pgt_id, since in list(self.stale_since.items()):
            last = tables[pgt_id].last_refresh_at if pgt_id in tables else since
            if last is not None and last >= since:
                del self.stale_since[pgt_id]

    def forget(self, pgt_ids: Iterable[int | str]) -> None:
        """Forget that these tables were looked at; anything that is no number is passed over."""
        for pgt_id in pgt_ids:
            if isinstance(pgt_id, int) or pgt_id.isdecimal():
                self.attempted.pop(int(pgt_id), None)
