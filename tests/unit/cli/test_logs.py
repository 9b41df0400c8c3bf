from __future__ import annotations

import json
import logging
import sys

from trickle_runtime.cli.logs import JsonFormatter


def line(**extra: object) -> dict[str, object]:
    record = logging.LogRecord("trickle_runtime.x", 30, "f", 1, "did %d", (3,), None)
    vars(record).update(extra)
    return json.loads(JsonFormatter().format(record))


def test_extras_are_fields() -> None:
    found = line(action="refresh_done", rows_in=3)
    assert found.pop("at")
    assert found == {
        "level": "warning",
        "logger": "trickle_runtime.x",
        "message": "did 3",
        "action": "refresh_done",
        "rows_in": 3,
    }


def test_a_traceback_stays_on_one_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        found = line(exc_info=sys.exc_info())
    assert "ValueError: two\nlines" in str(found["traceback"])
