"""Dropping stream tables.

Invariant: nothing of ours is left of a dropped table; capture that nobody else needs is removed
from the sources, each in a short transaction of its own.
"""

from __future__ import annotations

from trickle_runtime import dag
from trickle_runtime.capture import changelog
from trickle_runtime.capture import install as capturing
from trickle_runtime.catalog.models import StreamTable
from trickle_runtime.catalog.store import Store
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.db.sql import render
from trickle_runtime.errors import DatabaseError, HasDependants
from trickle_runtime.refresh import definition, locks, opening, states
from trickle_runtime.refresh.members import queries

DEPENDENT_OBJECTS = "2BP01"


def drop(
    session: Session,
    schemas: Schemas,
    row: StreamTable,
    *,
    cascade: bool,
    detach: bool = False,
) -> list[str]:
    """Drop a stream table, with ``cascade`` those above it and views on them; commits.

    With ``detach`` the stream tables above stay: each finds by name what took the place of the
    dropped one, before its next refresh. Returns the names of what was dropped.

    Raises:
        HasDependants: something reads it.
    """
    session.commit()
    store = Store(session, schemas)
    above = [] if detach else _above(store, row)
    if above and not cascade:
        raise HasDependants(
            f"{row.relation} is read by other stream tables",
            detail=", ".join(one.relation for one in above),
            hint="Drop them first, or pass cascade.",
        )
    every = [*above, row]
    with locks.held(session, schemas, [one.pgt_id for one in every], wait=True):
        # Somebody may have renamed or dropped one while we waited.
        every = [store.by_id(one.pgt_id) for one in every]
        captured = {relid for one in every for relid in captured_by(store, one)}

        def remove_all() -> None:
            if detach:
                _detach(session, schemas, row)
            for one in every:
                remove(session, schemas, one, cascade=cascade)
            session.commit()

        opening.patiently(session, remove_all)
        for relid in sorted(captured):
            release(session, schemas, relid)
    return [one.relation for one in every]


def remove(session: Session, schemas: Schemas, row: StreamTable, *, cascade: bool = False) -> None:
    """Remove one stream table with all that is kept for it, in the open transaction."""
    store = Store(session, schemas)
    definition.unguard(session, schemas, row.pgt_id)
    names = [state["name"] for state in row.plan.get("states", ())]
    states.drop(session, schemas, list(reversed(names)))
    below = {one.source_pgt_id for one in store.dependencies(row.pgt_id)} - {None}
    changelog.drop(session, schemas, row.pgt_id)
    _drop_table(session, schemas, row, cascade=cascade)
    store.delete(row.pgt_id)
    for pgt_id in sorted(filter(None, below)):
        locks.lock_log(session, schemas, pgt_id)
        if not _is_read(store, pgt_id):
            changelog.drop(session, schemas, pgt_id)


def _detach(session: Session, schemas: Schemas, row: StreamTable) -> None:
    """Let the stream tables above be analysed again."""
    for pgt_id in Store(session, schemas).dependants(row.pgt_relid):
        definition.unguard(session, schemas, pgt_id)
    reason = f"{row.relation} was dropped"
    session.execute(queries(schemas)["mark_stale"], {"pgt_id": row.pgt_id, "reason": reason})


def _drop_table(session: Session, schemas: Schemas, row: StreamTable, *, cascade: bool) -> None:
    behaviour = "CASCADE" if cascade else "RESTRICT"
    text = render(
        queries(schemas)["drop_relation"],
        kind="TABLE",
        relation=row.relation,
        behaviour=behaviour,
    )
    if not _exists(session, schemas, row):
        return
    try:
        session.execute(text)
    except DatabaseError as error:
        if error.sqlstate != DEPENDENT_OBJECTS:
            raise
        session.rollback()
        raise HasDependants(
            f"other objects depend on {row.relation}",
            detail=error.detail,
            hint="Drop them first, or pass cascade.",
        ) from error


def _exists(session: Session, schemas: Schemas, row: StreamTable) -> bool:
    """Whether the relation of that name is still the one that was created."""
    found = session.execute(queries(schemas)["relation_of"], {"name": row.relation})
    return bool(found) and found[0]["relid"] == row.pgt_relid


def _above(store: Store, row: StreamTable) -> list[StreamTable]:
    """Return the stream tables that read it, directly or not, topmost first."""
    reads: dict[int, list[int]] = {one.pgt_id: [] for one in store.all()}
    for one in store.all_dependencies():
        if one.source_pgt_id is not None:
            reads.setdefault(one.pgt_id, []).append(one.source_pgt_id)
    found = dag.reachable(dag.readers(reads), row.pgt_id) - {row.pgt_id}
    order = [one for one in dag.topological_order(reads) if one in found]
    rows = {one.pgt_id: one for one in store.all(order)}
    return [rows[pgt_id] for pgt_id in reversed(order) if pgt_id in rows]


def captured_by(store: Store, row: StreamTable) -> list[int]:
    """Return the captured sources of a stream table."""
    return [
        one.source_relid
        for one in store.dependencies(row.pgt_id)
        if one.source_pgt_id is None and one.source_kind != "view"
    ]


def _is_read(store: Store, pgt_id: int) -> bool:
    return any(one.source_pgt_id == pgt_id for one in store.all_dependencies())


def release(session: Session, schemas: Schemas, relid: int) -> None:
    """Remove the capture of a source that nobody reads any more; left to cleanup if it is busy."""
    if Store(session, schemas).dependants(relid):
        session.rollback()
        return
    try:
        capturing.drop_capture(session, schemas, relid)
        session.commit()
    except DatabaseError as error:
        session.rollback()
        if not error.transient:
            raise
