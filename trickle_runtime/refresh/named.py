"""The refresh of one stream table that is given by its name.

Invariant: what a session remembers of a name is a guess, which the result proves: a pass tells
what the table that it refreshed is called now.
"""

from __future__ import annotations

from collections.abc import Callable

from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.errors import StreamTableNotFound
from trickle_runtime.refresh import engine
from trickle_runtime.refresh.remembered import Remembered
from trickle_runtime.refresh.result import RefreshResult

# The number of the table that a name means, and its name as we write it.
_KNOWN: Remembered[str, tuple[int, str]] = Remembered()


def refresh(
    session: Session,
    schemas: Schemas,
    name: str,
    look_up: Callable[[], int],
    *,
    mode: str | None,
    initiated_by: str,
) -> RefreshResult:
    """Refresh a stream table, and stale ones below it first, at one snapshot.

    Args:
        look_up: finds the number of the stream table, or raises.

    Raises:
        StreamTableNotFound: it was dropped meanwhile.
    """
    known = _KNOWN.get(session, name)
    if known is not None:
        pgt_id, written = known
        found = _refresh(session, schemas, pgt_id, mode, initiated_by)
        if found is not None and found.name == written:
            return found
        _KNOWN.drop(session, name)  # dropped or renamed
    pgt_id = look_up()
    found = _refresh(session, schemas, pgt_id, mode, initiated_by)
    if found is None:
        raise StreamTableNotFound(f"{name} was dropped meanwhile")
    if name.replace('"', "") == found.name.replace('"', ""):  # qualified: no search_path counts
        _KNOWN.put(session, name, (pgt_id, found.name))
    return found


def _refresh(
    session: Session, schemas: Schemas, pgt_id: int, mode: str | None, initiated_by: str
) -> RefreshResult | None:
    return engine.run_pass(
        session,
        schemas,
        [pgt_id],
        initiated_by=initiated_by,
        force_mode=mode,
        ancestors=True,
        wait=True,
    ).results.get(pgt_id)
