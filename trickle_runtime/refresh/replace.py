"""A stream table whose columns can't follow a new query in place: built beside, then swapped in.

Invariant: one REPEATABLE READ transaction; readers see the old content until it commits. The
table's number, history and what users put on it stay; its OID does not. Stream tables above are
analysed again before their next refresh; what else depends on the old table is named in an error,
and nothing has changed then.
"""

from __future__ import annotations

from trickle_runtime.capture import changelog
from trickle_runtime.catalog.models import HistoryEntry, StreamTable
from trickle_runtime.catalog.store import Store
from trickle_runtime.config import Constraint, Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.db.sql import load_queries, qualified, quote_ident, render
from trickle_runtime.errors import DatabaseError, HasDependants
from trickle_runtime.refresh import (
    belongings,
    constraints,
    create,
    definition,
    fill,
    meaning,
    opening,
    redefine,
    result,
    states,
)
from trickle_runtime.refresh.definition import Definition
from trickle_runtime.refresh.members import Observation, queries
from trickle_runtime.refresh.names import RelationName
from trickle_runtime.refresh.redefine import DEPENDENT_OBJECTS, Change
from trickle_runtime.refresh.settings import Settings, parse
from trickle_runtime.storage import indexes, partitioning, rebuild, table
from trickle_runtime.storage.names import schema_and_name, shorten
from trickle_runtime.storage.views import views_on

REASON = "its query was replaced"


def replace(session: Session, schemas: Schemas, change: Change, defined: Definition) -> list[str]:
    """Put a new table in the place of the old one; the caller holds its lock. Commits.

    Returns the names of what users put on the old table and the new one can't have.

    Raises:
        ConstraintViolated: the new rows violate a constraint.
        HasDependants: views or other objects read the old table.
        GateFailed: a test of its gate fails on the new content; nothing is changed.
    """
    settings = parse(Store(session, schemas).settings())
    defined = redefine.capture(session, schemas, change, defined)
    return opening.patiently(
        session, lambda: _replace(session, schemas, settings, change, defined)
    )


def _replace(
    session: Session,
    schemas: Schemas,
    settings: Settings,
    change: Change,
    defined: Definition,
) -> list[str]:
    row = change.row
    store = Store(session, schemas)
    seen = redefine.locked(session, schemas, row)
    job = fill.Job(
        pgt_id=row.pgt_id,
        relation=qualified(row.pgt_schema, shorten(row.pgt_name, create.BESIDE)),
        options=change.options,
        settings=settings,
        defined=defined,
        replaces=None,
        name=RelationName(row.pgt_schema, row.pgt_name),
        initiated_by=change.initiated_by,
        constraints=_constraints(session, schemas, change),
    )
    on_it = belongings.found(session, schemas, row.pgt_id, row.pgt_relid, row.relation)
    rows = _build(session, schemas, job, seen)
    following, lost = belongings.build_indexes(session, job.relation, on_it)
    _swap(session, schemas, job, row, logged=seen.members[row.pgt_id].logged)
    indexes.take_names(session, row.relation, row.pgt_id, following)
    lost = sorted([*lost, *belongings.put(session, on_it)])
    definition.register(session, schemas, row.pgt_id, defined, row.definition_version + 1)
    definition.guard(session, schemas, settings, row.pgt_id, defined.analysis.canonical)
    store.update(row.pgt_id, **create.catalog_options(change.options), reinit_reason=None)
    fill.set_frontier(session, schemas, job)
    store.insert_history(
        HistoryEntry(
            pgt_id=row.pgt_id,
            action=result.REINITIALIZE,
            status=result.COMPLETED,
            reason=REASON,
            initiated_by=change.initiated_by,
            inserted=rows,
        )
    )
    session.execute(
        queries(schemas)["mark_stale"],
        {"pgt_id": row.pgt_id, "reason": f"{row.relation} was replaced"},
    )
    store.update(row.pgt_id, is_populated=True)
    redefine.pass_gate(session, schemas, change, defined)
    session.commit()
    return lost


def _constraints(session: Session, schemas: Schemas, change: Change) -> list[Constraint]:
    if change.constraints is not None:
        return list(change.constraints)
    return [one.wanted for one in constraints.stored(session, schemas, change.row.pgt_id)]


def _build(session: Session, schemas: Schemas, job: fill.Job, seen: Observation) -> int:
    """Create and fill the new table and its states; the old states go."""
    spec = partitioning.parse(job.options.partition_by, job.defined.columns)
    session.execute(";\n".join(table.table_statements(job.relation, job.defined.columns, spec)))
    create.protect(session, schemas, job.relation)
    meaning.apply(session, schemas, {**job.defined.settings, f"{schemas.prefix}.refreshing": "on"})
    old = seen.members[job.pgt_id].states
    states.drop(session, schemas, list(reversed(old)))
    states.create(session, schemas, job.defined.analysis.states, fill=True)
    rows = fill.insert_rows(session, schemas, job)
    fill.create_indexes(session, job)
    constraints.add(session, schemas, job.pgt_id, job.relation, job.constraints, final=False)
    fill.analyze(session, schemas, job)
    return rows


def _swap(
    session: Session, schemas: Schemas, job: fill.Job, row: StreamTable, *, logged: bool
) -> None:
    """Drop the old table and give its name to the new one."""
    store = Store(session, schemas)
    for pgt_id in store.dependants(row.pgt_relid):
        definition.unguard(session, schemas, pgt_id)
    definition.unguard(session, schemas, row.pgt_id)
    moving = load_queries("storage/rebuild.sql", schemas)
    for one in session.execute(moving["default_grantees"], {"relation": job.relation}):
        session.execute(one["statement"])
    _drop(session, schemas, row)
    rename = render(
        queries(schemas)["rename_relation"],
        relation=job.relation,
        name=quote_ident(row.pgt_name),
    )
    session.execute(rename)
    rebuild.adopt(session, row.relation, schema_and_name(job.relation)[1])
    constraints.name_all(session, schemas, row.pgt_id, row.relation)
    new = session.execute(queries(schemas)["relation_of"], {"name": row.relation})[0]["relid"]
    session.execute(moving["follow"], {"old": row.pgt_relid, "new": new})
    if logged:
        changelog.drop(session, schemas, row.pgt_id)
        changelog.ensure(session, schemas, row.pgt_id)


def _drop(session: Session, schemas: Schemas, row: StreamTable) -> None:
    text = render(
        queries(schemas)["drop_relation"],
        kind="TABLE",
        relation=row.relation,
        behaviour="RESTRICT",
    )
    try:
        session.execute(text)
    except DatabaseError as error:
        if error.sqlstate != DEPENDENT_OBJECTS:
            raise
        session.rollback()
        raise HasDependants(
            f"the columns of {row.relation} can't change while other objects read it",
            detail=error.detail,
            hint="Drop them, alter the stream table, and create them again.",
            views=views_on(session, row.pgt_relid),
        ) from error
