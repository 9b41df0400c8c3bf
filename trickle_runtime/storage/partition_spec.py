"""``partition_by`` as users write it.

Invariant: a ``PartitionSpec`` names existing columns in their true spelling, of types that can be
partitioned that way; everything else is ``InvalidConfig`` with option, column and alternatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.errors import InvalidConfig
from trickle_runtime.storage.names import split, unquote

METHODS = ("RANGE", "LIST", "HASH")
TIME_STEPS = ("day", "week", "month", "year")
TIME_TYPES = ("date", "timestamp", "timestamptz")
NUMBER_TYPES = ("smallint", "integer", "bigint", "numeric")
DEFAULT_MODULUS = 4
MAX_MODULUS = 256
MAX_COLUMNS = 32
MAX_DECIMALS = 100
_GRAMMAR = "'col', 'a,b', 'LIST:col', 'HASH:col[:N]', 'RANGE:col:STEP'"


@dataclass(frozen=True)
class PartitionSpec:
    """How a stream table is split."""

    method: str  # RANGE, LIST, HASH
    columns: tuple[str, ...]
    modulus: int | None = None  # HASH: the number of partitions
    step: str | None = None  # RANGE: day, week, month, year or a number; makes its partitions
    step_type: str | None = None  # the type of the one column, when there is a step

    @property
    def self_creating(self) -> bool:
        """Whether the refresh makes the partitions it needs: then it must see its delta first."""
        return self.step is not None

    @property
    def has_default(self) -> bool:
        """Whether the default partition is made with the table."""
        return self.method != "HASH" and not self.self_creating

    @property
    def by_time(self) -> bool:
        """Whether the step is one of the calendar."""
        return self.step in TIME_STEPS

    def same_layout(self, other: PartitionSpec | None) -> bool:
        """Whether storage made for ``other`` serves this one without being rebuilt."""
        return other is not None and (
            (self.method, self.columns, self.modulus)
            == (other.method, other.columns, other.modulus)
        )


def parse(text: str | None, columns: Sequence[OutputColumn]) -> PartitionSpec | None:
    """Return what ``partition_by`` asks of a table with ``columns``; None where it is empty.

    Raises:
        InvalidConfig: for a malformed text, an unknown column or a type that can't be used.
    """
    if text is None or not text.strip():
        return None
    head, *rest = (part.strip() for part in split(text.strip(), ":"))
    if not rest:
        method, keys, options = "RANGE", head, []
    else:
        method, keys, options = head.upper(), rest[0], rest[1:]
    if method not in METHODS:
        raise _invalid(text, f"there is no method {head!r}")
    found = _find_columns(text, keys, columns)
    _check_count(text, method, found)
    return _finish(text, method, found, options)


def _finish(
    text: str, method: str, found: tuple[OutputColumn, ...], options: list[str]
) -> PartitionSpec:
    names = tuple(column.name for column in found)
    first, *others = found
    if len(options) > 1 or (options and method == "LIST"):
        raise _invalid(text, f"too much after the column: {':'.join(options)!r}")
    if method == "HASH":
        return PartitionSpec(method, names, modulus=_modulus(text, options))
    if not options:
        return PartitionSpec(method, names)
    if others:
        raise _invalid(text, "a step needs exactly one column")
    return PartitionSpec(method, names, step=_step(text, options[0], first), step_type=first.type)


def _find_columns(
    text: str, keys: str, columns: Sequence[OutputColumn]
) -> tuple[OutputColumn, ...]:
    found = tuple(_find_column(text, key.strip(), columns) for key in split(keys, ","))
    if len({column.name for column in found}) < len(found):
        raise _invalid(text, "a column is named twice")
    for column in found:
        if not column.equality:
            raise _invalid(
                text, f"column {column.name!r} has type {column.type}, which has no order or hash"
            )
    return found


def _find_column(text: str, key: str, columns: Sequence[OutputColumn]) -> OutputColumn:
    name = unquote(key)
    exact = [column for column in columns if column.name == name]
    alike = [column for column in columns if column.name.lower() == name.lower()]
    if exact or (name == key and len(alike) == 1):
        return (exact or alike)[0]
    available = ", ".join(column.name for column in columns)
    raise InvalidConfig(
        f"partition_by {text!r}: the query has no column {name!r}",
        hint=f"Available columns: {available}.",
    )


def _check_count(text: str, method: str, found: tuple[OutputColumn, ...]) -> None:
    if method == "LIST" and len(found) > 1:
        raise _invalid(text, "LIST takes exactly one column")
    if len(found) > MAX_COLUMNS:
        raise _invalid(text, f"PostgreSQL partitions by at most {MAX_COLUMNS} columns")


def _modulus(text: str, options: list[str]) -> int:
    if not options:
        return DEFAULT_MODULUS
    if not options[0].isascii() or not options[0].isdigit():
        raise _invalid(text, f"{options[0]!r} is not a number of partitions")
    modulus = int(options[0])
    if not 2 <= modulus <= MAX_MODULUS:
        raise _invalid(text, f"HASH makes 2 to {MAX_MODULUS} partitions, not {modulus}")
    return modulus


def _step(text: str, step: str, column: OutputColumn) -> str:
    kind = type_name(column.type)
    if step.lower() in TIME_STEPS:
        if kind not in TIME_TYPES:
            raise _invalid(text, f"{step.lower()!r} needs a date or timestamp, not {column.type}")
        return step.lower()
    number = _number(step)
    if number is None:
        allowed = ", ".join(TIME_STEPS)
        raise _invalid(text, f"{step!r} is no step: use {allowed} or a number above 0")
    if kind not in NUMBER_TYPES:
        raise _invalid(text, f"the step {step} needs an integer or numeric, not {column.type}")
    if _decimals(number) > _scale(column.type):
        raise _invalid(text, f"the step {step} is finer than the values of {column.type}")
    return format(number.normalize(), "f")


def _number(step: str) -> Decimal | None:
    try:
        number = Decimal(step)
    except InvalidOperation:
        return None
    return number if number.is_finite() and number > 0 else None


def _scale(formatted: str) -> int:
    """Return how many decimals the values of a number type can have."""
    if type_name(formatted) != "numeric":
        return 0
    return int(formatted[:-1].split(",")[1]) if "," in formatted else MAX_DECIMALS


def _decimals(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def type_name(formatted: str) -> str:
    """Return the type without its modifier, timestamps by their short names.

    >>> type_name("timestamp(3) with time zone"), type_name("numeric(12,2)")
    ('timestamptz', 'numeric')
    """
    base = formatted.split("(", maxsplit=1)[0].strip()
    if base.startswith("timestamp"):
        return "timestamptz" if formatted.endswith("with time zone") else "timestamp"
    return base


def _invalid(text: str, problem: str) -> InvalidConfig:
    return InvalidConfig(f"partition_by {text!r}: {problem}", hint=f"Allowed: {_GRAMMAR}.")
