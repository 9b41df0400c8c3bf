"""A relation was replaced by another of its name: captured at once, not at the next refresh.

Invariant: nothing is computed here. Stream tables that read the name get their dependencies and
capture on the new relation, and a reason to be computed anew; what they hold stays until then.
"""

from __future__ import annotations

from trickle_runtime.catalog.store import Store
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.errors import TrickleError
from trickle_runtime.refresh import locks, names, redefine
from trickle_runtime.refresh.members import queries
from trickle_runtime.refresh.names import Name, RelationName
from trickle_runtime.refresh.redefine import Change


def recapture(session: Session, schemas: Schemas, name: Name, *, initiated_by: str) -> list[str]:
    """Capture the table that has the name of a source by now; commits.

    Returns the stream tables that read it. One whose query does not fit the new table is left to
    its next refresh, which says why.
    """
    session.commit()
    relation = names.split(session, schemas, name)
    rows = session.execute(queries(schemas)["read_another"], {"name": relation.quoted})
    session.commit()
    found: list[str] = []
    for row in rows:
        with locks.held(session, schemas, [row["pgt_id"]], wait=True):
            try:
                found.append(_capture(session, schemas, row["pgt_id"], relation, initiated_by))
            except TrickleError:
                session.rollback()
    return found


def _capture(
    session: Session, schemas: Schemas, pgt_id: int, relation: RelationName, by: str
) -> str:
    store = Store(session, schemas)
    row = store.by_id(pgt_id)
    reason = f"{relation.quoted} is another relation now"
    options = redefine.options_of(row)
    change = Change(row, row.canonical_query, options, reason, by, kept_query=row.query)
    defined = redefine.analyse_change(session, schemas, change)
    redefine.capture(session, schemas, change, defined)
    store.update(pgt_id, reinit_reason=reason)
    session.execute(queries(schemas)["wake"], {"pgt_id": pgt_id})
    session.commit()
    return row.relation
