"""Alteration of a stream table: options, query, storage.

Invariant: what is not given stays. A change of options alone touches one row of the catalog; a new
query is applied in place wherever the columns allow it, else the table is built beside and swapped
in; nothing is done for a query that PostgreSQL reads as the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trickle_runtime import dag
from trickle_runtime.catalog.models import StreamTable
from trickle_runtime.catalog.store import Store
from trickle_runtime.config import Constraint, GateTest, Schemas, StreamTableOptions
from trickle_runtime.db.session import Session
from trickle_runtime.errors import DependencyCycle, NotActive
from trickle_runtime.refresh import (
    belongings,
    constraints,
    create,
    gate,
    locks,
    meaning,
    opening,
    redefine,
    replace,
)
from trickle_runtime.refresh.definition import Definition
from trickle_runtime.refresh.members import queries
from trickle_runtime.refresh.redefine import Change
from trickle_runtime.refresh.result import AlterResult
from trickle_runtime.storage import partitioning, rebuild

COMPILED = frozenset({"refresh_mode", "unique_key"})  # options that the statements depend on


def alter(
    session: Session,
    schemas: Schemas,
    row: StreamTable,
    query: str | None,
    values: Mapping[str, Any],
    *,
    initiated_by: str,
    tests: Sequence[GateTest] | None = None,
    wanted: Sequence[Constraint] | None = None,
) -> AlterResult:
    """Apply what differs from the catalog; commits. A gate or constraints of None stay.

    Raises:
        DependencyCycle: the query would make the table depend on itself; nothing is changed.
        GateFailed: a test of its gate fails on the new content; nothing is changed.
    """
    session.commit()
    with locks.held(session, schemas, [row.pgt_id], wait=True):
        # Somebody may have altered or dropped it while we waited.
        row = Store(session, schemas).by_id(row.pgt_id)
        if row.status == "initializing":
            raise NotActive(
                f"{row.relation} is being created",
                hint="If nobody does so any more, create it again: that starts over.",
            )
        before = redefine.options_of(row)
        options = StreamTableOptions.parse(values, before)
        changed = [name for name in before.changes(options) if name != "initialize"]
        change = Change(
            row,
            query or row.query,
            options,
            "altered",
            initiated_by,
            gate=tests,
            constraints=wanted,
        )
        return _alter(session, schemas, change, changed)


def _alter(session: Session, schemas: Schemas, change: Change, changed: list[str]) -> AlterResult:
    if change.query != change.row.query:
        change, defined = _new_query(session, schemas, change)
        if defined is not None:
            changed.insert(0, "query")
            return _redefine(session, schemas, change, defined, changed)
    if COMPILED & set(changed):
        defined = redefine.analyse_change(session, schemas, change)
        create.check_key(change.options, defined.columns)
        return _redefine(session, schemas, change, defined, changed)
    return _set_options(session, schemas, change, changed)


def _new_query(
    session: Session, schemas: Schemas, change: Change
) -> tuple[Change, Definition | None]:
    """Analyse a new text; None where it says the same as before."""
    settings = meaning.current(session, schemas)
    change = redefine.with_settings(change, settings)
    defined = redefine.analyse_change(session, schemas, change)
    _refuse_cycle(session, schemas, change.row, defined)
    create.check_key(change.options, defined.columns)
    names = [column.name for column in defined.columns]
    constraints.check(change.constraints or (), names)
    if defined.analysis.canonical == change.row.canonical_query:
        Store(session, schemas).update(change.row.pgt_id, query=change.query)
        session.commit()
        return change, None
    return change, defined


def _redefine(
    session: Session,
    schemas: Schemas,
    change: Change,
    defined: Definition,
    changed: list[str],
) -> AlterResult:
    columns = redefine.stored_columns(change.row)
    partitioned = change.options.partition_by != change.row.partition_by
    changes = redefine.column_changes(columns, defined.columns)
    if changes is None:
        lost = replace.replace(session, schemas, change, defined)
        return AlterResult(change.row.relation, tuple(changed), "replaced", tuple(lost))
    pgt_id, relid = change.row.pgt_id, change.row.pgt_relid
    lost = belongings.taken_along(session, schemas, pgt_id, relid, changes.dropped)
    kept = redefine.keeping_partitions(change)
    redefine.redefine(session, schemas, kept, defined)
    action = "altered"
    if partitioned:
        row = Store(session, schemas).by_id(change.row.pgt_id)
        _repartition(session, schemas, redefine.on_row(change, row))
        action = "rebuilt"
    _set_status(session, schemas, change)
    return AlterResult(change.row.relation, tuple(changed), action, tuple(lost))


def _set_options(
    session: Session, schemas: Schemas, change: Change, changed: list[str]
) -> AlterResult:
    changed += _set_constraints(session, schemas, change)
    if change.gate is not None and gate.put(session, schemas, change.row.pgt_id, change.gate):
        changed.append("gate")
        session.commit()
        change = redefine.on_row(change, Store(session, schemas).by_id(change.row.pgt_id))
    if not changed:
        session.commit()
        return AlterResult(change.row.relation, (), "unchanged")
    action = "altered"
    if "partition_by" in changed:
        create.check_key(change.options, redefine.stored_columns(change.row))
        _repartition(session, schemas, change)
        action = "rebuilt"
    Store(session, schemas).update(change.row.pgt_id, **_columns(session, schemas, change))
    _set_status(session, schemas, change)
    return AlterResult(change.row.relation, tuple(changed), action)


def _set_constraints(session: Session, schemas: Schemas, change: Change) -> list[str]:
    """Set the constraints of a table that keeps its query; commits."""
    row, wanted = change.row, change.constraints
    if wanted is None:
        return []
    constraints.check(wanted, [column.name for column in redefine.stored_columns(row)])

    def set_all() -> bool:
        different = constraints.set_all(session, schemas, row.pgt_id, row.relation, wanted)
        session.commit()
        return different

    return ["constraints"] if opening.patiently(session, set_all) else []


def _columns(session: Session, schemas: Schemas, change: Change) -> dict[str, object]:
    """Return the options as columns; a blown fuse stays blown until it is reset or taken out."""
    columns = create.catalog_options(change.options)
    blown = change.row.fuse_state == "blown"
    if blown and (
        change.options.fuse != "off" or gate.has_blown(session, schemas, change.row.pgt_id)
    ):
        columns["fuse_state"] = "blown"
    elif blown:
        columns |= {"blown_at": None, "blow_reason": None}
    return columns


def _set_status(session: Session, schemas: Schemas, change: Change) -> None:
    """Pause or resume where that was asked for, and let the daemon look again; commits."""
    row, wanted = change.row, change.options.status
    if wanted == "paused" and row.status != "paused":
        Store(session, schemas).update(row.pgt_id, status="paused")
    elif wanted == "active" and row.status == "paused":
        Store(session, schemas).update(row.pgt_id, status="active")
    session.execute(queries(schemas)["wake"], {"pgt_id": row.pgt_id})
    session.commit()


def _repartition(session: Session, schemas: Schemas, change: Change) -> None:
    """Give the table another partitioning, in the open transaction; its rows stay."""
    row = change.row
    columns = redefine.stored_columns(row)
    key = row.plan.get("key")
    session.execute(queries(schemas)["let_through"])
    rebuild.change_partitioning(
        session,
        schemas,
        rebuild.Definition(
            pgt_id=row.pgt_id,
            relation=row.relation,
            columns=columns,
            key=None if key is None else tuple(key),
            spec=partitioning.parse(change.options.partition_by, columns),
        ),
        partitioning.parse(row.partition_by, columns),
    )
    Store(session, schemas).update(row.pgt_id, partition_by=change.options.partition_by)


def _refuse_cycle(
    session: Session, schemas: Schemas, row: StreamTable, defined: Definition
) -> None:
    store = Store(session, schemas)
    reads: dict[int, list[int]] = {one.pgt_id: [] for one in store.all()}
    for one in store.all_dependencies():
        if one.source_pgt_id is not None:
            reads.setdefault(one.pgt_id, []).append(one.source_pgt_id)
    above = dag.reachable(dag.readers(reads), row.pgt_id)
    found = [one.name for one in defined.analysis.sources if one.pgt_id in above]
    if found:
        raise DependencyCycle(
            f"{row.relation} would depend on itself",
            detail=f"Its query reads {', '.join(found)}.",
        )
