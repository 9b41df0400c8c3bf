"""What stream tables have not consumed yet.

Invariant: one statement, at one snapshot. Changes are counted per consumer, against its own
frontier; a marker (TRUNCATE, failure, rebuilt capture) is pending for a consumer in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trickle_runtime.capture.source import QUERIES
from trickle_runtime.config import Schemas
from trickle_runtime.db import sql
from trickle_runtime.db.session import Row, Session


@dataclass(frozen=True)
class Pending:
    """What one stream table has not consumed of one source.

    Attributes:
        changes: number of changes; an UPDATE is one.
        truncated: the source was truncated: only a difference helps.
        failed: its capture failed or was rebuilt: likewise.
        polled: it is not captured at all: likewise, at every refresh.
        message: why, for the last three.
    """

    changes: int
    truncated: bool = False
    failed: bool = False
    polled: bool = False
    message: str | None = None

    @property
    def difference(self) -> bool:
        """Whether the changes do not tell everything."""
        return self.truncated or self.failed or self.polled


def count(
    session: Session, schemas: Schemas, pgt_ids: Sequence[int] | None = None
) -> dict[int, dict[int, Pending]]:
    """Return what is pending by stream table and source; nothing pending has no entry."""
    query = sql.load_queries(QUERIES, schemas)["pending"]
    params = {"pgt_ids": None if pgt_ids is None else list(pgt_ids)}
    found = by_stream_table(session.execute(query, params))
    return {pgt_id: {} for pgt_id in pgt_ids or ()} | found


def by_stream_table(rows: Sequence[Row]) -> dict[int, dict[int, Pending]]:
    """Read the rows of the SQL function ``pgt_pending``, to go with a larger statement."""
    found: dict[int, dict[int, Pending]] = {}
    for row in rows:
        found.setdefault(row["pgt_id"], {})[row["source_relid"]] = Pending(
            row["changes"], row["truncated"], row["failed"], row["polled"], row["message"]
        )
    return found
