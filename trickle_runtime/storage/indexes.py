"""The user's indexes of a table, for another table that takes its place.

Invariant: an index is built under a name of ours while the old table has its own; it gets that
name, and its comment, when the new table has taken the old one's place.
"""

from __future__ import annotations

from collections.abc import Sequence

from trickle_runtime.db.session import Row, Session
from trickle_runtime.db.sql import load_queries, qualified, quote_ident, quote_literal, render
from trickle_runtime.errors import DatabaseError
from trickle_runtime.storage import names

SQL = load_queries("storage/rebuild.sql")
VIOLATIONS = frozenset({"23502", "23505", "23P01"})  # not null, unique, exclusion


def found(session: Session, relid: int) -> list[Row]:
    """Return the user's indexes and constraints with an index; names have to be pinned."""
    return session.execute(SQL["indexes"], {"relid": relid})


def try_build(session: Session, beside: str, pgt_id: int, index: Row) -> bool:
    """Build an index like ``index`` if the table beside can have it.

    Rows that violate a constraint are an error; a unique index that is none is just not built.
    """
    session.execute(SQL["before_index"])
    try:
        build(session, beside, pgt_id, index)
    except DatabaseError as error:
        if error.transient or (index["is_constraint"] and error.sqlstate in VIOLATIONS):
            raise
        session.execute(SQL["undo_index"])
        return False
    session.execute(SQL["after_index"])
    return True


def build(session: Session, beside: str, pgt_id: int, index: Row) -> None:
    """Build an index like ``index`` on the table beside."""
    statement = render(
        SQL["create_constraint" if index["is_constraint"] else "create_index"],
        unique="UNIQUE" if index["is_unique"] else "",
        index=_temporary(pgt_id, index),
        beside=beside,
        definition=index["definition"],
    )
    session.execute(statement)


def take_names(session: Session, relation: str, pgt_id: int, indexes: Sequence[Row]) -> None:
    """Give the indexes of a table that has taken its place their names and comments."""
    schema, _ = names.schema_and_name(relation)
    for index in indexes:
        temporary, final = _temporary(pgt_id, index), str(index["name"])
        if index["is_constraint"]:
            rename = render(
                SQL["rename_constraint"],
                relation=relation,
                index=temporary,
                name=quote_ident(final),
            )
        else:
            own = qualified(schema, names.unquote(temporary))
            rename = render(SQL["rename_index"], relation=own, name=quote_ident(final))
        session.execute(rename)
        if index["comment"] is not None:
            comment = quote_literal(index["comment"])
            name = qualified(schema, final)
            session.execute(render(SQL["comment_index"], index=name, comment=comment))


def _temporary(pgt_id: int, index: Row) -> str:
    return quote_ident(f"pgt_rebuild_{pgt_id}_i{index['number']}")
