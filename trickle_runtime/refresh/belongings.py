"""What users put on a stream table, when another table takes its place or columns go.

Invariant: nothing of it is lost in silence. It is on the new table, or it is named; a constraint
that the new rows violate is an error, as it is in a refresh. What the runtime and the author's
definition put there comes by their own ways and is left out here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Row, Session
from trickle_runtime.db.sql import load_queries
from trickle_runtime.errors import DatabaseError
from trickle_runtime.refresh import constraints
from trickle_runtime.storage import indexes, rebuild

SQL = load_queries("refresh/belongings.sql")
STORAGE = load_queries("storage/rebuild.sql")
PROTECTION = "trigger pgt_protect"
OWNER = "the owner"


@dataclass(frozen=True)
class Belongings:
    """What is on a table: indexes, and statements that name it."""

    relation: str
    pgt_id: int
    indexes: Sequence[Row]
    statements: Sequence[Row]


def found(
    session: Session, schemas: Schemas, pgt_id: int, relid: int, relation: str
) -> Belongings:
    """Return what users put on a table; it still has its name."""
    managed = _managed(session, schemas, pgt_id)
    with rebuild.pinned_names(session):
        own = [
            one
            for one in indexes.found(session, relid)
            if not one["is_constraint"] or one["name"] not in managed["names"]
        ]
        statements = session.execute(STORAGE["belongings"], {"relid": relid})
        statements += session.execute(SQL["on_columns"], {"relid": relid, **managed})
    statements = [one for one in statements if one["object"] != PROTECTION]
    return Belongings(relation, pgt_id, own, statements)


def build_indexes(
    session: Session, beside: str, belongings: Belongings
) -> tuple[list[Row], list[str]]:
    """Build the indexes on the table beside; those built, and the names of the others.

    Raises:
        ConstraintViolated: the new rows violate one that is a constraint.
    """
    built: list[Row] = []
    lost: list[str] = []
    with rebuild.pinned_names(session), constraints.violations(belongings.relation):
        for one in belongings.indexes:
            if indexes.try_build(session, beside, belongings.pgt_id, one):
                built.append(one)
            else:
                kind = "constraint" if one["is_constraint"] else "index"
                lost.append(f"{kind} {one['name']}")
    return built, lost


def put(session: Session, belongings: Belongings) -> list[str]:
    """Put the rest on the table that has taken the place; the names of what it can't have.

    Raises:
        ConstraintViolated: its rows violate a constraint.
    """
    with constraints.violations(belongings.relation):
        tried = [
            (str(one["object"]), _try(session, one["object"], one["statement"]))
            for one in belongings.statements
        ]
    return sorted({name for name, done in tried if not done})


def taken_along(
    session: Session, schemas: Schemas, pgt_id: int, relid: int, columns: Sequence[str]
) -> list[str]:
    """Return the names of what goes with columns that are dropped."""
    if not columns:
        return []
    names = _managed(session, schemas, pgt_id)["names"]
    values = {"relid": relid, "columns": list(columns), "names": names}
    return [str(row["object"]) for row in session.execute(SQL["taken_along"], values)]


def _try(session: Session, what: str, statement: str) -> bool:
    session.execute(STORAGE["before_index"])
    try:
        session.execute(statement)
    except DatabaseError as error:
        refused = error.transient or error.sqlstate in constraints.VIOLATIONS
        if refused or what == OWNER:
            raise
        session.execute(STORAGE["undo_index"])
        return False
    session.execute(STORAGE["after_index"])
    return True


def _managed(session: Session, schemas: Schemas, pgt_id: int) -> dict[str, list[str]]:
    """Return the names and the not-null columns of the author's constraints."""
    stored = constraints.stored(session, schemas, pgt_id)
    return {
        "names": [one.actual for one in stored if one.actual is not None],
        "not_null": sorted(constraints.not_nulls([one.wanted for one in stored])),
    }
