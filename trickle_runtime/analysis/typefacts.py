"""Facts on types that decide how values are matched and consolidated.

``exact``: equal values are identical. ``equality``: the type has equality and hashing, so that it
can stand in GROUP BY and in a row hash. Unknown types are probed: the errors of
``hash_record_extended`` on a NULL of the type are reliable (amendment A10).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trickle_runtime.db.session import Session
from trickle_runtime.errors import DatabaseError

_EXACT_NAMES = """bool int2 int4 int8 oid date time timestamp timestamptz uuid bytea name char
    inet cidr macaddr macaddr8 xid8 pg_lsn"""
_EXACT = frozenset(_EXACT_NAMES.split())
_TEXTS = frozenset({"text", "varchar"})
_INEXACT_HASHED = frozenset(
    {"float4", "float8", "numeric", "interval", "jsonb", "bpchar", "timetz"}
)
_UNHASHED_NAMES = """json xml point line lseg box path polygon circle money bit varbit tsvector
    tsquery jsonpath txid_snapshot pg_snapshot refcursor"""
_UNHASHED = frozenset(_UNHASHED_NAMES.split())
_SHORT = (_EXACT | {"float4", "float8", "numeric", "interval", "timetz"}) - {"bytea"}
_LONGEST = 400  # characters; of at most four bytes each, below the limit of a B-tree entry
_INTEGERS = frozenset({"int2", "int4", "int8"})


def exact(column: Mapping[str, Any]) -> bool:
    """Whether equal values of the column are identical."""
    if column["kind"] == "e":
        return True
    bare = column["bare"]
    if bare in _TEXTS or (bare == "bpchar" and column["typmod"] >= 0):  # padded to one length
        return bool(column["deterministic"])
    return bare in _EXACT or (bare == "numeric" and column["typmod"] >= 0)


def bounded(column: Mapping[str, Any]) -> bool:
    """Whether every value of the column fits into a B-tree index entry."""
    if column["kind"] == "e" or column["bare"] in _SHORT:
        return True
    longest = column["typmod"] - 4
    return column["bare"] in {"varchar", "bpchar"} and 0 < longest <= _LONGEST


def scales(column: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Display scales of an integer or numeric(p, s) column."""
    bare, typmod = column["bare"], column["typmod"]
    if bare in _INTEGERS:
        return (0,)
    if bare != "numeric" or typmod < 4:
        return None
    scale = (typmod - 4) & 0x7FF
    # numeric(p, -s) exists since 15: an 11-bit signed number; values then have scale 0.
    return (0,) if scale >= 1024 else (scale,)


class Hashing:
    """Which types can be hashed; probes each unknown one once per session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[int, bool] = {}

    def has(self, column: Mapping[str, Any]) -> bool:
        """Whether the column's type has equality and hashing."""
        bare = column["bare"]
        if bare in _EXACT or bare in _TEXTS or bare in _INEXACT_HASHED or column["kind"] == "e":
            return True
        if bare in _UNHASHED:
            return False
        oid = int(column["type_oid"])
        if oid not in self._known:
            self._known[oid] = self._probe(column["type"])
        return self._known[oid]

    def _probe(self, type_: str) -> bool:
        self._session.execute("SAVEPOINT trickle_probe")
        statement = "SELECT hash_record_extended(ROW(NULL::{type}), 0)".replace("{type}", type_)
        try:
            self._session.execute(statement)
        except DatabaseError:
            self._session.execute("ROLLBACK TO SAVEPOINT trickle_probe")
            return False
        self._session.execute("RELEASE SAVEPOINT trickle_probe")
        return True
