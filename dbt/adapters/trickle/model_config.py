"""Keys that a model may configure: those of dbt-postgres and those of a stream table.

dbt uses the class to know where such keys may stand; it validates nothing. That is done by
``relation_configs``, which knows the model's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dbt.adapters.postgres.impl import PostgresConfig


@dataclass
class TrickleConfig(PostgresConfig):
    """Configuration of a model."""

    schedule: str | None = None
    refresh_mode: str | None = None
    partition_by: str | None = None
    fuse: Any = None
    fuse_ceiling: Any = None
    fuse_sensitivity: Any = None
    tier: str | None = None
    cdc_mode: str | None = None
    diamond_consistency: str | None = None
    initialize: Any = None
    status: str | None = None
    append_only: Any = None
    refresh_on_run: Any = None
    capture_outside: Any = None
    gate: Any = None
    wait: Any = None
    wait_timeout: Any = None
