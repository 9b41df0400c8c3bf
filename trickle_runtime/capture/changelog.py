"""Change logs: the changes of a stream table for the stream tables above it.

``log_<pgt_id>`` holds the signed rows that each refresh applied, under that refresh's number. The
apply step writes it; a consumer reads what is numbered above what it consumed. Invariant: its
columns are those of the stream table.
"""

from __future__ import annotations

from trickle_runtime import errors
from trickle_runtime.capture.source import QUERIES
from trickle_runtime.config import Schemas
from trickle_runtime.db import sql
from trickle_runtime.db.session import Session

_OURS = ("__pgt_refresh", "__pgt_w")


def log_name(schemas: Schemas, pgt_id: int) -> str:
    """Return the qualified, quoted name of a stream table's change log."""
    return sql.qualified(schemas.changes, f"log_{pgt_id}")


def ensure(session: Session, schemas: Schemas, pgt_id: int) -> bool:
    """Create the change log if there is none, in the open transaction; whether it did.

    A log whose columns are no longer those of the stream table is made anew, empty: its readers
    have to do a difference.

    Raises:
        InvalidConfig: the stream table has a column of a name that the log needs for itself.
    """
    queries = sql.load_queries(QUERIES, schemas)
    log = log_name(schemas, pgt_id)
    row = session.execute(queries["log_columns"], {"pgt_id": pgt_id})[0]
    if clash := set(_OURS) & set(row["names"] or ()):
        raise errors.InvalidConfig(
            f"a stream table that others read can't have a column named {sorted(clash)[0]}",
            hint="Rename the column.",
        )
    template = sql.load_text("capture/templates/log.sql", schemas)
    statement = sql.render(template, log=log, columns=row["columns"] or "")
    before = session.execute(queries["log_exists"], {"log": log})[0]["columns"]
    if before is None:
        session.execute(statement)
        return True
    session.execute("SAVEPOINT trickle_log")
    drop(session, schemas, pgt_id)
    session.execute(statement)
    after = session.execute(queries["log_exists"], {"log": log})[0]["columns"]
    if after == before:
        session.execute("ROLLBACK TO SAVEPOINT trickle_log")
    session.execute("RELEASE SAVEPOINT trickle_log")
    return after != before


def drop(session: Session, schemas: Schemas, pgt_id: int) -> None:
    """Drop the change log if there is one, in the open transaction."""
    session.execute(sql.render("DROP TABLE IF EXISTS {log}", log=log_name(schemas, pgt_id)))
