"""Temporary tables: what is computed once and read by several statements of a refresh."""

from __future__ import annotations

from trickle_runtime.compiler.result import Step
from trickle_runtime.compiler.template import fill

_DROP = "DROP TABLE IF EXISTS $table"
_CREATE = "CREATE TEMPORARY TABLE $name ON COMMIT DROP AS $query"
_ANALYZE = "ANALYZE $table"


def create(name: str, query: str, kind: str = "state") -> tuple[Step, Step]:
    """Return the steps that fill a new table.

    It is analysed, else hundreds of rows are expected in it and all partitions are read for them.

    Args:
        name: quoted where it must be.
        query: gives the rows.
        kind: of the step that computes them.
    """
    table = f"pg_temp.{name}"
    return (
        Step(kind, fill(_CREATE, name=name, query=query)),
        Step("utility", fill(_ANALYZE, table=table)),
    )


def replace(name: str, query: str, kind: str = "state") -> tuple[Step, ...]:
    """Return the steps that fill a table which an earlier refresh may have left behind."""
    drop = Step("utility", fill(_DROP, table=f"pg_temp.{name}"))
    return (drop, *create(name, query, kind))
