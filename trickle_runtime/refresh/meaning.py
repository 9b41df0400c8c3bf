"""The session settings that the meaning of a query depends on.

Invariant: those of the session that created a stream table hold in every statement that computes
its rows, whoever runs it; the same query must not say another day because the daemon lives in
another time zone.
"""

from __future__ import annotations

from collections.abc import Mapping

from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.refresh.members import queries

NAMES = (
    "TimeZone",
    "DateStyle",
    "IntervalStyle",
    "extra_float_digits",
    "bytea_output",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "default_text_search_config",
    "xmloption",
    "search_path",
)


def current(session: Session, schemas: Schemas) -> dict[str, str]:
    """Return the settings of this session."""
    rows = session.execute(queries(schemas)["read_settings"], {"names": list(NAMES)})
    return {row["name"]: row["value"] for row in rows}


def apply(session: Session, schemas: Schemas, settings: Mapping[str, str]) -> None:
    """Give the open transaction the settings of a stream table."""
    names, values = list(settings), list(settings.values())
    session.execute(queries(schemas)["apply_settings"], {"names": names, "values": values})
