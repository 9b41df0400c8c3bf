"""Options of a stream table, its gate and constraints, and the names of the runtime's schemas.

Invariant: an instance is always valid; ``StreamTableOptions.parse`` is the only way in for values
that users wrote, and it raises ``InvalidConfig`` with the option and the allowed values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from trickle_runtime import schedule as schedules
from trickle_runtime.errors import InvalidConfig

REFRESH_MODES = ("auto", "differential", "full")
FUSE_MODES = ("off", "on", "auto")
TIERS = ("hot", "warm", "cold", "frozen")
CDC_MODES = ("auto", "trigger")
DIAMOND_MODES = ("atomic", "none")
STATUSES = ("active", "paused")


@dataclass(frozen=True)
class Schemas:
    """Names of the runtime's three schemas, made from one prefix."""

    prefix: str = "pgtrickle"

    @property
    def catalog(self) -> str:
        """Schema of the catalog tables and SQL functions."""
        return self.prefix

    @property
    def changes(self) -> str:
        """Schema of the change buffers."""
        return f"{self.prefix}_changes"

    @property
    def state(self) -> str:
        """Schema of the operators' state tables."""
        return f"{self.prefix}_state"


@dataclass(frozen=True)
class StreamTableOptions:
    """How a stream table is kept; every value is in its normal form, so instances compare."""

    schedule: str = "1m"
    refresh_mode: str = "auto"
    partition_by: str | None = None
    fuse: str = "off"
    fuse_ceiling: int | None = None
    fuse_sensitivity: float = 3.0
    tier: str = "hot"
    cdc_mode: str = "auto"
    diamond_consistency: str = "atomic"
    initialize: bool = True
    status: str = "active"
    append_only: bool = False
    unique_key: tuple[str, ...] | None = None

    @classmethod
    def parse(
        cls, values: Mapping[str, Any], base: StreamTableOptions | None = None
    ) -> StreamTableOptions:
        """Return ``base`` (the defaults) with the given ``values`` normalised and checked.

        Raises:
            InvalidConfig: for an unknown option or a value that is not allowed.
        """
        check_names(values, [field.name for field in fields(cls)])
        normal = {name: _PARSERS[name](name, value) for name, value in values.items()}
        options = replace(base or cls(), **normal)
        if options.fuse == "on" and options.fuse_ceiling is None:
            raise InvalidConfig(
                "fuse 'on' needs a fuse_ceiling",
                hint="Give fuse_ceiling, or use fuse 'auto' for the adaptive threshold.",
            )
        return options

    def changes(self, other: StreamTableOptions) -> tuple[str, ...]:
        """Return the names of the options in which ``other`` differs, in order."""
        mine, theirs = asdict(self), asdict(other)
        return tuple(name for name in mine if mine[name] != theirs[name])


@dataclass(frozen=True)
class GateTest:
    """A test that new content of a stream table has to pass; its query gives the failures.

    Name and query are the user's, the rest is what the catalog knows of a stored test.
    """

    name: str
    query: str
    position: int = 0
    reads: tuple[int, ...] = ()  # other stream tables
    missing: str | None = None  # why it can't be run yet
    accepted: float = 0.0  # so many failures were let through by reset_fuse
    found: float | None = None  # failures that blew the fuse


CONSTRAINTS = ("not_null", "check", "unique", "primary_key")


@dataclass(frozen=True)
class Constraint:
    """A constraint on the rows of a stream table; a ``check`` has an expression."""

    kind: str
    columns: tuple[str, ...] = ()
    expression: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in CONSTRAINTS:
            raise _invalid("constraint", self.kind, ", ".join(CONSTRAINTS))
        if self.kind == "check" and not (self.expression or "").strip():
            raise InvalidConfig("constraint check has no expression")
        if self.kind != "check" and not self.columns:
            raise InvalidConfig(f"constraint {self.kind} has no columns")


def check_names(values: Iterable[str], names: Sequence[str]) -> None:
    """See that only known options are named.

    Raises:
        InvalidConfig: for another one; says which may be meant.
    """
    for name in values:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Options: {', '.join(names)}."
            raise InvalidConfig(f"there is no option {name!r}", hint=hint)


def _invalid(name: str, value: object, allowed: str) -> InvalidConfig:
    return InvalidConfig(f"{name} {value!r} is not valid", hint=f"Allowed: {allowed}.")


def _choice(allowed: tuple[str, ...], missing: Mapping[str, str] | None = None) -> _Parser:
    def parse(name: str, value: object) -> str:
        word = _word(value)
        if word in allowed:
            return word
        error = _invalid(name, value, ", ".join(allowed))
        if missing and word in missing:
            raise InvalidConfig(
                f"{name} {word!r} is not available yet", hint=f"{error.hint} {missing[word]}"
            )
        if missing:
            error.hint = f"{error.hint} Not available yet: {', '.join(missing)}."
        raise error

    return parse


def _word(value: object) -> str:
    if isinstance(value, bool):  # YAML reads off and on as booleans
        return "on" if value else "off"
    return str(value).strip().lower()


def _parse_schedule(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _invalid(name, value, "a text such as '30s', '5m', '*/5 * * * *' or 'calculated'")
    parsed = schedules.parse(value)
    if isinstance(parsed, schedules.Every):
        return format_duration(parsed.interval)
    return parsed.expression if isinstance(parsed, schedules.Cron) else "calculated"


def format_duration(interval: timedelta) -> str:
    """Return a duration in its normal form.

    >>> format_duration(timedelta(minutes=90))
    '1h30m'
    """
    rest = int(interval.total_seconds())
    parts: list[str] = []
    for unit, seconds in (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, seconds)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def _parse_partition_by(name: str, value: object) -> str | None:
    """Strip blanks only: storage.partitioning knows the columns and judges the rest."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise _invalid(name, value, "a text: 'col', 'a,b', 'LIST:col', 'HASH:col:N'")
    return value.strip() or None


def _parse_ceiling(name: str, value: object) -> int | None:
    if value is None:
        return None
    number = _number(value)
    if number is None or number < 0 or number != int(number):
        raise _invalid(name, value, "a whole number of changes, 0 or more")
    return int(number)


def _parse_sensitivity(name: str, value: object) -> float:
    number = _number(value)
    if number is None or number <= 0:
        raise _invalid(name, value, "a number above 0")
    return number


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _parse_bool(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in {"true", "false", "on", "off", "yes", "no"}:
        raise _invalid(name, value, "true, false")
    return word in {"true", "on", "yes"}


def _parse_key(name: str, value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    columns = [value] if isinstance(value, str) else value
    if not isinstance(columns, (list, tuple)):
        raise _invalid(name, value, "a column or a list of columns")
    key = tuple(str(column) for column in columns)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if len(set(key)) != len(key) or not all(key):
        raise _invalid(name, value, "different, non-empty column names")
    return key or None


_Parser = Callable[[str, object], Any]
_PARSERS: Mapping[str, _Parser] = {
    "schedule": _parse_schedule,
    "refresh_mode": _choice(
        REFRESH_MODES,
        {"immediate": "Use differential or auto with a short schedule."},
    ),
    "partition_by": _parse_partition_by,
    "fuse": _choice(FUSE_MODES),
    "fuse_ceiling": _parse_ceiling,
    "fuse_sensitivity": _parse_sensitivity,
    "tier": _choice(TIERS),
    "cdc_mode": _choice(CDC_MODES, {"wal": "Changes are captured by triggers."}),
    "diamond_consistency": _choice(DIAMOND_MODES),
    "initialize": _parse_bool,
    "status": _choice(STATUSES),
    "append_only": _parse_bool,
    "unique_key": _parse_key,
}
