"""What a relation is like, and how its changes can be captured.

Invariant: ``decide`` is pure; a relation that can't be captured for certain is polled, which means
read by difference at each refresh, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trickle_runtime import errors
from trickle_runtime.config import Schemas
from trickle_runtime.db import sql
from trickle_runtime.db.session import Session

QUERIES = "capture/queries.sql"
# A table of ours can have 1600 columns, two of which are not the source's.
_MOST_COLUMNS = 1598
_FIRST_USER_OID = 16384
# All are named in the condition of a trigger, which each of them has.
_MOST_MEMBERS = 300


@dataclass(frozen=True)
class Column:
    """A column of a source, as a buffer holds it."""

    attnum: int
    name: str
    type: str  # base type of a domain, with typmod
    collation: str | None
    expression: str | None  # of a virtual generated column: triggers do not see its value


@dataclass(frozen=True)
class Member:
    """The source itself, a partition of it at any level, or an inheritance child."""

    relid: int
    name: str  # qualified, quoted
    kind: str  # pg_class.relkind
    may_trigger: bool
    owned: bool
    subscribed: bool
    child: bool  # of a table outside: a statement there does not fire statement triggers here


@dataclass(frozen=True)
class Description:
    """A source now."""

    relid: int
    name: str  # qualified, quoted
    kind: str
    persistence: str
    secured: bool
    citus: bool
    unique: bool  # has a unique index, with which PostgreSQL refuses foreign partitions
    blocking: bool  # DDL that we can't follow is refused (setting block_source_ddl)
    members: tuple[Member, ...]  # the source first
    columns: tuple[Column, ...]

    @property
    def open_to_foreign(self) -> bool:
        """Whether PostgreSQL would let a foreign table become a partition."""
        return self.kind == "p" and not self.unique

    def pick(self, attnums: Sequence[int]) -> tuple[Column, ...]:
        """Return the columns that exist among ``attnums``, in order."""
        return tuple(column for column in self.columns if column.attnum in set(attnums))


@dataclass(frozen=True)
class Decision:
    """How to capture: ``statement``, ``row``, or ``poll`` with the reason."""

    mode: str
    reason: str | None = None


def describe(session: Session, schemas: Schemas, relid: int) -> Description:
    """Read a source, in the open transaction, with the search_path of the trigger functions.

    Raises:
        SourceNotFound: it does not exist.
        RowSecurity: its policies would hide rows from us.
    """
    query = sql.load_queries(QUERIES, schemas)["describe"]
    rows = session.execute(query, {"relid": relid})
    if not rows:
        raise errors.SourceNotFound(f"there is no relation with oid {relid}")
    row = rows[0]
    if row["secured"]:
        raise errors.RowSecurity(
            f"row security policies of {row['name']} apply to the runtime's role",
            detail="A stream table over it would hold what one role may see.",
            hint="Grant BYPASSRLS to the role, or exempt it from the policies.",
        )
    return Description(
        relid=relid,
        name=row["name"],
        kind=row["kind"],
        persistence=row["persistence"],
        secured=row["secured"],
        citus=row["citus"],
        unique=row["unique"],
        blocking=row["blocking"],
        members=tuple(Member(**member) for member in row["members"]),
        columns=tuple(Column(**column) for column in row["columns"]),
    )


def decide(source: Description, attnums: Sequence[int]) -> Decision:
    """Choose how to capture ``attnums`` of a source."""
    reason = _obstacle(source, source.pick(attnums))
    if reason is not None:
        return Decision("poll", reason)
    # The apply worker fires no statement triggers. Transition tables make statements on a
    # partitioned table fail once it has got a foreign partition, which has to be kept out then.
    elsewhere = any(member.subscribed or member.child for member in source.members)
    exposed = source.open_to_foreign and not source.blocking
    by_row = elsewhere or exposed or source.citus or len(source.members) > _MOST_MEMBERS
    return Decision("row" if by_row else "statement")


def _obstacle(source: Description, columns: Sequence[Column]) -> str | None:
    """Return why changes can't be captured by triggers, if so."""
    if source.kind not in {"r", "p"}:
        return f"{source.name} is {_KINDS.get(source.kind, 'not a table')}"
    descendants = source.members[1:]
    foreign = [m.name for m in source.members if m.kind == "f"]
    closed = [m.name for m in source.members if not m.may_trigger]
    replicated = [m.name for m in source.members if m.subscribed and not m.owned]
    virtual = [column.name for column in columns if column.expression is not None]
    obstacles = (
        (source.relid < _FIRST_USER_OID, f"{source.name} belongs to PostgreSQL"),
        (source.persistence == "t", f"{source.name} is a temporary table"),
        (bool(foreign), f"{', '.join(foreign[:3])}: changes of a foreign table happen elsewhere"),
        (bool(closed), f"no TRIGGER privilege on {', '.join(closed[:3])}"),
        (
            bool(replicated),
            f"a subscription writes to {', '.join(replicated[:3])}: its owner must capture it",
        ),
        (
            bool(virtual and descendants),
            f"partitions may compute the virtual column {', '.join(virtual)} in another way",
        ),
        (len(columns) > _MOST_COLUMNS, f"more than {_MOST_COLUMNS} columns are used"),
    )
    return next((message for applies, message in obstacles if applies), None)


_KINDS = {"m": "a materialized view", "f": "a foreign table", "v": "a view"}
