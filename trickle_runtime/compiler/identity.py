"""Identity of stored rows: the texts by which rows are found again.

The storage makes indexes on these expressions and the compiler matches by them, so both take the
text from here. Invariant: a hash is a filter only; what decides is ``IS NOT DISTINCT FROM`` on a
key or ``record_image_eq`` on a whole row.
"""

from __future__ import annotations

from collections.abc import Sequence

from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.compiler.template import column, comma, ident

_FLOATS = {"double precision", "real"}


def image(value: str) -> str:
    """What tells equal values apart that are not identical, such as 1.0 and 1.00.

    Under a collation of its own, since one that is not deterministic makes texts equal, too.
    """
    return f'({value}::text COLLATE "C")'


def hash_expression(columns: Sequence[OutputColumn], qualifier: str | None = None) -> str | None:
    """The hash of a row over its columns that can be hashed.

    Args:
        columns: the columns of the key, or all columns of a table without one.
        qualifier: alias in front of the columns; None inside an index definition.

    Returns:
        an immutable SQL expression of type bigint, or None where no column can be hashed.
    """
    names = [
        column(qualifier, item.name) if qualifier else ident(item.name)
        for item in columns
        if item.equality
    ]
    if not names:
        return None
    return f"hash_record_extended(ROW({comma(names)}), '0'::bigint)"


def needs_hash(key: Sequence[OutputColumn]) -> bool:
    """Whether rows with this key are found by its hash.

    A B-tree takes no value of more than about 2,700 bytes (PostgreSQL manual, 64.1), and ``=``
    finds no NULL.
    """
    return not all(item.not_null and item.bounded for item in key)


def row(names: Sequence[str], qualifier: str) -> str:
    """``ROW(…)`` of the named columns."""
    return f"ROW({comma([column(qualifier, name) for name in names])})"


def identical(columns: Sequence[OutputColumn], left: str, right: str) -> str:
    """The condition that two rows are identical.

    Args:
        columns: of both.
        left: alias of one side, the stored one: its hash expression matches the index.
        right: alias of the other side.
    """
    same = f"record_image_eq({_image_row(columns, left)}, {_image_row(columns, right)})"
    hashed = hash_expression(columns, left)
    if hashed is None:
        return same
    return f"{hashed} = {hash_expression(columns, right)} AND {same}"


def _image_row(columns: Sequence[OutputColumn], qualifier: str) -> str:
    """``ROW(…)`` with one NaN: its sign is a bit that nothing shows."""
    values: list[str] = []
    for item in columns:
        value = column(qualifier, item.name)
        if item.type in _FLOATS:
            value = f"CASE WHEN {value} = 'NaN' THEN 'NaN' ELSE {value} END"
        values.append(value)
    return f"ROW({comma(values)})"


def match_key(
    key: Sequence[OutputColumn],
    left: str,
    right: str,
    other: Sequence[OutputColumn] | None = None,
) -> str:
    """The condition that two rows have the same key.

    Plain ``=`` where no key column can be NULL or too long for a B-tree; otherwise the hash (which
    an index serves and a hash join can use) and a NULL-safe comparison (``IS NOT DISTINCT FROM``
    alone is never indexed nor hashed).

    Args:
        key: the key's columns; none means that the table has at most one row.
        left: alias of one side, the stored one: its hash expression matches the index.
        right: alias of the other side.
        other: the key's columns as the right side names them; the same where not given.
    """
    if not key:
        return "true"
    both = list(zip(key, other or key, strict=True))
    if not needs_hash(key):
        equal = [f"{column(left, a.name)} = {column(right, b.name)}" for a, b in both]
        return " AND ".join(equal)
    safe = [
        f"{column(left, a.name)} IS NOT DISTINCT FROM {column(right, b.name)}" for a, b in both
    ]
    hashed = hash_expression(key, left)
    if hashed is not None:
        safe.insert(0, f"{hashed} = {hash_expression(other or key, right)}")
    return " AND ".join(safe)
