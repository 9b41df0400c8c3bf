"""Answer the requests that SQL procedures have left in ``pgt_requests``.

Invariant: one daemon at a time works on a request. A daemon that dies leaves it waiting, and the
next one does it again, which is why every verb can be repeated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import timedelta
from typing import Any, cast

from trickle_runtime.api import Runtime
from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import PsycopgSession
from trickle_runtime.db.session import Row
from trickle_runtime.errors import TrickleError
from trickle_runtime.scheduler import lease
from trickle_runtime.scheduler.duties.duty import Duty

VERBS: Mapping[str, Callable[..., object]] = {
    "create_stream_table": Runtime.create_stream_table,
    "alter_stream_table": Runtime.alter_stream_table,
    "drop_stream_table": Runtime.drop_stream_table,
    "refresh_stream_table": Runtime.refresh,
    "validate_query": Runtime.validate_query,
    "explain_query_rewrite": Runtime.explain_query_rewrite,
}


def run(session: PsycopgSession, schemas: Schemas) -> int:
    """Answer everything that waits; returns the number of answers. Own transactions."""
    count = 0
    for row in session.execute(lease.queries(schemas)["waiting_requests"]):
        with lease.job(session, schemas, "request", row["request_id"]) as locked:
            if locked and _still_waits(session, schemas, row):
                _answer(session, schemas, row)
                count += 1
    return count


def _still_waits(session: PsycopgSession, schemas: Schemas, row: Row) -> bool:
    statement = lease.queries(schemas)["still_waits"]
    return bool(session.execute(statement, {"request_id": row["request_id"]}))


def _answer(session: PsycopgSession, schemas: Schemas, row: Row) -> None:
    statements = lease.queries(schemas)
    settings = {"settings": json.dumps(row["session_settings"])}
    session.execute(statements["adopt_settings"], settings)
    try:
        value = VERBS[row["verb"]](Runtime(session, schemas), **row["arguments"])
        status, answer = "done", _plain(value)
    except TrickleError as error:
        status, answer = "failed", _failure(error)
    finally:
        session.rollback()
        session.execute(statements["reset_settings"])
    session.execute(
        statements["answer_request"],
        {
            "request_id": row["request_id"],
            "status": status,
            "answer": json.dumps(answer, default=str),
        },
    )


def _failure(error: TrickleError) -> dict[str, str | None]:
    return {
        "code": error.code,
        "message": error.message,
        "detail": error.detail,
        "hint": error.hint,
    }


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in cast("Sequence[object]", value)]
    return value


DUTY = Duty("requests", timedelta(seconds=30), run)
