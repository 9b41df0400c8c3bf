"""``trickle-runtime demo``: the whole product on one screen, on a PostgreSQL of its own.

Invariant: it ends with exit code 0 only if every stream table equals its query, and leaves nothing
running unless asked to.
"""

from __future__ import annotations

from trickle_runtime.demo.command import main

__all__ = ["main"]
