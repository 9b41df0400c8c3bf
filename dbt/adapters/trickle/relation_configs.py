"""What a model asks of its stream table, and how that differs from what there is.

Invariant: both sides are in the runtime's normal form before they are compared (``60s`` is
``1m``), so a difference is one that the user made; errors name the model, the key and the values
that are allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any

from dbt.adapters.contracts.relation import RelationConfig
from dbt.adapters.relation_configs import (
    RelationConfigBase,
    RelationConfigChange,
    RelationConfigChangeAction,
)
from dbt_common.exceptions import DbtRuntimeError

from dbt.adapters.trickle import pgtrickle_names
from dbt.adapters.trickle.model_constraints import constraints
from trickle_runtime.config import Constraint, GateTest, StreamTableOptions, check_names
from trickle_runtime.errors import InvalidConfig

OPTION_NAMES = tuple(option.name for option in fields(StreamTableOptions))
META_KEY = "trickle"
IMPOSSIBLE = {
    "sql_header": "Use a pre_hook, or a function that the query calls.",
    "unlogged": "A stream table is logged, so that it survives a crash together with its state.",
}
OF_INCREMENTAL = (
    "incremental_strategy",
    "incremental_predicates",
    "on_schema_change",
    "merge_update_columns",
    "merge_exclude_columns",
    "batch_size",
)
# Options that do something at creation only.
AT_CREATION = frozenset({"initialize"})
REFRESH_ON_RUN = ("auto", "true", "false")
OF_DBT = ("refresh_on_run", "capture_outside", "gate", "wait", "wait_timeout")
KNOWN = (*OPTION_NAMES, *OF_DBT)


@dataclass(frozen=True)
class StreamTableConfig(RelationConfigBase):
    """The stream table that a model describes.

    What is in ``OF_DBT`` concerns dbt's runs only; the catalog does not keep it. ``given`` are the
    options that the model names: a status that it does not name is left alone.
    """

    query: str = ""
    options: StreamTableOptions = field(default_factory=StreamTableOptions)
    given: frozenset[str] = frozenset()
    refresh_on_run: str = "auto"
    capture_outside: bool = False
    gate: bool = False  # whether the model's tests are run on new rows before they are committed
    wait: bool = False  # whether a run ends when all that is committed has arrived
    wait_timeout: float = 300.0
    tests: tuple[GateTest, ...] = ()  # of the gate
    constraints: tuple[Constraint, ...] = ()
    doubts: tuple[str, ...] = ()  # keys that look like misspelled options

    @classmethod
    def from_relation_config(cls, model: RelationConfig) -> StreamTableConfig:
        """Read the configuration of a compiled model.

        Raises:
            DbtRuntimeError: for a value that is not allowed, or an unknown key below
                ``meta.trickle``.
        """
        try:
            _refuse_impossible(model)
            parsed = cls._parse(model.compiled_code or "", _given_values(model))
            return replace(parsed, constraints=constraints(model), doubts=_doubts(model))
        except InvalidConfig as error:
            hint = f" {error.hint}" if error.hint else ""
            raise DbtRuntimeError(f"Model {model.name!r}: {error.message}.{hint}") from error

    @classmethod
    def _parse(cls, query: str, values: dict[str, Any]) -> StreamTableConfig:
        check_names(values, KNOWN)
        own = {name: _PARSERS[name](name, values.pop(name)) for name in OF_DBT if name in values}
        return cls(query, StreamTableOptions.parse(values), frozenset(values), **own)

    def with_tests(self, tests: Iterable[Mapping[str, str]]) -> StreamTableConfig:
        """Return the same configuration with the compiled tests of its gate."""
        return replace(self, tests=tuple(GateTest(one["name"], one["query"]) for one in tests))

    def with_query(self, query: str) -> StreamTableConfig:
        """Return the same configuration with another text of its query."""
        return replace(self, query=query)

    def with_mode(self, refresh_mode: str) -> StreamTableConfig:
        """Return the same configuration with another refresh mode (that of the target)."""
        options = replace(self.options, refresh_mode=refresh_mode)
        return replace(self, options=options, given=self.given | {"refresh_mode"})

    def creation_options(self) -> dict[str, Any]:
        """Options for ``create_stream_table``."""
        return {name: getattr(self.options, name) for name in OPTION_NAMES}

    def alteration_options(self) -> dict[str, Any]:
        """Options for ``alter_stream_table``: all that describe the table's present state."""
        kept = set(OPTION_NAMES) - AT_CREATION
        if "status" not in self.given:
            kept.discard("status")
        return {name: getattr(self.options, name) for name in OPTION_NAMES if name in kept}


@dataclass(frozen=True, eq=True, unsafe_hash=True)
class StreamTableChange(RelationConfigChange):
    """One setting that differs; ``context`` is its name."""

    @property
    def requires_full_refresh(self) -> bool:
        """Whether rows must be computed anew."""
        return self.context in {"query", "unique_key"}


@dataclass(frozen=True)
class StreamTableChangeset:
    """All settings in which a model and its stream table differ, in a stable order."""

    changes: tuple[StreamTableChange, ...] = ()

    @property
    def has_changes(self) -> bool:
        """Whether anything differs."""
        return bool(self.changes)

    @property
    def requires_full_refresh(self) -> bool:
        """Whether rows must be computed anew."""
        return any(change.requires_full_refresh for change in self.changes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the settings that differ."""
        return tuple(str(change.context) for change in self.changes)


def changeset(
    existing: StreamTableOptions,
    desired: StreamTableConfig,
    *,
    same_query: bool,
    others: Iterable[str] = (),
) -> StreamTableChangeset | None:
    """Compare; ``None`` where nothing differs. ``others`` are what differs besides the options."""
    compared = set(desired.alteration_options())
    before, after = _comparable(existing), _comparable(desired.options)
    names = [name for name in before.changes(after) if name in compared]
    if not same_query:
        names.insert(0, "query")
    names += others
    alter = RelationConfigChangeAction.alter
    changes = tuple(StreamTableChange(action=alter, context=name) for name in names)
    return StreamTableChangeset(changes) if changes else None


def _given_values(model: RelationConfig) -> dict[str, Any]:
    """Options that the model names: top-level keys win over ``meta.trickle``."""
    config = model.config
    below_meta = (getattr(config, "meta", None) or {}).get(META_KEY, {})
    if not isinstance(below_meta, Mapping):
        raise InvalidConfig(f"meta.{META_KEY} must be a dictionary of options")
    values = {name: value for name, value in below_meta.items() if value is not None}
    for name in KNOWN:
        value = config.get(name)
        if value is not None:
            values[name] = value
    return pgtrickle_names.translated(values)


def _refuse_impossible(model: RelationConfig) -> None:
    """Refuse what other materializations obey and a stream table can't."""
    for key, instead in IMPOSSIBLE.items():
        if model.config.get(key):
            raise InvalidConfig(f"{key} is not possible on a stream table", hint=instead)
    pgtrickle_names.refuse_impossible(model.config)
    schema, identifier = getattr(model, "schema", ""), getattr(model, "identifier", model.name)
    pgtrickle_names.refuse_other_name(model.config, schema, identifier)


def _doubts(model: RelationConfig) -> tuple[str, ...]:
    """Say which keys mean nothing here, and which may be misspelled: dbt takes any key."""
    found = [
        f"{key!r} means nothing to a stream table, which is maintained by what changes"
        for key in OF_INCREMENTAL
        if model.config.get(key) not in (None, "ignore")
    ]
    found += pgtrickle_names.doubts(model.config)
    for key in getattr(model.config, "extra", {}):
        near = [] if key in KNOWN else get_close_matches(key, KNOWN, n=1, cutoff=0.8)
        found += [f"{key!r} is no option of a stream table; {name!r}?" for name in near]
    return tuple(found)


def _comparable(options: StreamTableOptions) -> StreamTableOptions:
    """Write ``partition_by`` in one way: no blanks, strategy in upper case, RANGE left out."""
    if options.partition_by is None:
        return options
    text = re.sub(r"\s*([,:])\s*", r"\1", options.partition_by.strip())
    strategy, colon, rest = text.partition(":")
    text = f"{strategy.upper()}{colon}{rest}" if colon else text
    if text.startswith("RANGE:") and text.count(":") == 1:
        text = text.removeprefix("RANGE:")
    return replace(options, partition_by=text)


def _choice(name: str, value: object) -> str:
    word = str(value).strip().lower()
    if word not in REFRESH_ON_RUN:
        raise InvalidConfig(
            f"{name} {value!r} is not valid", hint=f"Allowed: {', '.join(REFRESH_ON_RUN)}."
        )
    return word


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidConfig(f"{name} {value!r} is not valid", hint="Allowed: true, false.")
    return value


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InvalidConfig(f"{name} {value!r} is not valid", hint="Allowed: seconds, above 0.")
    return float(value)


_PARSERS = {
    "refresh_on_run": _choice,
    "capture_outside": _flag,
    "gate": _flag,
    "wait": _flag,
    "wait_timeout": _seconds,
}
