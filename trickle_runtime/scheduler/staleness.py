"""Which of the due tables have something to do.

Invariant: reads only, in one statement however many tables there are: most looks find nothing,
and must cost next to nothing. The answer is a hint; the pass looks again, at its own snapshot.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.errors import DatabaseError
from trickle_runtime.refresh.survey import Surveyed, survey

logger = logging.getLogger(__name__)


def stale(session: Session, schemas: Schemas, pgt_ids: Sequence[int]) -> frozenset[int]:
    """Return the tables with pending changes, and those whose sources are not what they were.

    Where they can't be looked at together, for the sake of one of them, all are returned: their
    passes will tell the good from the bad.
    """
    try:
        found = survey(session, schemas, pgt_ids)
    except DatabaseError as error:
        if error.transient:
            raise
        session.rollback()
        extra = {"action": "look_failed", "code": error.sqlstate}
        logger.error("can't look at all tables together: %s", error, extra=extra)
        return frozenset(pgt_ids)
    session.rollback()
    return frozenset(pgt_id for pgt_id in pgt_ids if pgt_id in found and _has_work(found[pgt_id]))


def _has_work(one: Surveyed) -> bool:
    return one.stale or one.moved
