"""Aggregate functions: what is kept per group and how the result follows from it.

Exact reproduction of PostgreSQL's results decides between addition and recomputing the touched
groups (amendment A11): addition for counts, for sums, averages and variances of integers and of
numerics whose display scale is known, for boolean aggregates; three cases for min and max; every
other function is recomputed for the groups that changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trickle_runtime.compiler.template import fill

INTEGERS = frozenset({"int2", "int4", "int8"})
_SUM_TYPES = {"int2": "bigint", "int4": "bigint", "int8": "numeric", "numeric": "numeric"}
_VARIANCES = frozenset({"variance", "var_samp", "var_pop"})
_BOOLS = frozenset({"bool_and", "bool_or", "every"})
ADDITIVE = frozenset({"count", "sum", "avg"}) | _VARIANCES | _BOOLS


@dataclass(frozen=True)
class Argument:
    """A column of the rows that are aggregated."""

    column: str  # quoted name in the contribution rows
    base: str  # internal type name
    type: str
    not_null: bool
    scales: tuple[int, ...] | None


@dataclass(frozen=True)
class Slot:
    """A column of the state table.

    ``fill`` computes it from all rows of a group; ``kind``: ``sum`` (``delta`` is added), ``min``
    and ``max`` (three cases over ``argument``), ``group`` (recomputed by ``fill``).
    """

    name: str
    kind: str
    type: str
    fill: str
    delta: str = ""
    argument: str = ""
    finite: bool = True  # False: the sum may be NaN, from which addition does not lead back


@dataclass(frozen=True)
class Maintained:
    """An aggregate call: its slots, and its result over them (``{name}`` stands for a slot)."""

    slots: tuple[Slot, ...]
    result: str
    strategy: str  # addition, three-case, recompute


def additive(function: str, argument: Argument | None) -> bool:
    """Whether the call is maintained by addition."""
    if function == "count" or function in _BOOLS:
        return True
    if argument is None or function not in {"sum", "avg", *_VARIANCES}:
        return False
    if argument.base in INTEGERS:
        return True
    if argument.base != "numeric" or argument.scales is None:
        return False
    return len(argument.scales) == 1 or function in {"sum", "avg"}


def maintain(function: str, argument: Argument | None, position: int) -> Maintained | None:
    """The way to maintain a call without recomputing groups.

    Args:
        function: plain name of the aggregate.
        argument: its argument; None for ``count(*)``.
        position: number of the argument among those of the operator; names the slots.

    Returns:
        slots and result, or None where the touched groups must be recomputed.
    """
    if argument is None:
        return Maintained((), "{__pgt_count}", "addition") if function == "count" else None
    if function in {"min", "max"}:
        return _extreme(function, argument, position)
    if not additive(function, argument):
        return None
    if function == "count":
        counted, slots = _non_null(argument, position)
        return Maintained(slots, counted, "addition")
    if function in _BOOLS:
        return _boolean(function, argument, position)
    return _sum(function, argument, position)


def recompute(call: str, type_: str, position: int) -> Maintained:
    """A call whose value is kept and recomputed for every touched group."""
    name = f"g{position}"
    slot = Slot(name, "group", type_, call)
    return Maintained((slot,), f"{{{name}}}", "recompute")


def _non_null(argument: Argument, position: int) -> tuple[str, tuple[Slot, ...]]:
    if argument.not_null:
        return "{__pgt_count}", ()
    name = f"n{position}"
    slot = Slot(
        name,
        "sum",
        "bigint",
        fill("count($x)", x=argument.column),
        fill("sum(CASE WHEN $x IS NULL THEN 0 ELSE __pgt_w END)", x=argument.column),
    )
    return f"{{{name}}}", (slot,)


def _extreme(function: str, argument: Argument, position: int) -> Maintained:
    name = f"{'lo' if function == 'min' else 'hi'}{position}"
    slot = Slot(
        name,
        function,
        argument.type,
        fill("$f($x)", f=function, x=argument.column),
        argument=argument.column,
    )
    return Maintained((slot,), f"{{{name}}}", "three-case")


def _boolean(function: str, argument: Argument, position: int) -> Maintained:
    slots = tuple(
        Slot(
            f"{letter}{position}",
            "sum",
            "bigint",
            fill("count(*) FILTER (WHERE $p)", p=test),
            fill("sum(__pgt_w) FILTER (WHERE $p)", p=test),
        )
        for letter, test in (("t", argument.column), ("f", f"NOT {argument.column}"))
    )
    true, false = f"{{t{position}}}", f"{{f{position}}}"
    value = f"{true} > 0" if function == "bool_or" else f"{false} = 0"
    return Maintained(slots, f"CASE WHEN {true} + {false} > 0 THEN {value} END", "addition")


def _sum(function: str, argument: Argument, position: int) -> Maintained:
    counted, slots = _non_null(argument, position)
    total, kept = _total(argument, position)
    slots = (*slots, *kept)
    if function == "sum":
        return Maintained(slots, f"CASE WHEN {counted} > 0 THEN {total} END", "addition")
    if function == "avg":
        value = f"({total})::numeric / {counted}::numeric"
        return Maintained(slots, f"CASE WHEN {counted} > 0 THEN {value} END", "addition")
    return _variance(function, argument, position, counted, slots)


def _total(argument: Argument, position: int) -> tuple[str, tuple[Slot, ...]]:
    """The sum with PostgreSQL's display scale: the largest among the values that are there."""
    x, name = argument.column, f"s{position}"
    type_ = _SUM_TYPES[argument.base]
    term = fill("$x::bigint", x=x) if type_ == "bigint" else fill("$x::numeric", x=x)
    finite = argument.base != "numeric"
    slot = Slot(
        name,
        "sum",
        type_,
        fill("coalesce(sum($x), 0)::$t", x=x, t=type_),
        fill("coalesce(sum($x * __pgt_w), 0)", x=term),
        finite=finite,
    )
    scales = argument.scales or ()
    if argument.base in INTEGERS or len(scales) == 1:
        return f"{{{name}}}", (slot,)
    counters = tuple(_scale_counter(x, position, scale) for scale in scales[1:])
    cases = " ".join(
        f"WHEN {{h{position}_{scale}}} > 0 THEN round({{{name}}}, {scale})"
        for scale in reversed(scales[1:])
    )
    least = min(scales)
    return f"CASE {cases} ELSE round({{{name}}}, {least}) END", (slot, *counters)


def _scale_counter(x: str, position: int, scale: int) -> Slot:
    test = f"scale({x}) = {scale}"
    return Slot(
        f"h{position}_{scale}",
        "sum",
        "bigint",
        fill("count(*) FILTER (WHERE $p)", p=test),
        fill("sum(__pgt_w) FILTER (WHERE $p)", p=test),
    )


def _variance(
    function: str, argument: Argument, position: int, counted: str, slots: tuple[Slot, ...]
) -> Maintained:
    name, x = f"q{position}", argument.column
    squares = Slot(
        name,
        "sum",
        "numeric",
        fill("coalesce(sum($x::numeric * $x::numeric), 0)", x=x),
        fill("coalesce(sum($x::numeric * $x::numeric * __pgt_w), 0)", x=x),
        finite=argument.base != "numeric",
    )
    n, total = f"{counted}::numeric", f"{{s{position}}}::numeric"
    spread = f"({n} * {{{name}}} - {total} * {total})"
    divisor = f"({n} * {n})" if function == "var_pop" else f"({n} * ({n} - 1))"
    least = 0 if function == "var_pop" else 1
    value = f"CASE WHEN {spread} <= 0 THEN 0 ELSE {spread} / {divisor} END"
    result = f"CASE WHEN {counted} > {least} THEN {value} END"
    return Maintained((*slots, squares), result, "addition")


def over(text: str, access: Mapping[str, str]) -> str:
    """Replace the slots in a result by the expressions that read them."""
    for name, sql in access.items():
        text = text.replace(f"{{{name}}}", sql)
    return text
