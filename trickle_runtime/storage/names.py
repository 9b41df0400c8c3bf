"""Names of the relations that make up a stream table's storage.

Invariant: pure; every name made here fits PostgreSQL's 63 bytes, and names cut short stay
different by a hash of what was cut.
"""

from __future__ import annotations

import hashlib
import secrets

from trickle_runtime.db.sql import qualified
from trickle_runtime.errors import InvalidConfig

MAX_BYTES = 63
IDENTITY_PREFIX = "pgt_identity_"


def split(text: str, separator: str) -> list[str]:
    """Split ``text`` at ``separator`` outside double quotes; the quotes stay.

    Raises:
        InvalidConfig: when a quote is not closed.
    """
    parts = [""]
    quoted = False
    for char in text:
        quoted ^= char == '"'
        if char == separator and not quoted:
            parts.append("")
        else:
            parts[-1] += char
    if quoted:
        raise InvalidConfig(f'a double quote is not closed in "{text}"')
    return parts


def unquote(identifier: str) -> str:
    """Return the name that an identifier stands for; an unquoted one is taken as it is."""
    if len(identifier) > 1 and identifier[0] == identifier[-1] == '"':
        return identifier[1:-1].replace('""', '"')
    return identifier


def schema_and_name(relation: str) -> tuple[str, str]:
    """Return the two parts of a qualified name."""
    schema, name = (unquote(part) for part in split(relation, "."))
    return schema, name


def shorten(base: str, suffix: str) -> str:
    """Return ``base`` + ``suffix``, ``base`` cut to fit and then made unique by a hash."""
    room = MAX_BYTES - len(suffix.encode())
    if len(base.encode()) <= room:
        return base + suffix
    digest = hashlib.sha256(base.encode()).hexdigest()[:8]
    head = base.encode()[: room - len(digest) - 1].decode(errors="ignore")
    return f"{head}_{digest}{suffix}"


def partition(relation: str, suffix: str) -> str:
    """Return the qualified name of a partition of ``relation``, beside it in its schema."""
    schema, name = schema_and_name(relation)
    return qualified(schema, shorten(name, suffix))


def new_identity() -> str:
    """Return a name for identity indexes that no other relation has.

    A name made from the table's would clash as soon as dbt renames a table away and makes it anew.
    """
    return IDENTITY_PREFIX + secrets.token_hex(4)
