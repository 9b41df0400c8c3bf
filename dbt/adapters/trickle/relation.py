"""Relations of the adapter: those of dbt-postgres plus the type ``stream_table``.

Invariant: a stream table never answers ``is_table``. dbt would insert into it, or believe that a
plain table of the same name is one; which relation is a stream table is decided by its oid.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dbt.adapters.postgres.relation import PostgresRelation
from dbt.adapters.utils import classproperty
from dbt_common.dataclass_schema import StrEnum


class TrickleRelationType(StrEnum):
    """Types of relations; an enum with members can't be extended, hence the repetition."""

    Table = "table"
    View = "view"
    CTE = "cte"
    MaterializedView = "materialized_view"
    Ephemeral = "ephemeral"
    External = "external"
    PointerTable = "pointer_table"
    Function = "function"
    StreamTable = "stream_table"


RENAMEABLE = frozenset(
    {TrickleRelationType.Table, TrickleRelationType.View, TrickleRelationType.StreamTable}
)
REPLACEABLE = frozenset({TrickleRelationType.Table, TrickleRelationType.View})


@dataclass(frozen=True, eq=False, repr=False)
class TrickleRelation(PostgresRelation):
    """A PostgreSQL relation that may be a stream table."""

    type: TrickleRelationType | None = None
    renameable_relations: frozenset[TrickleRelationType] = field(
        default_factory=lambda: RENAMEABLE
    )
    replaceable_relations: frozenset[TrickleRelationType] = field(
        default_factory=lambda: REPLACEABLE
    )

    def quoted(self, identifier: str) -> str:
        """Quote a name; dbt-postgres leaves a quote in it as it is."""
        return super().quoted(identifier.replace('"', '""'))

    @property
    def is_stream_table(self) -> bool:
        """Whether the catalog knows the relation as a stream table."""
        return self.type == TrickleRelationType.StreamTable

    @classproperty
    def StreamTable(cls) -> str:
        """Name of the type, for ``this.incorporate(type=this.StreamTable)``."""
        return str(TrickleRelationType.StreamTable)

    @classproperty
    def get_relation_type(cls) -> type[TrickleRelationType]:
        """Enum that turns the names in the relation cache into types."""
        return TrickleRelationType
