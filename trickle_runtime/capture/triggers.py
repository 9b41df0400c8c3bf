"""The trigger functions and triggers of a source, as statements.

Pure: a description in, SQL out. Invariant: a function's name holds the buffer's version, and a
body is never replaced, because a writer may be inside the old one (it would write the old columns
for a reader who expects the new ones).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trickle_runtime.capture.source import Column, Description, Member
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
    "CREATE OR REPLACE TRIGGER {trigger} {event} FOR EACH {level} {condition}"
    " EXECUTE FUNCTION {function}()"
)
_ALWAYS = "ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}"
# PostgreSQL clones these to partitions that come later. Such a one may have been attached, written
# and detached again before anyone looks: rows in the buffer that the table never kept, or the
# reverse. Its writes fire them, and the condition costs the others next to nothing.
_UNKNOWN_EVENTS = {
    "unknown_insert": ("AFTER INSERT ON {table}", "WHEN (NEW.tableoid <> ALL ({known}))"),
    "unknown_change": (
        "AFTER UPDATE OR DELETE ON {table}",
        "WHEN (OLD.tableoid <> ALL ({known}))",
    ),
}


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
    if capture.mode == "row":
        return ("row", "truncate")
    unknown = ("unknown",) if capture.source.kind == "p" else ()
    return (*_STATEMENT_EVENTS, "truncate", *unknown)


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
        for event, text in own.items():
            statements += _trigger(capture, member, event, text, level=level)
        for event, text in _TRUNCATE_EVENT.items():
            statements += _trigger(capture, member, event, text, level="STATEMENT")
    if "unknown" in events(capture):
        known = _known(capture)
        for event, (text, condition) in _UNKNOWN_EVENTS.items():
            when = sql.render(condition, known=known)
            statements += _trigger(
                capture, capture.source.members[0], event, text, level="ROW", condition=when
            )
    return statements


def guard(capture: Capture) -> list[str]:
    """Return the statements that keep foreign tables out of a partitioned source, where needed.

    They can't have constraint triggers, so a partitioned table with one can't get them as
    partitions. Without, statements that reach such a partition would fail with our triggers.
    """
    if capture.mode != "statement" or not capture.source.open_to_foreign:
        return []
    name = f"capture_{capture.source.relid}_guard"
    root, trigger = capture.source.members[0], capture.trigger("guard")
    statement = sql.render(
        sql.load_text("capture/templates/guard.sql", capture.schemas),
        function=sql.qualified(capture.schemas.changes, name),
        trigger=trigger,
        table=root.name,
    )
    always = sql.render(_ALWAYS, table=root.name, trigger=trigger)
    return [statement, always] if root.owned else [statement]


def _trigger(
    capture: Capture, member: Member, event: str, text: str, *, level: str, condition: str = ""
) -> list[str]:
    """Return the statements for one trigger on one table."""
    trigger = capture.trigger(event)
    statement = sql.render(
        _TRIGGER,
        trigger=trigger,
        event=sql.render(text, table=member.name),
        level=level,
        condition=condition,
        function=capture.function(event.partition("_")[0]),
    )
    always = sql.render(_ALWAYS, table=member.name, trigger=trigger)
    return [statement, always] if member.owned else [statement]


def _known(capture: Capture) -> str:
    """Return the source and its partitions as an array of oids."""
    relids = ",".join(str(member.relid) for member in capture.source.members)
    return sql.render("'{relids}'::oid[]", relids="{" + relids + "}")


def _member_events(capture: Capture, relid: int) -> tuple[str, dict[str, str]]:
    """Return level and events of a member's own triggers, TRUNCATE apart."""
    if capture.mode == "statement":
        return "STATEMENT", _STATEMENT_EVENTS
    if capture.source.kind == "p" and relid != capture.source.relid:
        return "ROW", {}  # PostgreSQL has cloned them from the root
    return "ROW", _ROW_EVENT


def _body(capture: Capture, event: str) -> str:
    """Return the text of a trigger function."""
    columns = capture.columns
    parts = {
        "relid": str(capture.source.relid),
        "buffer": capture.buffer,
        "columns": "".join(f", c{column.attnum}" for column in columns),
        "known": _known(capture),
    }
    parts |= _row_parts(columns) if capture.mode == "row" else _statement_parts(columns)
    parts["failure"] = sql.render(_template(capture, "failure"), **parts).rstrip()
    if event == "update":
        parts["paired"] = sql.quote_literal(sql.render(_template(capture, "paired"), **parts))
    return sql.render(_template(capture, event), **parts)


def _statement_parts(columns: Sequence[Column]) -> dict[str, str]:
    """Return what the templates of statement-level functions need to know of the columns."""
    old, new = (_images(alias, columns) for alias in ("o", "n"))
    return {
        "old_rows": f"{_rows('pgt_old', columns)} o",
        "new_rows": f"{_rows('pgt_new', columns)} n",
        "old_columns": old,
        "new_columns": new,
        "differ": _differ(old, new),
    }


def _row_parts(columns: Sequence[Column]) -> dict[str, str]:
    """Return the same for row-level functions, which have records and not tables.

    Plain values are a third cheaper than a subquery, which only generated columns need.
    """
    if any(column.expression is not None for column in columns):
        old, new = (_images(alias, columns) for alias in ("o", "n"))
        old_from, new_from = (
            f" FROM {_rows(f'(SELECT {record}.*)', columns)} {alias}"
            for record, alias in (("OLD", "o"), ("NEW", "n"))
        )
        differ = sql.render(
            "(SELECT {differ}{old} CROSS JOIN {new})",
            differ=_differ(old, new),
            old=old_from,
            new=new_from.removeprefix(" FROM "),
        )
        return {
            "old_values": old + old_from,
            "new_values": new + new_from,
            "differ": differ,
        }
    old, new = (
        "".join(f", {_value(record, column)}" for column in columns) for record in ("OLD", "NEW")
    )
    return {"old_values": old, "new_values": new, "differ": _differ(old, new)}


def _template(capture: Capture, name: str) -> str:
    return sql.load_text(f"capture/templates/{name}.sql", capture.schemas)


def _rows(table: str, columns: Sequence[Column]) -> str:
    """Return a subquery that gives the captured columns their names in the buffer."""
    return sql.render("(SELECT {list} FROM {table} t)", list=_list("t", columns), table=table)


def _list(table: str, columns: Sequence[Column]) -> str:
    return ", ".join(f"{_value(table, column)} AS c{column.attnum}" for column in columns)


def _value(table: str, column: Column) -> str:
    if column.expression is not None:
        return f"({column.expression})"
    return f"{table}.{sql.quote_ident(column.name)}"


def _images(alias: str, columns: Sequence[Column]) -> str:
    return "".join(f", {alias}.c{column.attnum}" for column in columns)


def _differ(old: str, new: str) -> str:
    """Compare by image: 1.0 is not 1.00 here, and types without equality have one too."""
    if not old:
        return "false"
    values = {"old": old.removeprefix(", "), "new": new.removeprefix(", ")}
    return sql.render("record_image_ne(ROW({old}), ROW({new}))", **values)
