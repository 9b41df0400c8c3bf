"""Another partitioning for an existing stream table.

PostgreSQL can't turn a plain table into a partitioned one, so the table gets a new oid. Invariant:
all of it happens in the caller's transaction: afterwards the new table has the name, rows, owner,
grants, indexes, triggers, policies, comments and publications of the old one, and everything that
depends on it has followed; or an error names what can't follow, and nothing has changed.

Rows are copied beside the table while readers go on (writers, that is refreshes, wait). Readers
wait for the swap alone, which only renames and replaces definitions; a swap that would have to
wait for long readers itself is given up and tried again, so that no queue forms behind it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Row, Session
from trickle_runtime.db.sql import load_queries, qualified, quote_ident, render
from trickle_runtime.errors import DatabaseError, HasDependants, View
from trickle_runtime.storage import indexes, names, partitioning, table
from trickle_runtime.storage.partition_spec import PartitionSpec
from trickle_runtime.storage.views import views_on

SQL = load_queries("storage/rebuild.sql")
STORAGE = load_queries("storage/queries.sql")
ATTEMPTS = 20
LOCK_TIMEOUT = "400ms"


@dataclass(frozen=True)
class Definition:
    """What the new table must be."""

    pgt_id: int
    relation: str  # qualified, quoted
    columns: Sequence[OutputColumn]
    key: Sequence[str] | None
    spec: PartitionSpec | None

    def beside(self, purpose: str) -> str:
        """Return the qualified name of a relation that exists only while this runs."""
        schema, _ = names.schema_and_name(self.relation)
        return qualified(schema, f"pgt_{purpose}_{self.pgt_id}")


def change_partitioning(
    session: Session, schemas: Schemas, definition: Definition, before: PartitionSpec | None
) -> int:
    """Make the storage fit ``definition.spec``; return the table's oid, old or new.

    A spec that differs only in its step needs no new table: rows that wait in the default
    partition move to partitions of their own.
    """
    spec = definition.spec
    if spec is None or not spec.same_layout(before):
        return rebuild(session, schemas, definition)
    default = partitioning.find_default(session, definition.relation)
    if default is not None:
        waiting = render(SQL["old_rows"], relation=default)
        partitioning.ensure_partitions(session, definition.relation, spec, waiting)
    return _relid(session, definition.relation)


def rebuild(session: Session, schemas: Schemas, definition: Definition) -> int:
    """Replace the table by one with the partitioning of the definition; return its oid.

    The catalog follows: the stream table itself, and the stream tables that read it.

    Raises:
        HasDependants: something on the table can't be moved to another one.
    """
    with pinned_names(session):
        session.execute(render(SQL["lock_against_writers"], relation=definition.relation))
        old = _relid(session, definition.relation)
        own = indexes.found(session, old)
        _check_movable(session, definition, old, own)
        _build(session, definition, own)
        _swap_when_free(session, schemas, definition, old, own)
    return _relid(session, definition.relation)


@contextmanager
def pinned_names(session: Session) -> Generator[None]:
    """Let PostgreSQL print every name qualified; after an error the transaction ends anyway."""
    before = session.execute(SQL["pin_search_path"])[0]["before"]
    yield
    session.execute(SQL["restore_search_path"], {"before": before})


def adopt(session: Session, relation: str, base: str) -> None:
    """Rename the partitions and generated indexes of a table that was built as ``base``."""
    for listing, renaming in (
        ("generated_indexes", "rename_index"),
        ("partitions", "rename_table"),
    ):
        found = session.execute(SQL[listing], {"relation": relation, "base": base})
        suffixes = [str(row["name"]).removeprefix(base) for row in found]
        wanted = partitioning.free_names(session, relation, suffixes)
        for row, target in zip(found, wanted, strict=True):
            old = qualified(row["schema"], row["name"])
            session.execute(render(SQL[renaming], relation=old, name=_last_part(target)))


def _relid(session: Session, relation: str) -> int:
    return int(session.execute(SQL["relid"], {"relation": relation})[0]["relid"])


def _check_movable(session: Session, definition: Definition, old: int, own: Sequence[Row]) -> None:
    found = session.execute(SQL["unmovable"], {"relid": old})
    if found:
        objects = ", ".join(str(row["object"]) for row in found)
        raise HasDependants(
            f"partition_by of {definition.relation} can't be changed",
            detail=f"These can't follow to the new table: {objects}.",
            hint="Drop them, change partition_by, and create them again.",
            views=_views(session, old, found),
        )
    if definition.spec is None:
        return
    for index in own:
        missing = set(definition.spec.columns) - set(index["columns"])
        if index["is_unique"] and missing:
            raise HasDependants(
                f"partition_by of {definition.relation} can't be changed",
                detail=f"Unique index {index['name']} does not hold the partition column"
                f" {', '.join(sorted(missing))}; PostgreSQL can't enforce it across partitions.",
                hint="Drop it, or partition by columns that it holds.",
            )


def _views(session: Session, old: int, unmovable: Sequence[Row]) -> list[View]:
    """Return the views that can't follow, where nothing else is in the way."""
    if not all(row["is_view"] for row in unmovable):
        return []
    return views_on(session, old, materialized_only=True)


def _build(session: Session, definition: Definition, own: Sequence[Row]) -> None:
    """Create and fill the new table beside the old one."""
    beside, relation, spec = definition.beside("rebuild"), definition.relation, definition.spec
    create = render(
        SQL["create_like"],
        beside=beside,
        relation=relation,
        partition_clause=table.partition_clause(spec),
    )
    for statement in (create, table.replica_identity(beside)):
        session.execute(statement)
    for statement in table.first_partitions(beside, spec):
        session.execute(statement)
    rows = render(SQL["old_rows"], relation=relation)
    partitioning.ensure_partitions(session, beside, spec, rows)
    columns = session.execute(STORAGE["column_list"], {"relation": relation})[0]["columns"]
    session.execute(render(SQL["copy_rows"], beside=beside, relation=relation, columns=columns))
    identity = table.identity_statements(beside, definition.columns, definition.key, spec)
    for statement in identity:
        session.execute(statement)
    for one in own:
        with _following(definition, f"index {one['name']}"):
            indexes.build(session, beside, definition.pgt_id, one)
    session.execute(render(SQL["analyze"], beside=beside))


def _swap_when_free(
    session: Session,
    schemas: Schemas,
    definition: Definition,
    old: int,
    own: Sequence[Row],
) -> None:
    before = str(session.execute(STORAGE["current_lock_timeout"])[0]["value"])
    for attempt in range(1, ATTEMPTS + 1):
        session.execute("SAVEPOINT pgt_swap")
        session.execute(STORAGE["set_lock_timeout"], {"timeout": LOCK_TIMEOUT})
        try:
            _swap(session, schemas, definition, old, own)
            break
        except DatabaseError as error:
            session.execute("ROLLBACK TO SAVEPOINT pgt_swap")
            if error.sqlstate != partitioning.LOCK_NOT_AVAILABLE or attempt == ATTEMPTS:
                raise
            session.execute(SQL["pause"], {"seconds": attempt / 10})
    session.execute("RELEASE SAVEPOINT pgt_swap")
    session.execute(STORAGE["set_lock_timeout"], {"timeout": before})


def _swap(
    session: Session,
    schemas: Schemas,
    definition: Definition,
    old: int,
    own: Sequence[Row],
) -> None:
    relation = definition.relation
    _, name = names.schema_and_name(relation)
    beside, replaced = definition.beside("rebuild"), definition.beside("replaced")
    session.execute(render(SQL["lock_against_all"], relation=relation))
    dependants = session.execute(SQL["dependants"], {"relid": old})
    belongings = session.execute(SQL["belongings"], {"relid": old})
    revokes = session.execute(SQL["default_grantees"], {"relation": beside})
    new = _relid(session, beside)
    for statement in revokes:
        session.execute(statement["statement"])
    session.execute(render(SQL["rename_table"], relation=relation, name=_last_part(replaced)))
    session.execute(render(SQL["rename_table"], relation=beside, name=quote_ident(name)))
    _run_all(session, definition, dependants)
    _run(session, definition, "the old table", render(SQL["drop_table"], relation=replaced))
    indexes.take_names(session, relation, definition.pgt_id, own)
    adopt(session, relation, names.schema_and_name(beside)[1])
    _run_all(session, definition, belongings)
    follow = load_queries("storage/rebuild.sql", schemas)["follow"]
    session.execute(follow, {"old": old, "new": new})


def _last_part(relation: str) -> str:
    return quote_ident(names.schema_and_name(relation)[1])


def _run_all(session: Session, definition: Definition, statements: Sequence[Row]) -> None:
    for row in statements:
        _run(session, definition, row["object"], row["statement"])


def _run(session: Session, definition: Definition, what: str, statement: str) -> None:
    with _following(definition, what):
        session.execute(statement)


@contextmanager
def _following(definition: Definition, what: str) -> Generator[None]:
    """Say of an object that it can't follow, on an error that no retry cures."""
    try:
        yield
    except DatabaseError as error:
        if error.transient:
            raise
        raise HasDependants(
            f"partition_by of {definition.relation} can't be changed: {what} can't follow",
            detail=str(error),
            hint="Drop it, change partition_by, and create it again.",
        ) from error
