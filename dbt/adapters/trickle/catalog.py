"""What dbt's relation cache and documentation say of stream tables.

Invariant: rows of other relations pass through untouched, so that a project without stream tables
gets exactly what dbt-postgres gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dbt_common.clients.agate_helper import table_from_data_flat

from dbt.adapters.trickle.relation import TrickleRelation

if TYPE_CHECKING:
    import agate

Name = tuple[str, str]
STATISTICS = {
    "mode": ("Refresh mode", "Requested mode, and the one in use"),
    "schedule": ("Schedule", "How fresh the table is kept"),
    "status": ("Status", "Whether the table is maintained"),
    "fuse_state": ("Fuse", "Circuit breaker: armed, blown or disabled"),
    "last_refresh": ("Last refresh", "Time of the last refresh, UTC"),
    "lag": ("Lag", "Age of the content when the documentation was made, in seconds"),
}


def label_relations(
    relations: Iterable[TrickleRelation], stream_tables: Iterable[Name]
) -> list[TrickleRelation]:
    """Give relations that are stream tables their type."""
    known = set(stream_tables)
    return [
        relation.incorporate(type=TrickleRelation.StreamTable)
        if (relation.schema, relation.identifier) in known
        else relation
        for relation in relations
    ]


def label_catalog(catalog: agate.Table, facts: agate.Table) -> agate.Table:
    """Give columns of stream tables the table type STREAM TABLE and statistics."""
    known = {(row["table_schema"], row["table_name"]): row for row in facts.rows}
    names = list(catalog.column_names)
    rows = [dict(zip(names, row.values(), strict=True)) for row in catalog.rows]
    labelled = [
        _labelled(row, known.get((row["table_schema"], row["table_name"]))) for row in rows
    ]
    columns = names + [
        name for name in _statistic_columns() if any(name in row for row in labelled)
    ]
    if columns == names:
        return catalog
    complete = [{name: row.get(name) for name in columns} for row in labelled]
    return table_from_data_flat(complete, columns)


def _labelled(row: dict[str, Any], facts: Mapping[str, Any] | None) -> dict[str, Any]:
    if facts is None:
        return row
    found = {**row, "table_type": "STREAM TABLE"}
    for name, (label, description) in STATISTICS.items():
        value = facts[name]
        found |= {
            f"stats:{name}:label": label,
            f"stats:{name}:value": None if value is None else str(value),
            f"stats:{name}:description": description,
            f"stats:{name}:include": value is not None,
        }
    return found


def _statistic_columns() -> Iterable[str]:
    for name in STATISTICS:
        for part in ("label", "value", "description", "include"):
            yield f"stats:{name}:{part}"
