"""Which indexes of a stream table to create and to drop.

Invariant: definitions are compared, never names, and only indexes that dbt named are dropped: the
runtime's identity index and a user's own are not ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_DBT_NAME = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class IndexPlan:
    """Index configs to create and names to drop."""

    create: tuple[Mapping[str, Any], ...]
    drop: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.create or self.drop)


@dataclass(frozen=True)
class _Definition:
    columns: tuple[str, ...]
    unique: bool
    method: str


def named_by_dbt(name: str) -> bool:
    """Whether an index was made of a model's config: the name is a digest then."""
    return _DBT_NAME.fullmatch(name) is not None


def plan_indexes(found: str | None, wanted: Iterable[Mapping[str, Any]]) -> IndexPlan:
    """Compare the indexes that exist with those that the model's config names.

    ``found`` is JSON: name, method, unique and the columns as ``pg_get_indexdef`` writes them, one
    a line; ``wanted`` is the list of dbt's ``indexes`` config.
    """
    existing = {str(row["name"]): _found(row) for row in json.loads(found or "[]")}
    configs = {_wanted(config): config for config in wanted}
    missing = (config for key, config in configs.items() if key not in existing.values())
    dropped = (
        name
        for name, definition in existing.items()
        if named_by_dbt(name) and definition not in configs
    )
    return IndexPlan(tuple(missing), tuple(dropped))


def _found(row: Mapping[str, Any]) -> _Definition:
    columns = tuple(_column(line) for line in str(row["columns"]).split("\n"))
    return _Definition(columns, bool(row["unique"]), str(row["method"]))


def _wanted(config: Mapping[str, Any]) -> _Definition:
    columns = tuple(_column(str(column)) for column in config.get("columns") or ())
    method = str(config.get("type") or "btree").lower()
    return _Definition(columns, bool(config.get("unique", False)), method)


def _column(text: str) -> str:
    """Write a column or expression in one way: PostgreSQL folds names and adds parentheses."""
    return re.sub(r'[\s"()]|::\w+', "", text).lower()
