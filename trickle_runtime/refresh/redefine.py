"""A new definition for an existing stream table, in place.

Invariant: one REPEATABLE READ transaction brings columns, states, catalog and content from the old
query to the new one, the content by difference: readers and stream tables above see either all of
the old or all of the new, and the table keeps its OID.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from trickle_runtime.catalog.models import StreamTable
from trickle_runtime.catalog.store import Store
from trickle_runtime.compiler.apply import Target
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.config import Constraint, GateTest, Schemas, StreamTableOptions
from trickle_runtime.db.session import Session
from trickle_runtime.db.sql import quote_ident, render
from trickle_runtime.errors import DatabaseError, HasDependants, SourceChanged, View
from trickle_runtime.refresh import (
    bookkeeping,
    constraints,
    create,
    definition,
    gate,
    meaning,
    opening,
    result,
    states,
)
from trickle_runtime.refresh.definition import Definition
from trickle_runtime.refresh.member import Runner, Work
from trickle_runtime.refresh.members import (
    Member,
    Observation,
    log_name,
    observe,
    queries,
)
from trickle_runtime.refresh.result import RefreshResult
from trickle_runtime.refresh.settings import Settings, parse
from trickle_runtime.storage import partitioning, table
from trickle_runtime.storage.views import views_on

DEPENDENT_OBJECTS = "2BP01"


@dataclass(frozen=True)
class ColumnChanges:
    """How the columns of a table become those of a new query."""

    added: tuple[OutputColumn, ...]
    dropped: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """A new definition, and why."""

    row: StreamTable
    query: str
    options: StreamTableOptions
    reason: str
    initiated_by: str
    settings: Mapping[str, str] | None = None  # of the session; None: as they were
    kept_query: str | None = None  # what the user wrote, where ``query`` is the expanded text
    gate: Sequence[GateTest] | None = None  # None: as it is
    constraints: Sequence[Constraint] | None = None  # None: as they are


def with_settings(change: Change, settings: Mapping[str, str]) -> Change:
    """Return the change with the session settings that a new query is to keep."""
    return replace(change, settings=settings)


def keeping_partitions(change: Change) -> Change:
    """Return the change without its partitioning, which is another step."""
    return replace(change, options=replace(change.options, partition_by=change.row.partition_by))


def on_row(change: Change, row: StreamTable) -> Change:
    """Return the change for the row as it is by now."""
    return replace(change, row=row)


def options_of(row: StreamTable) -> StreamTableOptions:
    """Return the options that the catalog has of a stream table."""
    return StreamTableOptions(
        schedule=row.schedule,
        refresh_mode=row.refresh_mode,
        partition_by=row.partition_by,
        fuse=row.fuse_mode,
        fuse_ceiling=row.fuse_ceiling,
        fuse_sensitivity=row.fuse_sensitivity,
        tier=row.tier,
        cdc_mode=row.cdc_mode,
        diamond_consistency=row.diamond_consistency,
        status="paused" if row.status == "paused" else "active",
        append_only=row.append_only,
        unique_key=row.unique_key,
    )


def column_changes(
    before: Sequence[OutputColumn], after: Sequence[OutputColumn]
) -> ColumnChanges | None:
    """Return what to add and drop, or None where a table can't follow in place.

    It can where the columns that stay keep order and type, and new ones are last: PostgreSQL adds
    columns at the end.
    """
    old = {column.name: column for column in before}
    names = {column.name for column in after}
    kept = [column for column in before if column.name in names]
    head, tail = after[: len(kept)], after[len(kept) :]
    if not kept or not all(_same(*pair) for pair in zip(kept, head, strict=True)):
        return None
    dropped = tuple(name for name in old if name not in names)
    return ColumnChanges(tuple(tail), dropped)


def _same(one: OutputColumn, other: OutputColumn) -> bool:
    return (one.name, one.type, one.collation) == (other.name, other.type, other.collation)


def analyse_change(session: Session, schemas: Schemas, change: Change) -> Definition:
    """Analyse the new query as the session that created the table would; nothing is changed.

    Raises:
        SourceChanged: the query does not give these columns any more.
    """
    row = change.row
    columns = stored_columns(row)
    settings = dict(change.settings or row.session_settings)
    meaning.apply(session, schemas, settings)
    target = _target(session, schemas, change, columns)
    defined = definition.define(session, schemas, change.query, change.options, settings, target)
    defined = replace(defined, query=change.kept_query or change.query)
    if change.kept_query is not None and not _alike(defined.columns, columns):
        raise SourceChanged(
            f"the query of {row.relation} gives other columns than before",
            detail=_difference(columns, defined.columns),
            hint="Alter the stream table with its query, so that it takes them over.",
        )
    return defined


def _target(
    session: Session, schemas: Schemas, change: Change, columns: Sequence[OutputColumn]
) -> Target:
    member = observe(session, schemas, [change.row.pgt_id]).members[change.row.pgt_id]
    return definition.target_of(
        member.pgt_id,
        change.row.relation,
        change.options,
        columns,
        log=member.logged,
        sequential=member.sequential or constraints.unique(change.constraints or ()),
    )


def redefine(
    session: Session, schemas: Schemas, change: Change, defined: Definition
) -> RefreshResult:
    """Bring a stream table to a new definition; the caller holds its lock. Commits.

    Raises:
        HasDependants: a view or stream table reads a column that would be dropped.
        GateFailed: a test of its gate fails on the new content; nothing is changed.
    """
    settings = parse(Store(session, schemas).settings())
    defined = capture(session, schemas, change, defined)
    return opening.patiently(
        session, lambda: _redefine(session, schemas, settings, change, defined)
    )


def capture(
    session: Session,
    schemas: Schemas,
    change: Change,
    defined: Definition,
) -> Definition:
    """Capture what the new query reads, before anything else is changed; commits.

    What both queries read is registered meanwhile, so that nobody's cleanup takes it away.
    """
    session.commit()  # what was read for the analysis holds locks on change logs
    store = Store(session, schemas)
    pgt_id = change.row.pgt_id
    wanted = definition.dependencies(pgt_id, defined.analysis)
    relids = {one.source_relid for one in wanted}
    stale = [one for one in store.dependencies(pgt_id) if one.source_relid not in relids]
    store.set_dependencies(pgt_id, [*wanted, *stale])
    create.log_sources(session, schemas, defined.analysis.sources)
    session.commit()
    polled = create.capture_sources(session, schemas, defined.analysis.sources)
    if not polled:
        return defined
    meaning.apply(session, schemas, defined.settings)
    found = definition.define(
        session,
        schemas,
        change.query,
        change.options,
        defined.settings,
        defined.analysis.target,
        polled=polled,
    )
    return replace(found, query=defined.query)


def _redefine(
    session: Session,
    schemas: Schemas,
    settings: Settings,
    change: Change,
    defined: Definition,
) -> RefreshResult:
    row = change.row
    seen = locked(session, schemas, row)
    old = seen.members[row.pgt_id]
    relation = row.relation
    _see_droppable(session, schemas, change, defined)
    states.drop(session, schemas, list(reversed(old.states)))
    definition.register(session, schemas, row.pgt_id, defined, row.definition_version + 1)
    meaning.apply(session, schemas, {**defined.settings, f"{schemas.prefix}.refreshing": "on"})
    states.create(session, schemas, defined.analysis.states, fill=False)
    definition.guard(session, schemas, settings, row.pgt_id, defined.analysis.canonical)
    Store(session, schemas).update(row.pgt_id, **create.catalog_options(change.options))
    now = observe(session, schemas, [row.pgt_id])
    member = now.members[row.pgt_id]
    work = Work(
        member,
        "full",
        result.REINITIALIZE,
        change.reason,
        frozenset(),
        {one.pgt_id: one.refresh_no for one in member.sources if one.pgt_id is not None},
        member.changes,
    )
    later: list[str] = []

    def prepare() -> None:
        if change.constraints is not None:
            constraints.drop_others(session, schemas, row.pgt_id, relation, change.constraints)
        _change_relations(session, schemas, old, change, defined)
        constraints.see_kept(session, schemas, row.pgt_id, relation)
        later.extend(_change_identity(session, schemas, change, defined))

    # Readers see the old content while the new is computed, and wait while it is written.
    runner = Runner(session, schemas, now, change.initiated_by)
    outcome = runner.run(replace(work, prepare=prepare))
    with constraints.violations(relation):
        for statement in later:
            session.execute(statement)
    if change.constraints is not None:
        constraints.add_missing(session, schemas, row.pgt_id, relation, change.constraints)
    pass_gate(session, schemas, change, defined)
    session.commit()
    bookkeeping.succeeded(session, schemas, [(work, outcome)])
    session.commit()
    return outcome


def pass_gate(session: Session, schemas: Schemas, change: Change, defined: Definition) -> None:
    """Run the gate on the content that the open transaction has made; its fuse is whole then."""
    row = change.row
    if change.gate is not None:
        gate.put(session, schemas, row.pgt_id, change.gate)
    tests = gate.stored(session, schemas, row.pgt_id)
    gate.require(session, schemas, row.pgt_id, row.relation, defined.settings, tests)
    if row.fuse_state == "blown":
        gate.passed(session, schemas, row.pgt_id)


def locked(session: Session, schemas: Schemas, row: StreamTable) -> Observation:
    """Open the transaction; its snapshot is taken before anything is written."""
    member = observe(session, schemas, [row.pgt_id]).members[row.pgt_id]
    write = {row.relation: row.pgt_relid}
    timeout = Store(session, schemas).setting("lock_timeout")
    names = opening.begin(session, schemas, timeout, write=write, read=member.lockable)
    seen = observe(session, schemas, [row.pgt_id])
    opening.check(names, seen.members[row.pgt_id].lockable.items())
    opening.hold(session, schemas, seen.members[row.pgt_id].materialized_views)
    return seen


def _change_identity(
    session: Session, schemas: Schemas, change: Change, defined: Definition
) -> list[str]:
    """Make the indexes by which rows are found fit another key; return what is to be done later.

    A unique index has to wait for the new rows; the plain ones are needed to bring them in. Those
    that fit stay: readers would wait for a dropped one until the new rows are there.
    """
    row, analysis = change.row, defined.analysis
    spec = partitioning.parse(change.options.partition_by, analysis.columns)
    make = partial(table.identity_statements, row.relation, spec=spec)
    needed = make(analysis.columns, analysis.key, name="it")
    if needed == make(stored_columns(row), row.plan.get("key"), name="it"):
        return []
    text = queries(schemas)
    for index in session.execute(text["identity_indexes"], {"relid": row.pgt_relid}):
        session.execute(render(text["drop_index"], index=index["name"]))
    statements = make(analysis.columns, analysis.key)
    if analysis.key is not None:
        return statements
    for statement in statements:
        session.execute(statement)
    return []


def _changes(change: Change, defined: Definition) -> ColumnChanges:
    changes = column_changes(stored_columns(change.row), defined.columns)
    if changes is None:
        raise AssertionError("the caller has checked that the columns can follow")
    return changes


def _see_droppable(
    session: Session, schemas: Schemas, change: Change, defined: Definition
) -> None:
    """See that nothing reads a column that would be dropped, before anything is computed.

    Raises:
        HasDependants: something does.
    """
    relid, columns = change.row.pgt_relid, list(_changes(change, defined).dropped)
    if not columns:
        return
    values = {"relid": relid, "columns": columns}
    found = session.execute(queries(schemas)["readers_of_columns"], values)
    if found:
        detail = "\n".join(str(one["reads"]) for one in found)
        only_views = all(one["is_view"] for one in found)
        views = views_on(session, relid, columns=columns) if only_views else []
        raise _has_dependants(change.row.relation, detail, views)


def _has_dependants(
    relation: str, detail: str | None, views: Sequence[View] = ()
) -> HasDependants:
    return HasDependants(
        f"a column of {relation} can't be dropped",
        detail=detail,
        hint="Drop what reads it, or keep the column.",
        views=views,
    )


def _change_relations(
    session: Session, schemas: Schemas, old: Member, change: Change, defined: Definition
) -> None:
    """Add and drop columns of the table and of its change log."""
    changes = _changes(change, defined)
    relations = [change.row.relation]
    if old.logged:
        relations.append(log_name(schemas, old.pgt_id))
    statements = [text for name in relations for text in _alterations(schemas, name, changes)]
    if not statements:
        return
    try:
        session.execute(";\n".join(statements))
    except DatabaseError as error:
        if error.sqlstate != DEPENDENT_OBJECTS:
            raise
        raise _has_dependants(change.row.relation, error.detail) from error


def _alterations(schemas: Schemas, relation: str, changes: ColumnChanges) -> list[str]:
    text = queries(schemas)
    dropped = [
        render(text["drop_column"], relation=relation, column=quote_ident(name))
        for name in changes.dropped
    ]
    added = [
        render(
            text["add_column"],
            relation=relation,
            column=quote_ident(column.name),
            type=column.type + (f" COLLATE {column.collation}" if column.collation else ""),
        )
        for column in changes.added
    ]
    return dropped + added


def stored_columns(row: StreamTable) -> tuple[OutputColumn, ...]:
    """Return the columns that the catalog has of a stream table."""
    return tuple(OutputColumn(**column) for column in row.plan.get("columns", ()))


def _alike(some: Sequence[OutputColumn], others: Sequence[OutputColumn]) -> bool:
    return len(some) == len(others) and all(map(_same, some, others))


def _difference(before: Sequence[OutputColumn], after: Sequence[OutputColumn]) -> str:
    new = {column.name: column.type for column in after}
    parts = [
        f"{column.name} was {column.type}, is {new.get(column.name, 'missing')}"
        for column in before
        if new.get(column.name) != column.type
    ]
    return "; ".join(parts) or f"{len(before)} columns before, {len(after)} now"
