"""Whether the capture of a source can still be trusted.

Invariant: what could have changed rows without a trace in the buffers is an issue. The answer to
each is ``install.repair``, which marks the source for every consumer; a source that is gone or was
replaced by another of its name needs its dependants to be compiled anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trickle_runtime.capture.source import QUERIES
from trickle_runtime.config import Schemas
from trickle_runtime.db import sql
from trickle_runtime.db.session import Row, Session


@dataclass(frozen=True)
class SourceIssue:
    """A source that can't be trusted.

    ``kind`` is one of gone, renamed, swapped (``new_relid`` has the name now), row_security,
    foreign_cluster, marker_failure, columns_changed, trigger_changed, partitions_changed,
    unlogged_restart. TRUNCATE is no issue but pending work: see ``capture.pending``.
    """

    relid: int
    kind: str
    message: str
    new_relid: int | None = None


def check(
    session: Session, schemas: Schemas, relids: Sequence[int] | None = None
) -> list[SourceIssue]:
    """Compare sources, all if none are given, with what they were when capture was built."""
    query = sql.load_queries(QUERIES, schemas)["issues"]
    params = {"relids": None if relids is None else list(relids)}
    return issues(session.execute(query, params))


def issues(rows: Sequence[Row]) -> list[SourceIssue]:
    """Read the rows of the SQL function ``pgt_source_issues``, to go with a larger statement."""
    return [
        SourceIssue(row["source_relid"], row["kind"], row["message"], row["new_relid"])
        for row in rows
    ]


def check_partitions(
    session: Session, schemas: Schemas, relids: Sequence[int]
) -> list[SourceIssue]:
    """Compare partitions with the catalog as it is now, whatever the transaction's snapshot.

    For the end of a pass: ATTACH goes through under our locks, and then the same snapshot sees
    more rows.
    """
    query = sql.load_queries(QUERIES, schemas)["partitions_now"]
    return [
        SourceIssue(
            row["source_relid"],
            "partitions_changed",
            f"a partition of {row['source_name']} was attached or detached",
        )
        for row in session.execute(query, {"relids": list(relids)})
    ]
