"""What a session has to lock for passes that it has run before.

Invariant: a guess that the pass proves after its locks, before it reads anything else: what is not
true any more costs an attempt, never a wrong result. So a pass that follows another over the same
stream tables needs no survey.
"""

from __future__ import annotations

from collections.abc import Mapping

from trickle_runtime.db.session import Session
from trickle_runtime.refresh.remembered import Remembered
from trickle_runtime.refresh.survey import FEW, Surveyed

_Found = Mapping[int, Surveyed]
_KNOWN: Remembered[frozenset[int], _Found] = Remembered()


def recall(session: Session, pgt_ids: frozenset[int] | None) -> _Found | None:
    """Return what was found for these stream tables, if they were the subject of a pass."""
    return None if pgt_ids is None else _KNOWN.get(session, pgt_ids)


def remember(session: Session, pgt_ids: frozenset[int] | None, found: _Found) -> None:
    """Keep what a pass over these stream tables has found and locked."""
    if pgt_ids is None or len(pgt_ids) > FEW:
        return
    if any(one.moved or not one.locks for one in found.values()):
        return
    _KNOWN.put(session, pgt_ids, found)


def forget(session: Session) -> None:
    """Look again, for everything."""
    _KNOWN.forget(session)
