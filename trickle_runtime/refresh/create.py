"""Creation of a stream table, in phases that each commit.

Invariant: a crash or a cancelled fill leaves a row ``initializing`` that holds no writer up;
creating again goes on from it. From phase 1 on a provisional frontier keeps every cleanup from
deleting changes that the fill does not see.

0. analyse, create the empty table, register it with what it reads;
1. capture the sources, each in a short transaction of its own;
2. fill at one REPEATABLE READ snapshot, index, and set the frontier.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from trickle_runtime.capture import changelog
from trickle_runtime.capture import install as capturing
from trickle_runtime.catalog.models import StreamTable
from trickle_runtime.catalog.store import Store
from trickle_runtime.compiler.apply import Target
from trickle_runtime.compiler.result import OutputColumn, SourceUse
from trickle_runtime.config import Constraint, GateTest, Schemas, StreamTableOptions
from trickle_runtime.db.session import Session
from trickle_runtime.db.sql import render
from trickle_runtime.errors import (
    AlreadyExists,
    DatabaseError,
    DependencyCycle,
    InvalidConfig,
    TrickleError,
)
from trickle_runtime.refresh import (
    alerts,
    constraints,
    definition,
    drop,
    fill,
    filling,
    gate,
    locks,
    meaning,
    names,
)
from trickle_runtime.refresh.definition import Definition
from trickle_runtime.refresh.members import queries
from trickle_runtime.refresh.names import Name, RelationName
from trickle_runtime.refresh.result import StreamTableInfo
from trickle_runtime.refresh.settings import Settings, parse
from trickle_runtime.storage import partitioning, table
from trickle_runtime.storage.names import shorten

BESIDE = "__trickle_new"
DRAIN_ATTEMPTS = 20  # of 3 s each
LOCK_NOT_AVAILABLE = "55P03"


@dataclass(frozen=True)
class Plan:
    """What is to be created."""

    name: RelationName
    beside: RelationName  # where it is built: another name when a relation is replaced
    query: str
    options: StreamTableOptions
    settings: Settings
    meaning: dict[str, str]
    initiated_by: str
    replaces: str | None  # the kind of the relation that is replaced at the end
    gate: Sequence[GateTest] = ()
    constraints: Sequence[Constraint] = ()


def create(
    session: Session,
    schemas: Schemas,
    name: Name,
    query: str,
    options: StreamTableOptions,
    *,
    replace_relation: bool,
    initiated_by: str,
    tests: Sequence[GateTest] = (),
    wanted: Sequence[Constraint] = (),
) -> StreamTableInfo:
    """Create a stream table; commits several times, and what was open before.

    Raises:
        AlreadyExists: there is a relation of that name, and it is not to be replaced.
        GateFailed: a test of its gate fails on its first content; there is no table then.
    """
    session.commit()
    target = names.split(session, schemas, name)
    with _name_lock(session, schemas, target):
        left = _leftovers(session, schemas, target)
        replaces = _replaced(session, schemas, target, left, allowed=replace_relation)
        plan = Plan(
            name=target,
            beside=_beside(target) if replaces else target,
            query=query,
            options=options,
            settings=parse(Store(session, schemas).settings()),
            meaning=meaning.current(session, schemas),
            initiated_by=initiated_by,
            replaces=replaces,
            gate=tests,
            constraints=wanted,
        )
        found = _resume(session, schemas, plan, left)
        pgt_id, defined = found or register(session, schemas, plan)
        try:
            # Whoever drops the table meanwhile waits for its end.
            with locks.held(session, schemas, [pgt_id], wait=False):
                answer = _complete(session, schemas, plan, pgt_id, defined)
        except TrickleError as error:
            if fill.cancelled(error):
                session.rollback()
            else:
                _undo(session, schemas, pgt_id, error)
            raise
        return replace(answer, resumed=found is not None)


def register(session: Session, schemas: Schemas, plan: Plan) -> tuple[int, Definition]:
    """Phase 0: create the empty table and everything the catalog says of it; commits."""
    store = Store(session, schemas)
    defined = definition.define(session, schemas, plan.query, plan.options, plan.meaning)
    check_key(plan.options, defined.columns)
    constraints.check(plan.constraints, [column.name for column in defined.columns])
    _refuse_itself(session, schemas, plan, defined)
    spec = partitioning.parse(plan.options.partition_by, defined.columns)
    relation = plan.beside.quoted
    session.execute(";\n".join(table.table_statements(relation, defined.columns, spec)))
    protect(session, schemas, relation)
    pgt_id = store.insert(
        pgt_relid=_relid(session, schemas, relation),
        pgt_schema=plan.name.schema,
        pgt_name=plan.name.name,
        query=plan.query,
        canonical_query=defined.analysis.canonical,
        **catalog_options(plan.options),
        status="initializing",
    )
    target = _target(plan, pgt_id, defined)
    defined = replace(defined, analysis=defined.analysis.with_target(target))
    definition.register(session, schemas, pgt_id, defined, version=1)
    log_sources(session, schemas, defined.analysis.sources)
    session.commit()
    return pgt_id, defined


def log_sources(session: Session, schemas: Schemas, sources: Sequence[SourceUse]) -> None:
    """Let the stream tables below keep change logs, in the open transaction.

    In one order everywhere: each log is locked until the transaction ends.
    """
    for pgt_id in sorted(source.pgt_id for source in sources if source.pgt_id is not None):
        locks.lock_log(session, schemas, pgt_id)
        changelog.ensure(session, schemas, pgt_id)


def capture_sources(session: Session, schemas: Schemas, sources: Sequence[SourceUse]) -> list[str]:
    """Phase 1: capture each source; commits after each. Returns the names that can't be captured.

    Passes over a stream table below that began before its readers were registered write no change
    log; they are waited for.
    """
    polled: list[str] = []
    for source in sorted(sources, key=lambda one: one.relid):
        if source.pgt_id is not None:
            _drain(session, schemas, source.name)
            continue
        found = capturing.ensure_capture(session, schemas, source.relid, source.attnums)
        if found.mode == "poll":
            polled.append(source.name)
    return polled


def catalog_options(options: StreamTableOptions) -> dict[str, object]:
    """Return options as columns of the catalog."""
    return {
        "schedule": options.schedule,
        "refresh_mode": options.refresh_mode,
        "partition_by": options.partition_by,
        "tier": options.tier,
        "cdc_mode": options.cdc_mode,
        "diamond_consistency": options.diamond_consistency,
        "append_only": options.append_only,
        "unique_key": options.unique_key,
        "fuse_mode": options.fuse,
        "fuse_state": "disabled" if options.fuse == "off" else "armed",
        "fuse_ceiling": options.fuse_ceiling,
        "fuse_sensitivity": options.fuse_sensitivity,
    }


def check_key(options: StreamTableOptions, columns: Sequence[OutputColumn]) -> None:
    """See that a declared key consists of columns of the query and can be enforced."""
    names = [column.name for column in columns]
    key = options.unique_key or ()
    for name in key:
        if name not in names:
            raise InvalidConfig(
                f"unique_key {name!r} is no column of the query",
                hint=f"Columns: {', '.join(names)}.",
            )
    if len(key) > table.MAX_INDEX_COLUMNS:
        raise InvalidConfig(
            f"unique_key has {len(key)} columns",
            hint=f"PostgreSQL enforces uniqueness over {table.MAX_INDEX_COLUMNS} at most.",
        )
    spec = partitioning.parse(options.partition_by, columns) if key else None
    missing = sorted(set(spec.columns) - set(key)) if spec is not None else []
    if missing:
        raise InvalidConfig(
            f"unique_key {', '.join(key)} can't be enforced across partitions",
            hint=f"Add the columns of partition_by to it: {', '.join(missing)}.",
        )


def protect(session: Session, schemas: Schemas, relation: str) -> None:
    """Let nobody but a refresh change the rows of a stream table."""
    session.execute(render(queries(schemas)["protect"], relation=relation))


def _complete(
    session: Session, schemas: Schemas, plan: Plan, pgt_id: int, defined: Definition
) -> StreamTableInfo:
    """Phases 1 and 2."""
    started = time.perf_counter()
    store = Store(session, schemas)
    filling.capturing(session, schemas, pgt_id)
    session.commit()
    polled = capture_sources(session, schemas, defined.analysis.sources)
    if polled:
        target = _target(plan, pgt_id, defined)
        defined = definition.define(
            session, schemas, plan.query, plan.options, plan.meaning, target, polled=polled
        )
        definition.register(session, schemas, pgt_id, defined, version=1)
    store.register_frontier(pgt_id)
    session.commit()
    job = fill.Job(
        pgt_id=pgt_id,
        relation=plan.beside.quoted,
        options=plan.options,
        settings=plan.settings,
        defined=defined,
        replaces=plan.replaces,
        name=plan.name,
        initiated_by=plan.initiated_by,
        constraints=plan.constraints,
    )
    filling.filling(session, schemas, pgt_id, defined.analysis.fill_sql())
    rows = fill.fill(session, schemas, job)
    filling.ended(session, schemas, pgt_id)
    _set_gate(session, schemas, plan, pgt_id)
    _warn_of_fallback(session, schemas, plan, defined)
    session.commit()
    return info(store.by_id(pgt_id), defined, rows=rows, duration=time.perf_counter() - started)


def _set_gate(session: Session, schemas: Schemas, plan: Plan, pgt_id: int) -> None:
    """Keep the gate; the content that the open transaction has made must pass it."""
    gate.put(session, schemas, pgt_id, plan.gate)
    if plan.gate and plan.options.initialize:
        tests = gate.stored(session, schemas, pgt_id)
        gate.require(session, schemas, pgt_id, plan.name.quoted, plan.meaning, tests)


def info(row: StreamTable, defined: Definition, *, rows: int, duration: float) -> StreamTableInfo:
    """Return what creation answers."""
    return StreamTableInfo(
        name=row.relation,
        pgt_id=row.pgt_id,
        relid=row.pgt_relid,
        status=row.status,
        refresh_mode=row.refresh_mode,
        effective_mode=row.effective_mode,
        reasons=defined.reasons,
        columns=tuple((column.name, column.type) for column in defined.columns),
        key=defined.analysis.key,
        rows=rows,
        duration=duration,
    )


def _target(plan: Plan, pgt_id: int, defined: Definition) -> Target:
    return definition.target_of(
        pgt_id,
        plan.name.quoted,
        plan.options,
        defined.columns,
        log=False,
        sequential=constraints.unique(plan.constraints),
    )


def _leftovers(session: Session, schemas: Schemas, target: RelationName) -> list[StreamTable]:
    """Return what interrupted creations of this table have left."""
    store = Store(session, schemas)
    found = [store.find((one.schema, one.name)) for one in (target, _beside(target))]
    return [one for one in found if one is not None and one.status == "initializing"]


def _replaced(
    session: Session,
    schemas: Schemas,
    target: RelationName,
    left: Sequence[StreamTable],
    *,
    allowed: bool,
) -> str | None:
    """Return the kind of the relation that is to be replaced, if there is one."""
    rows = session.execute(queries(schemas)["relation_of"], {"name": target.quoted})
    if not rows or rows[0]["relid"] in {one.pgt_relid for one in left}:
        return None
    if not allowed or Store(session, schemas).find(rows[0]["relid"]):
        raise AlreadyExists(
            f"relation {target.quoted} already exists",
            hint="Drop it, choose another name, or alter it if it is a stream table.",
        )
    return str(rows[0]["kind"])


def _resume(
    session: Session, schemas: Schemas, plan: Plan, left: Sequence[StreamTable]
) -> tuple[int, Definition] | None:
    """Take over what an interrupted creation of the same has left; remove the rest. Commits."""
    found = None
    for row in left:
        defined = _unfinished(session, schemas, plan, row) if found is None else None
        if defined is not None:
            found = row.pgt_id, defined
        else:
            drop.remove(session, schemas, row)
        session.commit()
    return found


def _unfinished(
    session: Session, schemas: Schemas, plan: Plan, row: StreamTable
) -> Definition | None:
    """Return the definition of an unfinished stream table, if it is the one that is planned."""
    wanted = {
        **catalog_options(plan.options),
        "relation": plan.beside.quoted,
        "query": plan.query,
        "session_settings": plan.meaning,
    }
    if any(getattr(row, name) != value for name, value in wanted.items()):
        return None
    defined = definition.define(session, schemas, plan.query, plan.options, plan.meaning)
    target = _target(plan, row.pgt_id, defined)
    defined = replace(defined, analysis=defined.analysis.with_target(target))
    dependencies = set(definition.dependencies(row.pgt_id, defined.analysis))
    same = dependencies == set(Store(session, schemas).dependencies(row.pgt_id))
    return defined if same and defined.analysis.canonical == row.canonical_query else None


def _refuse_itself(session: Session, schemas: Schemas, plan: Plan, defined: Definition) -> None:
    if plan.replaces is None:
        return
    old = _relid(session, schemas, plan.name.quoted)
    if old in {one.relid for one in (*defined.analysis.sources, *defined.analysis.views)}:
        raise DependencyCycle(f"the query of {plan.name.quoted} reads {plan.name.quoted} itself")


def _beside(target: RelationName) -> RelationName:
    return replace(target, name=shorten(target.name, BESIDE))


def _relid(session: Session, schemas: Schemas, relation: str) -> int:
    return int(session.execute(queries(schemas)["relation_of"], {"name": relation})[0]["relid"])


def _drain(session: Session, schemas: Schemas, relation: str) -> None:
    """Wait for the passes that are writing to a stream table; commits.

    Longer at a time than for a source: nobody but passes has to wait behind us, and an autovacuum
    lets us go first only after ``deadlock_timeout``.
    """
    text = render(queries(schemas)["drain"], relation=relation)
    for attempt in range(DRAIN_ATTEMPTS):
        try:
            session.execute(text)
        except DatabaseError as error:
            session.rollback()
            if error.sqlstate != LOCK_NOT_AVAILABLE or attempt == DRAIN_ATTEMPTS - 1:
                raise
        else:
            session.commit()
            return


def _warn_of_fallback(session: Session, schemas: Schemas, plan: Plan, defined: Definition) -> None:
    if plan.options.refresh_mode == "auto" and defined.mode == "full":
        reasons = [one.code for one in defined.reasons if one.severity == "WARNING"]
        facts = {"mode": "full", "reasons": reasons}
        alerts.send(session, schemas, [alerts.Alert("mode_fallback", plan.name.quoted, facts)])


def _undo(session: Session, schemas: Schemas, pgt_id: int, error: TrickleError) -> None:
    """Leave nothing of a creation that failed; what can't be removed is removed by the next."""
    try:
        session.rollback()
        store = Store(session, schemas)
        row = store.by_id(pgt_id)
        captured = drop.captured_by(store, row)
        drop.remove(session, schemas, row)
        session.commit()
        for relid in sorted(captured):
            drop.release(session, schemas, relid)
    except TrickleError as second:
        raise error from second


@contextmanager
def _name_lock(session: Session, schemas: Schemas, target: RelationName) -> Generator[None]:
    """Let one session at a time create a stream table of this name."""
    parameters = {"space": locks.space(schemas), "name": target.quoted}
    if not session.execute(queries(schemas)["name_lock"], parameters)[0]["got"]:
        raise AlreadyExists(f"another session is creating {target.quoted}")
    try:
        yield
    finally:
        session.rollback()
        session.execute(queries(schemas)["name_unlock"], parameters)
        session.commit()
