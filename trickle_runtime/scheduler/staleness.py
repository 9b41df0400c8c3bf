"""Which of the due tables have something to do.

Invariant: reads only, in one statement however many tables there are: most looks find nothing,
and must cost next to nothing. The answer is a hint; the pass looks again, at its own snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence

from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.refresh import needs, sources
from trickle_runtime.refresh.members import observe


def stale(session: Session, schemas: Schemas, pgt_ids: Sequence[int]) -> frozenset[int]:
    """Return the tables with pending changes, and those whose sources are not what they were."""
    seen = observe(session, schemas, pgt_ids)
    session.rollback()
    found = sources.moved(seen, {})
    for member in seen.members.values():
        if needs.assess(member) is not None or sources.fatal(seen, member) is not None:
            found.add(member.pgt_id)
    return frozenset(found)
