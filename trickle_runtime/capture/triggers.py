"""The trigger functions and triggers of a source, as statements.

Pure: a description in, SQL out. Invariant: a function's name holds the buffer's version, and a
body is never replaced, because a writer may be inside the old one (it would write the old columns
for a reader who expects the new ones).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trickle_runtime.capture.source import Column, Description
from trickle_runtime.config import Schemas
from trickle_runtime.db import sql

_STATEMENT_EVENTS = {
    "insert": "AFTER INSERT ON {table} REFERENCING NEW TABLE AS pgt_new",
    "update": "AFTER UPDATE ON {table} REFERENCING OLD TABLE AS pgt_old NEW TABLE AS pgt_new",
    "delete": "AFTER DELETE ON {table} REFERENCING OLD TABLE AS pgt_old",
}
_ROW_EVENT = {"row": "AFTER INSERT OR UPDATE OR DELETE ON {table}"}
_TRUNCATE_EVENT = {"truncate": "AFTER TRUNCATE ON {table}"}
_TRIGGER = (
    "CREATE OR REPLACE TRIGGER {trigger} {event} FOR EACH {level} EXECUTE FUNCTION {function}()"
)
_ALWAYS = "ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}"


@dataclass(frozen=True)
class Capture:
    """A version of the capture of a source."""

    schemas: Schemas
    source: Description
    mode: str  # statement, row
    version: int
    columns: tuple[Column, ...]

    @property
    def buffer(self) -> str:
        """Qualified, quoted name of the buffer."""
        return sql.qualified(self.schemas.changes, self.buffer_name)

    @property
    def buffer_name(self) -> str:
        """Name of the buffer."""
        return f"changes_{self.source.relid}_{self.version}"

    def function(self, event: str) -> str:
        """Qualified, quoted name of the trigger function for an event."""
        name = f"capture_{self.source.relid}_{self.version}_{event}"
        return sql.qualified(self.schemas.changes, name)

    def trigger(self, event: str) -> str:
        """Quoted name of the trigger for an event."""
        return sql.quote_ident(f"{self.schemas.prefix}_{self.source.relid}_{event}")


def events(capture: Capture) -> tuple[str, ...]:
    """Return the events that have a trigger function."""
    return (*(_ROW_EVENT if capture.mode == "row" else _STATEMENT_EVENTS), *_TRUNCATE_EVENT)


def functions(capture: Capture) -> list[str]:
    """Return the statements that create the trigger functions."""
    template = sql.load_text("capture/templates/function.sql", capture.schemas)
    return [
        sql.render(
            template,
            function=capture.function(event),
            body=sql.quote_literal(_body(capture, event)),
        )
        for event in events(capture)
    ]


def triggers(capture: Capture) -> list[str]:
    """Return the statements that put the triggers on the source and its descendants.

    Each fires ALWAYS (in sessions that replay, too) where we own the table. Replacing a trigger
    resets that, so it is said again.
    """
    statements: list[str] = []
    for member in capture.source.members:
        level, own = _member_events(capture, member.relid)
        for event, text in (own | _TRUNCATE_EVENT).items():
            statements.append(
                sql.render(
                    _TRIGGER,
                    trigger=capture.trigger(event),
                    event=sql.render(text, table=member.name),
                    level=level if event != "truncate" else "STATEMENT",
                    function=capture.function(event),
                )
            )
            if member.owned:
                statements.append(
                    sql.render(_ALWAYS, table=member.name, trigger=capture.trigger(event))
                )
    return statements


def _member_events(capture: Capture, relid: int) -> tuple[str, dict[str, str]]:
    """Return level and events of a member's own triggers, TRUNCATE apart."""
    if capture.mode == "statement":
        return "STATEMENT", _STATEMENT_EVENTS
    if capture.source.kind == "p" and relid != capture.source.relid:
        return "ROW", {}  # PostgreSQL has cloned them from the root
    return "ROW", _ROW_EVENT


def _body(capture: Capture, event: str) -> str:
    """Return the text of a trigger function."""
    if capture.mode == "row":
        old, new = _row_image("OLD", capture.columns), _row_image("NEW", capture.columns)
    else:
        old, new = _rows("pgt_old", capture.columns), _rows("pgt_new", capture.columns)
    parts = {
        "relid": str(capture.source.relid),
        "buffer": capture.buffer,
        "columns": "".join(f", c{column.attnum}" for column in capture.columns),
        "old_rows": f"{old} o",
        "new_rows": f"{new} n",
        "old_columns": _images("o", capture.columns),
        "new_columns": _images("n", capture.columns),
        "differ": _differ(capture.columns),
    }
    parts["failure"] = sql.render(_template(capture, "failure"), **parts).rstrip()
    parts["paired"] = sql.quote_literal(sql.render(_template(capture, "paired"), **parts))
    return sql.render(_template(capture, event), **parts)


def _template(capture: Capture, name: str) -> str:
    return sql.load_text(f"capture/templates/{name}.sql", capture.schemas)


def _rows(table: str, columns: Sequence[Column]) -> str:
    """Return a subquery that gives the captured columns their names in the buffer."""
    return sql.render("(SELECT {list} FROM {table} t)", list=_list("t", columns), table=table)


def _row_image(record: str, columns: Sequence[Column]) -> str:
    """Return the same for one row of a row-level trigger."""
    if any(column.expression is not None for column in columns):
        return _rows(f"(SELECT {record}.*)", columns)
    return sql.render("(SELECT {list})", list=_list(record, columns))


def _list(table: str, columns: Sequence[Column]) -> str:
    return ", ".join(_item(table, column) for column in columns)


def _item(table: str, column: Column) -> str:
    value = f"{table}.{sql.quote_ident(column.name)}"
    if column.expression is not None:
        value = f"({column.expression})"
    return f"{value} AS c{column.attnum}"


def _images(alias: str, columns: Sequence[Column]) -> str:
    return "".join(f", {alias}.c{column.attnum}" for column in columns)


def _differ(columns: Sequence[Column]) -> str:
    """Compare by image: 1.0 is not 1.00 here, and types without equality have one too."""
    if not columns:
        return "false"
    old, new = (_images(alias, columns).removeprefix(", ") for alias in ("o", "n"))
    return f"record_image_ne(ROW({old}), ROW({new}))"
