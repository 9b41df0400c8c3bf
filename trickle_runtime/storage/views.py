"""Views on a table, which hold it or its columns in place.

Invariant: a view is followed by every view that is built on it, since those go with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from trickle_runtime.db.session import Session
from trickle_runtime.db.sql import load_queries
from trickle_runtime.errors import View

SQL = load_queries("storage/queries.sql")


def views_on(
    session: Session,
    relid: int,
    *,
    columns: Sequence[str] | None = None,
    materialized_only: bool = False,
) -> list[View]:
    """Return the views that read a table, or some of its columns, and those on top of them."""
    kinds = ["m"] if materialized_only else ["v", "m"]
    values = {
        "relid": relid,
        "columns": None if columns is None else list(columns),
        "kinds": kinds,
    }
    return [View(**row) for row in session.execute(SQL["views_on"], values)]
