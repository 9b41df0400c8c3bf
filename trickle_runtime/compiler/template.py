"""SQL templates of generated statements: a text with ``$name`` holes, filled by rendered SQL.

Only SQL that this package rendered, or identifiers quoted by ``ident``, goes into a hole.
Invariant: every hole is filled and every argument is used, or ``KeyError``/``TypeError`` tells.
"""

from __future__ import annotations

import hashlib
import re

_HOLE = re.compile(r"\$([a-z_]+)")
_NAME_BYTES = 63  # PostgreSQL cuts longer identifiers (manual, 4.1.1)


def fill(template: str, **parts: str) -> str:
    """Fill the holes of ``template``.

    Args:
        template: SQL with holes ``$name``.
        parts: SQL text per hole.

    Returns:
        the text.

    Raises:
        KeyError: a hole has no part.
        TypeError: a part has no hole.
    """
    holes = set(_HOLE.findall(template))
    if unused := parts.keys() - holes:
        raise TypeError(f"unused parts: {sorted(unused)}")
    return _HOLE.sub(lambda hole: parts[hole.group(1)], template)


def ident(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def column(alias: str, name: str) -> str:
    """A qualified, quoted column reference."""
    return f"{ident(alias)}.{ident(name)}"


def literal(value: str) -> str:
    """Quote a text literal (``standard_conforming_strings`` is on in every session of ours)."""
    return "'" + value.replace("'", "''") + "'"


def comma(parts: list[str] | tuple[str, ...]) -> str:
    """Join select-list or argument parts."""
    return ", ".join(parts)


def dotted(prefix: str, name: str) -> str:
    """The column name ``prefix.name``, as short as PostgreSQL keeps it."""
    made = f"{prefix}.{name}"
    if len(made.encode()) <= _NAME_BYTES:
        return made
    return f"{prefix}.{hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()}"
