"""Names of stream tables, as users give them.

Invariant: PostgreSQL takes names apart; nothing here splits at a dot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.db.sql import qualified
from trickle_runtime.errors import DatabaseError, InvalidConfig
from trickle_runtime.refresh.members import queries

Name: TypeAlias = str | tuple[str, str]
MAX_BYTES = 63


@dataclass(frozen=True)
class RelationName:
    """A qualified name."""

    schema: str
    name: str

    @property
    def quoted(self) -> str:
        """The name for SQL."""
        return qualified(self.schema, self.name)


def text(name: Name) -> str:
    """Return a name as text that PostgreSQL reads."""
    return name if isinstance(name, str) else qualified(*name)


def split(session: Session, schemas: Schemas, name: Name) -> RelationName:
    """Return the two parts of a name; a new relation's goes to the current schema.

    Raises:
        InvalidConfig: it is no name, or would be cut short.
    """
    try:
        row = session.execute(queries(schemas)["split_name"], {"name": text(name)})[0]
    except DatabaseError as error:
        session.rollback()
        raise InvalidConfig(f"{name!r} is not a name", error.message) from error
    if row["schema"] is None:
        raise InvalidConfig(
            f"{name!r} is not a name of one or two parts", hint="Write schema.name."
        )
    if len(row["name"].encode()) > MAX_BYTES:
        raise InvalidConfig(
            f"the name {row['name']!r} has more than {MAX_BYTES} bytes",
            detail="PostgreSQL would cut it short, and two names could become one.",
        )
    return RelationName(row["schema"], row["name"])
