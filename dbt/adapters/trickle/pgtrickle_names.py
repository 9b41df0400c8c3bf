"""The configuration of the macro package dbt-pgtrickle, understood.

Invariant: a key of that package is obeyed, named as one that means nothing here, or refused with
what to do instead; a project that moves over never loses one without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trickle_runtime.errors import InvalidConfig

# Values of their documentation, in our words.
VALUES = {
    "diamond_consistency": {"strict": "atomic", "relaxed": "none"},
    "status": {"suspended": "paused"},
}
MEANINGLESS = {
    "diamond_schedule_policy": "the tables of a diamond are refreshed at one snapshot",
    "max_delta_fraction": "refresh_mode auto compares the costs",
    "max_differential_joins": "refresh_mode auto compares the costs",
    "pooler_compatibility_mode": "nothing here depends on a session of the pooler",
}
IMPOSSIBLE = {
    "output_distribution_column": "Tables distributed by an extension are not maintained.",
    "storage_backend": "Only heap tables are maintained.",
    "temporal": "Keep the history by a dbt snapshot of the stream table.",
}
HEAP = "heap"
NAMES = {"stream_table_name": "alias", "stream_table_schema": "schema"}


def translated(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with the values that they have here."""
    return {name: _value(name, value) for name, value in values.items()}


def refuse_impossible(config: Any) -> None:
    """Refuse what a stream table can't be.

    Raises:
        InvalidConfig: names the key and what to do instead.
    """
    for key, instead in IMPOSSIBLE.items():
        value = config.get(key)
        if value and str(value).lower() != HEAP:
            raise InvalidConfig(f"{key} {value!r} is not possible", hint=instead)


def refuse_other_name(config: Any, schema: str, identifier: str) -> None:
    """Refuse a name of its own for the table: dbt would not find it.

    Raises:
        InvalidConfig: it is not the model's.
    """
    for (key, instead), own in zip(NAMES.items(), (identifier, schema), strict=True):
        value = config.get(key)
        if value is not None and value != own:
            raise InvalidConfig(
                f"{key} {value!r} is not the model's {instead} ({own!r})",
                hint=f"Give the model the {instead} {value!r} and remove {key}.",
            )


def doubts(config: Any) -> Iterator[str]:
    """Say which keys mean nothing here, and why."""
    for key, why in MEANINGLESS.items():
        if config.get(key) is not None:
            yield f"{key!r} means nothing here: {why}"


def _value(name: str, value: Any) -> Any:
    return VALUES.get(name, {}).get(str(value).strip().lower(), value)
