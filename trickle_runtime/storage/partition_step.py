"""The arithmetic of self-made RANGE partitions, as SQL expressions.

Invariant: pure. Bounds are computed in a domain that no session setting changes: dates and
timestamps as ``timestamp``, ``timestamptz`` in UTC, numbers as ``numeric``; the literals of the
DDL name their zone, and are the same whatever TimeZone and DateStyle say.
"""

from __future__ import annotations

import re
from decimal import Decimal

from trickle_runtime.db.sql import quote_literal
from trickle_runtime.storage.partition_spec import PartitionSpec, type_name

# Beyond these a bound can't be computed or named; such keys belong to the default partition.
_TIME_USABLE = "d.key >= '0001-01-01' AND d.key < '9999-01-01'"
_NUMBER_USABLE = "d.key::numeric > '-1e30' AND d.key::numeric < '1e30'"
_INTEGER_LIMITS = {
    "smallint": ("-32768", "32767"),
    "integer": ("-2147483648", "2147483647"),
    "bigint": ("-9223372036854775808", "9223372036854775807"),
}
_TIME_FORMATS = {"year": "YYYY", "month": "YYYYMM", "week": "YYYYMMDD", "day": "YYYYMMDD"}


def expressions(spec: PartitionSpec, key: str) -> dict[str, str]:
    """Return the placeholders of the statement ``missing_ranges``; ``key`` is a quoted column."""
    return _time(spec, key) if spec.by_time else _number(spec, key)


def _time(spec: PartitionSpec, key: str) -> dict[str, str]:
    step = str(spec.step)
    kind = type_name(str(spec.step_type))
    zoned = kind == "timestamptz"
    style = "YYYY-MM-DD" if kind == "date" else "YYYY-MM-DD HH24:MI:SS.US"
    tail = " || '+00'''" if zoned else " || ''''"
    exact = "to_char(lo, 'YYYYMMDDHH24MISSUS')"
    return {
        "key": key,
        "usable_key": f"CASE WHEN {_TIME_USABLE} THEN {_plain('d.key', zoned)} END",
        "bucket": f"date_trunc('{step}', u)",
        "step": f"'1 {step}'::interval",
        "bound_from": _bound("m[1]", kind, zoned),
        "bound_to": _bound("m[2]", kind, zoned),
        "lower": f"'''' || to_char(lo, '{style}'){tail}",
        "upper": f"'''' || to_char(hi, '{style}'){tail}",
        "suffix": f"'_p' || CASE lo WHEN date_trunc('{step}', lo) "
        f"THEN to_char(lo, '{_TIME_FORMATS[step]}') ELSE {exact} END",
    }


def _plain(value: str, zoned: bool) -> str:
    return f"({value} AT TIME ZONE 'UTC')" if zoned else f"({value})::timestamp"


def _bound(text: str, type_name: str, zoned: bool) -> str:
    return _plain(f"btrim({text}, '''')::{type_name}", zoned)


def _number(spec: PartitionSpec, key: str) -> dict[str, str]:
    step = f"{quote_literal(str(spec.step))}::numeric"
    least, most = _limits(str(spec.step_type))
    return {
        "key": key,
        "usable_key": f"CASE WHEN {_NUMBER_USABLE} THEN d.key::numeric END",
        "bucket": f"floor(u / {step}) * {step}",
        "step": step,
        "bound_from": "btrim(m[1], '''')::numeric",
        "bound_to": "btrim(m[2], '''')::numeric",
        "lower": f"CASE WHEN lo < '{least}' THEN 'MINVALUE' ELSE {_quoted_number('lo')} END",
        "upper": f"CASE WHEN hi > '{most}' THEN 'MAXVALUE' ELSE {_quoted_number('hi')} END",
        "suffix": "'_p' || translate(trim_scale(lo)::text, '-.', 'm_')",
    }


def _limits(column_type: str) -> tuple[str, str]:
    """Return the least and the greatest value of a type: a bound beyond can't be written."""
    precision = re.fullmatch(r"numeric\((\d+),(-?\d+)\)", column_type)
    if precision is None:
        return _INTEGER_LIMITS.get(column_type, ("-Infinity", "Infinity"))
    digits, scale = int(precision[1]), int(precision[2])
    most = Decimal(10) ** (digits - scale) - Decimal(10) ** -scale
    return format(-most, "f"), format(most, "f")


def _quoted_number(value: str) -> str:
    return f"'''' || trim_scale({value}) || ''''"
