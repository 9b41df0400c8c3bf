"""Tables that dbt replaces, as seen by the stream tables that read them.

Invariant: when the model of a table has run, the table that has its name is captured; what reads
it in the same run, and writers after it, never meet one that is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbt.adapters.events.logging import AdapterLogger

if TYPE_CHECKING:
    from trickle_runtime.api import Runtime

logger = AdapterLogger("Trickle")
# They leave no table behind, or one that follows its readers itself.
OTHERS = frozenset({"view", "ephemeral", "stream_table", "test", "unit", "function"})
RESOURCES = frozenset({"model", "seed", "snapshot"})


def may_replace(model: Any) -> bool:
    """Whether running a model may put a table in the place of another."""
    if model is None or str(model.resource_type) not in RESOURCES:
        return False
    return model.config.materialized not in OTHERS


def recapture(runtime: Runtime, name: tuple[str, str]) -> None:
    """Capture a table for those that read its name, and say for which."""
    for reader in runtime.recapture(name, initiated_by="dbt"):
        logger.debug(f"Captured {name[0]}.{name[1]} anew for {reader}")
