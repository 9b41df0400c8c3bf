"""The one statement of a tick, and what it leads to.

Invariant: an idle tick costs this statement and no other. The tables are read when the catalog
changed, and what follows from their dependencies is derived when those did.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Row, Session
from trickle_runtime.scheduler import policy
from trickle_runtime.scheduler.lease import queries


@dataclass(frozen=True)
class Tick:
    """What a tick has read; ``now`` is the database's time."""

    now: datetime
    plan: policy.Plan
    requests: bool  # whether a SQL procedure waits for an answer


class Reader:
    """Reads ticks, and remembers the last plan."""

    def __init__(self, schemas: Schemas) -> None:
        self._statements = queries(schemas)
        self._version: str | None = None
        self._plan = policy.plan([])
        self._shape: object = None

    def read(self, session: Session) -> Tick:
        """Read what is new, in own transactions: one round trip if nothing is, else two."""
        row = session.execute(self._statements["tick"])[0]
        if row["version"] != self._version:
            self._read_tables(session)
            self._version = row["version"]
        return Tick(row["now"], self._plan, row["requests"])

    def _read_tables(self, session: Session) -> None:
        tables = [_table(row) for row in session.execute(self._statements["tables"])]
        shape = [(t.pgt_id, t.reads, t.schedule, t.diamond_consistency) for t in tables]
        if shape != self._shape:
            self._plan, self._shape = policy.plan(tables), shape
        else:
            self._plan = replace(self._plan, tables={one.pgt_id: one for one in tables})


def _table(row: Row) -> policy.Table:
    return policy.Table(
        pgt_id=row["pgt_id"],
        name=row["name"],
        schedule=row["schedule"],
        tier=row["tier"],
        status=row["status"],
        diamond_consistency=row["diamond_consistency"],
        fuse_blown=row["fuse_blown"],
        last_refresh_at=row["last_refresh_at"],
        next_attempt_at=row["next_attempt_at"],
        reads=tuple(row["reads"]),
    )
