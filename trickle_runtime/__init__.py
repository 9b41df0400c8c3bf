"""Incremental view maintenance for stock PostgreSQL.

``connect`` opens a ``Runtime``, which has every verb on stream tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickle_runtime.config import Schemas

if TYPE_CHECKING:
    from trickle_runtime.api import Runtime, connect

__all__ = ["Runtime", "Schemas", "connect"]


def __getattr__(name: str) -> object:
    """Load the api on first use: ``trickle_runtime.schedule`` and the like need no driver."""
    if name in {"Runtime", "connect"}:
        from trickle_runtime import api

        return getattr(api, name)
    raise AttributeError(name)
