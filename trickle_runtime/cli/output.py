"""What a command prints on stdout.

Invariant: with ``--json`` stdout is one JSON document and nothing else; without it, a table that
is drawn on a terminal and plain, aligned text everywhere else.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

if TYPE_CHECKING:
    from trickle_runtime.refresh.result import ExplainedStep

Function = TypeVar("Function", bound=Callable[..., Any])


def json_option(function: Function) -> Function:
    """Add ``--json``."""
    return click.option("--json", is_flag=True, help="Print JSON.")(function)


def record(value: object) -> dict[str, Any]:
    """Return a dataclass or a mapping as a dictionary."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return dict(cast("Mapping[str, Any]", value))


def show(values: Sequence[object], *, as_json: bool, columns: Sequence[str] = ()) -> None:
    """Print a list of records, as a table only the given columns (default: all)."""
    rows = [record(value) for value in values]
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo("none", err=True)
        return
    names = list(columns or rows[0])
    cells = [[_text(row.get(name)) for name in names] for row in rows]
    (_draw if sys.stdout.isatty() else _align)(names, cells)


def show_one(value: object, *, as_json: bool) -> None:
    """Print one record, as a table one field a line."""
    row = record(value)
    if as_json:
        print_json(row)
        return
    width = max(map(len, row), default=0)
    for name, field in row.items():
        click.echo(f"{name:<{width}}  {_text(field)}")


def show_steps(steps: Sequence[ExplainedStep], *, as_json: bool) -> None:
    """Print statements, each below its number and kind."""
    if as_json:
        print_json([record(step) for step in steps])
        return
    for number, step in enumerate(steps, 1):
        click.echo(f"-- {number}. {step.kind}\n{step.sql.rstrip()}\n;\n")
        for line in (step.plan or "").splitlines():
            click.echo(f"--   {line}")


def print_json(value: object) -> None:
    """Print one JSON document; times in ISO 8601, intervals in seconds."""
    click.echo(json.dumps(value, default=_plain, indent=2))


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (set, frozenset)):
        return sorted(cast("set[Any]", value))
    return str(value)


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(one) for one in cast("Sequence[object]", value))
    return str(value)


def _draw(names: list[str], cells: list[list[str]]) -> None:
    from rich.console import Console  # costs 0.1 s, which a pipe need not pay
    from rich.table import Table

    table = Table(*names)
    for row in cells:
        table.add_row(*row)
    Console().print(table)


def _align(names: list[str], cells: list[list[str]]) -> None:
    lines = [names, *([one.replace("\n", " ") for one in row] for row in cells)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())
