"""Change buffers and the view that readers see them through.

A source has one active buffer and, after a widening, older ones until they are drained. Readers
use the view ``changes_<relid>``, whose name never changes, so compiled statements stay valid; it
is the union of the live buffers. Invariant: the view shows a buffer before any writer uses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trickle_runtime import errors
from trickle_runtime.capture.source import QUERIES
from trickle_runtime.capture.triggers import Capture
from trickle_runtime.config import Schemas
from trickle_runtime.db import sql
from trickle_runtime.db.session import Row, Session

_VIEW = "CREATE OR REPLACE VIEW {view} AS {query}"
_PART = "SELECT xid, op{columns} FROM {buffer}"


@dataclass(frozen=True)
class BufferUnion:
    """Where the changes of a source are read.

    ``relation`` (qualified, quoted) has the columns xid, op and c<attnum> for each of ``columns``.
    ``buffers`` are the tables behind it now, for those who must lock or analyse them.
    """

    relation: str
    columns: tuple[int, ...]
    buffers: tuple[str, ...]


def delta_relation(
    session: Session, schemas: Schemas, relid: int, attnums: Sequence[int]
) -> BufferUnion:
    """Return the live buffers of a source.

    Raises:
        SourceChanged: a column of ``attnums`` is not captured, or nothing is.
    """
    query = sql.load_queries(QUERIES, schemas)["live_buffers"]
    buffers = session.execute(query, {"relid": relid})
    columns = sorted({attnum for buffer in buffers for attnum in buffer["columns"]})
    if not buffers or not set(attnums) <= set(columns):
        raise errors.SourceChanged(f"columns {list(attnums)} of relation {relid} are not captured")
    return BufferUnion(
        relation=view_name(schemas, relid),
        columns=tuple(columns),
        buffers=tuple(sql.qualified(schemas.changes, row["buffer_name"]) for row in buffers),
    )


def view_name(schemas: Schemas, relid: int) -> str:
    """Return the qualified, quoted name of a source's view."""
    return sql.qualified(schemas.changes, f"changes_{relid}")


def create(session: Session, capture: Capture) -> None:
    """Create the buffer of a capture, in the open transaction."""
    columns = "".join(
        f",\n    c{column.attnum} {column.type}"
        + (f" COLLATE {column.collation}" if column.collation else "")
        for column in capture.columns
    )
    template = sql.load_text("capture/templates/buffer.sql", capture.schemas)
    session.execute(sql.render(template, buffer=capture.buffer, columns=columns))


def show(session: Session, schemas: Schemas, relid: int) -> None:
    """Make the view the union of the live buffers, in the open transaction.

    Columns are only ever added, so that it can be replaced under its readers, unless a column has
    got another type: then every reader is about to do a difference, and the view is made anew.
    """
    queries = sql.load_queries(QUERIES, schemas)
    view = view_name(schemas, relid)
    buffers = {
        sql.qualified(schemas.changes, row["buffer_name"]): row["buffer_name"]
        for row in session.execute(queries["live_buffers"], {"relid": relid})
    }
    if not buffers:
        session.execute(sql.render("DROP VIEW IF EXISTS {view}", view=view))
        return
    columns = {
        buffer: {
            row["name"]: row
            for row in session.execute(queries["buffer_columns"], {"buffer": buffer})
        }
        for buffer in buffers
    }
    merged = {name: row for rows in columns.values() for name, row in rows.items()}
    seen = session.execute(queries["view_columns"], {"view": view})
    order = [row["name"] for row in seen]
    if any(merged.get(row["name"]) != row for row in seen):
        session.execute(sql.render("DROP VIEW {view}", view=view))
        order = []
    order += sorted((name for name in merged if name not in order), key=lambda name: int(name[1:]))
    selects = [_select(buffer, columns[buffer], merged, order) for buffer in columns]
    session.execute(sql.render(_VIEW, view=view, query=" UNION ALL ".join(selects)))


def _select(
    buffer: str, columns: Mapping[str, Row], merged: Mapping[str, Row], order: Sequence[str]
) -> str:
    """Return a buffer's part of the view, with nulls for the columns it lacks."""
    values = (name if name in columns else _null(merged[name]) for name in order)
    return sql.render(_PART, columns="".join(f", {value}" for value in values), buffer=buffer)


def _null(column: Row) -> str:
    collation = f" COLLATE {column['collation']}" if column["collation"] else ""
    return f"NULL::{column['type']}{collation} AS {column['name']}"
