"""Put capture on a source, widen it, rebuild it, take it away.

A new version is built in two transactions. The first creates buffer and functions and shows the
buffer to the readers; it does not touch the source. The second replaces the triggers, which locks
writers out for its short time and thereby drains those inside the old functions. Invariant: every
writer writes to exactly one buffer, and a reader sees that buffer from before its first row.

Nothing here waits long for a lock: it gives up before PostgreSQL would look for a deadlock, lets
the writers pass, and tries again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from trickle_runtime import errors
from trickle_runtime.capture import buffer, triggers
from trickle_runtime.capture.source import QUERIES, Decision, Description, decide, describe
from trickle_runtime.capture.triggers import Capture
from trickle_runtime.config import Schemas
from trickle_runtime.db import sql
from trickle_runtime.db.session import Row, Session

_Result = TypeVar("_Result")
_ATTEMPTS = 100  # a minute, mostly: longer than most passes hold the view of a buffer
_LOCK_CLASSES = {"55P03", "40P01", "40001"}


@dataclass(frozen=True)
class _Task:
    """What is to be captured, by whom, and how often a lock is asked for."""

    session: Session
    schemas: Schemas
    relid: int
    attnums: tuple[int, ...]
    attempts: int


@dataclass(frozen=True)
class CaptureResult:
    """How a source is captured; ``reason`` says why it is polled, or what its capture misses."""

    mode: str
    buffer_version: int
    reason: str | None = None


def ensure_capture(
    session: Session,
    schemas: Schemas,
    relid: int,
    attnums: Sequence[int],
    *,
    attempts: int = _ATTEMPTS,
) -> CaptureResult:
    """Make sure that changes of ``attnums`` of a source are captured.

    Commits the open transaction, then its own. Record the dependency before (a source that nobody
    reads is cleaned up), the frontier after. Where an existing capture can't be trusted any more
    it is rebuilt, and every consumer is told to do a difference.

    Raises:
        SourceNotFound: the relation does not exist.
        SourceChanged: a column of ``attnums`` does not exist.
        RowSecurity: policies of the source apply to us.
        DatabaseError: the lock on the source could not be had in all the attempts; transient.
    """
    session.commit()
    task = _Task(session, schemas, relid, tuple(attnums), attempts)
    return _alone(task, lambda: _ensure(task, None))


def repair(
    session: Session, schemas: Schemas, relid: int, why: str, *, attempts: int = _ATTEMPTS
) -> CaptureResult:
    """Rebuild the capture of a source that is an issue, for the columns its dependants read.

    Every consumer is told to do a difference, by a marker that says ``why``. Nothing is done where
    another session has done it. Transactions and errors as in ``ensure_capture``; a column that is
    gone is left out, since the query will tell.
    """
    session.commit()
    task = _Task(session, schemas, relid, (), attempts)
    return _alone(task, lambda: _ensure(task, why))


def drop_capture(
    session: Session, schemas: Schemas, relid: int, *, attempts: int = _ATTEMPTS
) -> None:
    """Remove triggers, functions, buffers and registration of a source. Commits."""
    session.commit()
    task = _Task(session, schemas, relid, (), attempts)

    def drop() -> None:
        begin(session, schemas, relid)
        query = sql.load_queries(QUERIES, schemas)["drop_capture"]
        session.execute(query, {"relid": relid})
        session.commit()

    _alone(task, lambda: _patiently(task, drop))


def _alone(task: _Task, action: Callable[[], _Result]) -> _Result:
    """Run ``action`` while no other session builds at the same source.

    An optimisation that keeps two sessions from undoing each other's work; a lock that is not had
    in time, or was left behind in a pooled connection, is done without.
    """
    session = task.session
    queries = sql.load_queries(QUERIES, task.schemas)
    try:
        session.execute(queries["exclude_others"], {"relid": task.relid})
        session.commit()
        alone = True
    except errors.DatabaseError as error:
        session.rollback()
        if error.sqlstate not in _LOCK_CLASSES:
            raise
        alone = False
    try:
        return action()
    finally:
        session.rollback()
        if alone:
            session.execute(queries["admit_others"], {"relid": task.relid})
            session.commit()


def _patiently(task: _Task, action: Callable[[], _Result]) -> _Result:
    """Run ``action`` again while locks are in its way; in the breaks writers get through."""
    for _ in range(task.attempts - 1):
        try:
            return action()
        except errors.DatabaseError as error:
            task.session.rollback()
            if error.sqlstate not in _LOCK_CLASSES:
                raise
            time.sleep(random.uniform(0.05, 0.3))
    return action()


def begin(session: Session, schemas: Schemas, relid: int) -> None:
    """Open a transaction that no other does for the same source at the same time."""
    session.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
    session.execute(sql.load_queries(QUERIES, schemas)["begin"], {"relid": relid})


def _ensure(task: _Task, why: str | None) -> CaptureResult:
    """Plan, prepare, switch; start over where the source, or its capture, changed in between."""
    while True:
        planned, why = _patiently(task, partial(_plan, task, why))
        if isinstance(planned, CaptureResult):
            return planned
        capture = planned
        try:
            if _patiently(task, partial(_switch, task.session, capture, why)):
                return _result(capture.source, capture.mode, capture.version)
        except errors.DatabaseError:
            task.session.rollback()
            if why is None:
                _abandon(task.session, capture)
            raise


def _plan(task: _Task, why: str | None) -> tuple[CaptureResult | Capture, str | None]:
    """Find out what is to be done and prepare it; commits.

    Returns the result where nothing is left to do, and why a rebuild is needed, if it is.
    """
    session, schemas, relid = task.session, task.schemas, task.relid
    begin(session, schemas, relid)
    source = describe(session, schemas, relid)
    _check_columns(source, task.attnums)
    found = session.execute(
        sql.load_queries(QUERIES, schemas)["installed"],
        {"relid": relid, "owned": all(member.owned for member in source.members)},
    )[0]
    wanted = sorted({*task.attnums, *found["captured"], *found["used"]})
    decision = decide(source, wanted)
    if decision.mode == "poll":
        return _poll(session, schemas, source, found, decision), None
    why = (why or found["issue"]) if found["issue"] is not None else None
    if _sufficient(found, decision, task.attnums) and (why is None or _is_whole(found)):
        if why is not None:
            _trust(session, schemas, relid, why)
        session.commit()
        return _result(source, decision.mode, found["active_version"]), None
    capture = Capture(schemas, source, decision.mode, found["newest"] + 1, source.pick(wanted))
    _prepare(session, capture, why)
    return capture, why


def _check_columns(source: Description, attnums: Sequence[int]) -> None:
    missing = set(attnums) - {column.attnum for column in source.columns}
    if missing:
        raise errors.SourceChanged(f"{source.name} has no columns number {sorted(missing)}")


def _sufficient(found: Row, decision: Decision, attnums: Sequence[int]) -> bool:
    """Whether what is there captures ``attnums`` in the right way."""
    return (
        found["capture_mode"] == decision.mode
        and found["columns"] is not None
        and set(attnums) <= set(found["columns"])
    )


def _is_whole(found: Row) -> bool:
    """Whether changes are lost but no more will be."""
    return found["issue_kind"] == "trigger_changed" and bool(found["whole"])


def _trust(session: Session, schemas: Schemas, relid: int, why: str) -> None:
    """Tell the consumers to do a difference, and leave the triggers alone.

    Replacing them would undo an ENABLE ALWAYS by their owner, who may do what we may not.
    """
    queries = sql.load_queries(QUERIES, schemas)
    params = {"relid": relid, "message": why}
    session.execute(queries["trust"], params)
    session.execute(queries["mark"], params)


def _result(source: Description, mode: str, version: int) -> CaptureResult:
    reason = None
    if not all(member.owned for member in source.members):
        reason = (
            f"{source.name} is not ours: writes with session_replication_role = replica"
            " are not captured"
        )
    return CaptureResult(mode, version, reason)


def _poll(
    session: Session, schemas: Schemas, source: Description, found: Row, decision: Decision
) -> CaptureResult:
    """Register a source that is read by difference, taking away what captured it before."""
    queries = sql.load_queries(QUERIES, schemas)
    params = {"relid": source.relid, "name": source.name, "reason": decision.reason}
    if found["capture_mode"] not in (None, "poll"):
        session.execute(queries["drop_capture"], params)
    session.execute(queries["register_source"], params | {"mode": "poll"})
    session.execute(queries["poll_source"], params)
    session.commit()
    return CaptureResult("poll", 0, decision.reason)


def _prepare(session: Session, capture: Capture, why: str | None) -> None:
    """Create buffer and functions and show the buffer to the readers; commits.

    In a rebuild the old buffers are out of the readers' sight from now on, while writers use them
    until the switch: so the source is an issue until then, whatever it was before.
    """
    queries = sql.load_queries(QUERIES, capture.schemas)
    source = capture.source
    params = {"relid": source.relid, "name": source.name, "version": capture.version}
    buffer.create(session, capture)
    session.execute(";\n".join(triggers.functions(capture)))
    session.execute(queries["register_source"], params | {"mode": capture.mode, "reason": None})
    if why is not None:
        session.execute(queries["discard_buffers"], params)
        session.execute(queries["distrust"], params)
        session.execute(queries["mark"], params | {"message": why})
    columns = [column.attnum for column in capture.columns]
    session.execute(
        queries["register_buffer"], params | {"buffer": capture.buffer_name, "columns": columns}
    )
    buffer.show(session, capture.schemas, source.relid)
    session.commit()


def _switch(session: Session, capture: Capture, why: str | None) -> bool:
    """Replace the triggers; commits. False where the source, or who captures it, has changed."""
    queries = sql.load_queries(QUERIES, capture.schemas)
    source = capture.source
    params = {
        "relid": source.relid,
        "name": source.name,
        "mode": capture.mode,
        "version": capture.version,
        "rebuild": why is not None,
        "message": why,
    }
    begin(session, capture.schemas, source.relid)
    if not session.execute(queries["may_switch"], params)[0]["may"]:
        session.rollback()
        return False
    statements = [
        sql.render(
            "DROP TRIGGER {name} ON {table}", name=sql.quote_ident(row["name"]), table=source.name
        )
        for row in session.execute(queries["left_behind"], params)
    ]
    statements += triggers.triggers(capture)
    if not session.execute(queries["is_guarded"], params)[0]["guarded"]:
        statements += triggers.guard(capture)
    # One round trip: writers wait from the first of them on.
    session.execute(";\n".join(statements))
    # Locked now; it may have changed since it was described.
    if describe(session, capture.schemas, source.relid) != source:
        session.rollback()
        return False
    for row in session.execute(queries["old_functions"], params):
        name = sql.qualified(capture.schemas.changes, row["name"])
        # CASCADE reaches triggers on what was a partition once, or of another mode.
        session.execute(sql.render("DROP FUNCTION {name}() CASCADE", name=name))
    session.execute(queries["activate"], params)
    if why is not None:
        session.execute(queries["mark"], params)
    session.commit()
    return True


def _abandon(session: Session, capture: Capture) -> None:
    """Take back what was prepared and never switched to; commits, or leaves it to cleanup."""
    queries = sql.load_queries(QUERIES, capture.schemas)
    relid = capture.source.relid
    try:
        begin(session, capture.schemas, relid)
        params = {"relid": relid, "version": capture.version}
        if session.execute(queries["may_switch"], params)[0]["may"]:
            session.execute(queries["forget_buffer"], params)
            for event in triggers.events(capture):
                name = capture.function(event)
                session.execute(sql.render("DROP FUNCTION {name}()", name=name))
            buffer.show(session, capture.schemas, relid)
            session.execute(sql.render("DROP TABLE {name}", name=capture.buffer))
        session.commit()
    except errors.DatabaseError:
        session.rollback()
