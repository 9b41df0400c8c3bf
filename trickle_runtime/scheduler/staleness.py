"""Which of the due tables have something to do.

Invariant: reads only, in one statement however many tables there are: most looks find nothing,
and must cost next to nothing. The answer is a hint; the pass looks again, at its own snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence

from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.refresh.survey import Surveyed, survey


def stale(session: Session, schemas: Schemas, pgt_ids: Sequence[int]) -> frozenset[int]:
    """Return the tables with pending changes, and those whose sources are not what they were."""
    found = survey(session, schemas, pgt_ids)
    session.rollback()
    return frozenset(pgt_id for pgt_id in pgt_ids if pgt_id in found and _has_work(found[pgt_id]))


def _has_work(one: Surveyed) -> bool:
    return one.stale or one.moved
