"""The settings of the catalog that the engine obeys.

Invariant: every setting has its default here, in case a catalog lacks it; a number in
``pgt_settings`` that can't be read is an ``InvalidConfig`` that names it. Durations are
PostgreSQL's own texts and are judged by PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trickle_runtime.errors import InvalidConfig


@dataclass(frozen=True)
class Settings:
    """Limits of a refresh; the names are those in ``pgt_settings``."""

    lock_timeout: str = "400ms"  # below deadlock_timeout: we give up before anybody is killed
    statement_timeout: str = "0"
    max_consecutive_errors: int = 3
    block_source_ddl: bool = True


RETRY_SHORTEST_S = 1
RETRY_LONGEST_S = 300
ANALYZE_AFTER = 5_000  # pending changes of one source: the planner should know its buffer


def parse(values: Mapping[str, str]) -> Settings:
    """Return the settings with the given values; names of other parts are ignored."""
    known: dict[str, Any] = {
        name: values[name] for name in ("lock_timeout", "statement_timeout") if name in values
    }
    if "max_consecutive_errors" in values:
        known["max_consecutive_errors"] = _number("max_consecutive_errors", values)
    if "block_source_ddl" in values:
        known["block_source_ddl"] = values["block_source_ddl"].strip().lower() in {"on", "true"}
    return Settings(**known)


def _number(name: str, values: Mapping[str, str]) -> int:
    text = values[name].strip()
    if not text.isdecimal() or int(text) < 1:
        raise InvalidConfig(
            f"setting {name} {text!r} is not valid", hint="Allowed: a whole number, 1 or more."
        )
    return int(text)
