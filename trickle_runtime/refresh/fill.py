"""Phase 2 of creation: the content, at one snapshot.

Invariant: one REPEATABLE READ transaction, whose locks are taken before its snapshot; rows,
states, indexes, frontier and status become visible together.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from trickle_runtime.catalog.models import HistoryEntry
from trickle_runtime.catalog.store import Store
from trickle_runtime.config import Constraint, Schemas, StreamTableOptions
from trickle_runtime.db.session import Session
from trickle_runtime.db.sql import quote_ident, render
from trickle_runtime.errors import DatabaseError, InvalidConfig, TrickleError
from trickle_runtime.refresh import constraints, definition, meaning, opening, result, states
from trickle_runtime.refresh.definition import Definition
from trickle_runtime.refresh.members import Observation, observe, queries
from trickle_runtime.refresh.names import RelationName
from trickle_runtime.refresh.settings import Settings
from trickle_runtime.storage import partitioning, rebuild, table
from trickle_runtime.storage.names import schema_and_name

ATTEMPTS = 20
CANCELED = "57014"
KEY_ERRORS = {"23505": "is not unique", "42704": "can't be indexed"}
KINDS = {
    "r": "TABLE",
    "p": "TABLE",
    "v": "VIEW",
    "m": "MATERIALIZED VIEW",
    "f": "FOREIGN TABLE",
}


@dataclass(frozen=True)
class Job:
    """A registered stream table that has no content yet."""

    pgt_id: int
    relation: str  # where it is built
    options: StreamTableOptions
    settings: Settings
    defined: Definition
    replaces: str | None  # the kind of the relation whose name it takes
    name: RelationName
    initiated_by: str
    constraints: Sequence[Constraint] = ()


def fill(session: Session, schemas: Schemas, job: Job) -> int:
    """Fill the table, or leave it empty where that was asked for; returns its rows.

    Commits what is open before; leaves its own transaction for the caller to commit.
    """
    for attempt in range(ATTEMPTS):
        try:
            return _fill(session, schemas, job, _open(session, schemas, job))
        except (opening.RelationsMoved, DatabaseError) as error:
            session.rollback()
            again = isinstance(error, opening.RelationsMoved) or error.transient
            if not again or cancelled(error) or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError


def cancelled(error: TrickleError) -> bool:
    """Whether somebody cancelled the fill, or a timeout did: it may be gone on with later."""
    return isinstance(error, DatabaseError) and error.sqlstate == CANCELED


def _open(session: Session, schemas: Schemas, job: Job) -> Observation:
    member = _seen(session, schemas, job).members[job.pgt_id]
    write = {job.relation: member.relid}
    locked = opening.begin(
        session, schemas, job.settings.lock_timeout, write=write, read=member.lockable
    )
    seen = _seen(session, schemas, job)
    opening.check(locked, seen.members[job.pgt_id].lockable.items())
    opening.hold(session, schemas, seen.members[job.pgt_id].materialized_views)
    return seen


def _fill(session: Session, schemas: Schemas, job: Job, seen: Observation) -> int:
    started = time.perf_counter()
    store = Store(session, schemas)
    places = {f"{schemas.prefix}.refreshing": "on"}
    meaning.apply(session, schemas, {**job.defined.settings, **places})
    analysis = job.defined.analysis
    states.create(session, schemas, analysis.states, fill=job.options.initialize)
    rows = insert_rows(session, schemas, job) if job.options.initialize else 0
    create_indexes(session, job)
    final = job.replaces is None
    constraints.add(session, schemas, job.pgt_id, job.relation, job.constraints, final=final)
    definition.guard(session, schemas, job.settings, job.pgt_id, analysis.canonical)
    if job.replaces is not None:
        _take_name(session, schemas, job)
        constraints.name_all(session, schemas, job.pgt_id, job.name.quoted)
    analyze(session, schemas, job)
    set_frontier(session, schemas, job)
    done = job.options.initialize
    store.update(
        job.pgt_id,
        status=job.options.status,
        is_populated=done,
    )
    if done:
        _record(store, job, rows, (time.perf_counter() - started) * 1000)
    return rows


def insert_rows(session: Session, schemas: Schemas, job: Job) -> int:
    """Fill the table by its query; returns the number of rows."""
    query = job.defined.analysis.fill_sql()
    spec = partitioning.parse(job.options.partition_by, job.defined.columns)
    partitioning.ensure_partitions(session, job.relation, spec, partitioning.fill_source(query))
    text = queries(schemas)
    columns = ", ".join(quote_ident(column.name) for column in job.defined.columns)
    session.execute(render(text["fill"], relation=job.relation, columns=columns, query=query))
    counted = session.execute(render(text["count_rows"], relation=job.relation))
    return int(counted[0]["rows"])


def create_indexes(session: Session, job: Job) -> None:
    """Index last: building is faster than maintaining, and verifies the declared key."""
    analysis = job.defined.analysis
    spec = partitioning.parse(job.options.partition_by, job.defined.columns)
    statements = table.identity_statements(job.relation, analysis.columns, analysis.key, spec)
    try:
        if statements:
            session.execute(";\n".join(statements))
    except DatabaseError as error:
        key = job.options.unique_key
        if key is None or error.sqlstate not in KEY_ERRORS:
            raise
        problem = KEY_ERRORS[error.sqlstate]
        detail = error.detail or error.message
        raise InvalidConfig(f"unique_key {', '.join(key)} {problem}", detail=detail) from error


def _take_name(session: Session, schemas: Schemas, job: Job) -> None:
    """Drop the relation that is replaced, at the last moment, and take its name."""
    text = queries(schemas)
    kind = KINDS[job.replaces or "r"]
    statements = [
        render(text["drop_relation"], kind=kind, relation=job.name.quoted, behaviour="CASCADE"),
        render(text["rename_relation"], relation=job.relation, name=quote_ident(job.name.name)),
    ]
    session.execute(";\n".join(statements))
    rebuild.adopt(session, job.name.quoted, schema_and_name(job.relation)[1])


def analyze(session: Session, schemas: Schemas, job: Job) -> None:
    """Tell the planner what the new tables hold."""
    relation = job.relation if job.replaces is None else job.name.quoted
    names = [relation, *(state.name for state in job.defined.analysis.states)]
    template = queries(schemas)["analyze"]
    session.execute(";\n".join(render(template, relation=name) for name in names))


def set_frontier(session: Session, schemas: Schemas, job: Job) -> None:
    """Say that the table holds what its sources held at this transaction's snapshot."""
    upstream = {
        str(one.pgt_id): one.refresh_no
        for one in observe(session, schemas, [job.pgt_id]).members[job.pgt_id].sources
        if one.pgt_id is not None
    }
    session.execute(
        queries(schemas)["filled"],
        {
            "pgt_id": job.pgt_id,
            "upstream": json.dumps(upstream),
            "done": job.options.initialize,
        },
    )


def _record(store: Store, job: Job, rows: int, milliseconds: float) -> None:
    store.insert_history(
        HistoryEntry(
            pgt_id=job.pgt_id,
            action=result.INITIALIZE,
            status=result.COMPLETED,
            initiated_by="initial",
            inserted=rows,
            duration_ms=milliseconds,
        )
    )


def _seen(session: Session, schemas: Schemas, job: Job) -> Observation:
    seen = observe(session, schemas, [job.pgt_id])
    if job.pgt_id not in seen.members:
        raise opening.RelationsMoved
    return seen
