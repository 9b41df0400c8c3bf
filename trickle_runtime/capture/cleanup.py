"""Delete what every consumer has consumed, and what nobody needs any more.

Invariants: a row is deleted only if every frontier of its consumers sees it, provisional frontiers
included, and only if each consumer has one that belongs to this cluster. Rows are deleted in
batches at READ COMMITTED, past rows that another cleaner holds; a buffer is never truncated, which
would wait for its writers and lose what they commit.
"""

from __future__ import annotations

from trickle_runtime import errors
from trickle_runtime.capture import buffer, changelog, install
from trickle_runtime.capture.source import QUERIES
from trickle_runtime.config import Schemas
from trickle_runtime.db import sql
from trickle_runtime.db.session import Row, Session, commits_itself

_LOCK_TIMEOUT = "55P03"
# So many dead rows are a few hundred pages that each pass over the buffer reads in vain.
_MANY = 10_000


def cleanup(session: Session, schemas: Schemas, batch: int = 10_000) -> int:
    """Clean all buffers and change logs; returns the number of rows deleted.

    Commits the open transaction, then many of its own. Safe beside passes and other cleaners.
    """
    session.commit()
    queries = sql.load_queries(QUERIES, schemas)
    _forget_stream_tables(session, schemas, queries)
    _forget_sources(session, schemas, queries)
    deleted = _clean_buffers(session, schemas, queries, batch)
    deleted += _clean_logs(session, schemas, queries, batch)
    _begin(session)
    session.execute(queries["delete_markers"])
    session.commit()
    _drop_drained(session, schemas, queries)
    return deleted


def _begin(session: Session) -> None:
    """Open a transaction that meets other cleaners' work without failing."""
    session.execute(
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '400ms'"
    )


def _forget_stream_tables(session: Session, schemas: Schemas, queries: dict[str, str]) -> None:
    """Remove registration, states and log of stream tables whose table was dropped."""
    vanished = session.execute(queries["vanished_stream_tables"])
    session.commit()
    for row in vanished:
        try:
            _begin(session)
            if session.execute(queries["forget_stream_table"], row):
                changelog.drop(session, schemas, row["pgt_id"])
                for state in session.execute(queries["state_tables"], row):
                    kind = "VIEW" if state["kind"] == "v" else "TABLE"
                    name = sql.qualified(schemas.state, state["name"])
                    session.execute(sql.render("DROP {kind} {name}", kind=kind, name=name))
            session.commit()
        except errors.DatabaseError as error:
            _skip_if_locked(session, error)


def _forget_sources(session: Session, schemas: Schemas, queries: dict[str, str]) -> None:
    """Take capture away from sources that vanished or that nobody reads."""
    idle = session.execute(queries["idle_sources"])
    session.commit()
    for row in idle:
        try:
            install.begin(session, schemas, row["relid"])
            # A consumer may have come since, and the lock just taken keeps further ones out.
            if row in session.execute(queries["idle_sources"]):
                session.execute(queries["drop_capture"], row)
            session.commit()
        except errors.DatabaseError as error:
            _skip_if_locked(session, error)


def _clean_buffers(session: Session, schemas: Schemas, queries: dict[str, str], batch: int) -> int:
    _begin(session)
    consumable = session.execute(queries["consumable"])
    session.commit()
    total = 0
    for row in consumable:
        name = sql.qualified(schemas.changes, row["buffer_name"])
        statement = sql.render(queries["delete_consumed"], buffer=name)
        deleted, after = 0, "(0,0)"
        try:
            while True:
                _begin(session)
                params = {"relid": row["relid"], "batch": batch, "after": after}
                done = session.execute(statement, params)[0]
                session.commit()
                deleted += done["deleted"]
                if done["deleted"] < batch:
                    break
                after = done["last"]
            _vacuum(session, queries, name, deleted)
        except errors.DatabaseError as error:
            _skip_if_locked(session, error)
        total += deleted
    return total


def _clean_logs(session: Session, schemas: Schemas, queries: dict[str, str], batch: int) -> int:
    _begin(session)
    logs = session.execute(queries["logs"])
    session.commit()
    total = 0
    for row in logs:
        name = sql.qualified(schemas.changes, row["log"])
        statement = sql.render(queries["delete_log"], log=name)
        deleted = 0
        try:
            while True:
                _begin(session)
                params = {"consumed": row["consumed"], "batch": batch}
                done = session.execute(statement, params)[0]["deleted"]
                session.commit()
                deleted += done
                if done < batch:
                    break
            _vacuum(session, queries, name, deleted)
        except errors.DatabaseError as error:
            _skip_if_locked(session, error)
        total += deleted
    return total


def _vacuum(session: Session, queries: dict[str, str], table: str, deleted: int) -> None:
    """Give the space of deleted rows back: passes look at the size of the file first.

    Autovacuum is off for these tables, which would come too late for them. dbt's session can't.
    """
    if not deleted or not commits_itself(session):
        return
    left = session.execute(sql.render(queries["has_rows"], table=table))[0]["present"]
    session.commit()
    if deleted >= _MANY or not left:
        session.autocommit(sql.render("VACUUM {table}", table=table))


def _drop_drained(session: Session, schemas: Schemas, queries: dict[str, str]) -> None:
    """Drop retired buffers that are empty or that nobody needs."""
    retired = session.execute(queries["retired"])
    session.commit()
    for row in retired:
        try:
            install.begin(session, schemas, row["relid"])
            if row in session.execute(queries["retired"]):
                _drop_if_drained(session, schemas, queries, row)
            session.commit()
        except errors.DatabaseError as error:
            _skip_if_locked(session, error)


def _drop_if_drained(
    session: Session, schemas: Schemas, queries: dict[str, str], row: Row
) -> None:
    """Drop one retired buffer, in the open transaction; nobody writes to it any more."""
    name = sql.qualified(schemas.changes, row["buffer_name"])
    if not row["discard"]:
        if session.execute(sql.render(queries["has_rows"], table=name))[0]["present"]:
            return
        session.execute(queries["forget_buffer"], row)
        buffer.show(session, schemas, row["relid"])
    else:
        session.execute(queries["forget_buffer"], row)
    session.execute(sql.render("DROP TABLE {table}", table=name))


def _skip_if_locked(session: Session, error: errors.DatabaseError) -> None:
    """Leave it to the next cleanup where someone holds a lock, or was faster."""
    session.rollback()
    if error.sqlstate not in {_LOCK_TIMEOUT, "40P01", "42P01"}:
        raise error
