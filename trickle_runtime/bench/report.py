"""What a measurement prints: a Markdown table, or JSON.

Invariant: the printed Markdown is what docs/BENCHMARK.md holds; nobody retypes a number.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

Cell: TypeAlias = "str | int | float | tuple[float, float | None] | None"


@dataclass(frozen=True)
class Table:
    """One table of results."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """All results of one run, with the machine they were measured on."""

    command: str
    machine: dict[str, str]
    tables: tuple[Table, ...] = field(default=())

    def as_json(self) -> str:
        """Return the report as one JSON document."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    def as_markdown(self) -> str:
        """Return the report as Markdown."""
        parts = [f"`{self.command}`", "; ".join(f"{k}: {v}" for k, v in self.machine.items())]
        return "\n\n".join([*parts, *(markdown(table) for table in self.tables)])


def markdown(table: Table) -> str:
    """Return one table as Markdown."""
    lines = [f"### {table.title}", "", _line(table.columns), _line(["---"] * len(table.columns))]
    lines += [_line([text(cell) for cell in row]) for row in table.rows]
    if table.notes:
        lines += ["", *table.notes]
    return "\n".join(lines)


def text(cell: Cell) -> str:
    """Format a cell; numbers to three significant digits; wall and CPU time beside each other."""
    if cell is None:
        return "-"
    if isinstance(cell, tuple):
        return " / ".join(text(part) for part in cell)
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
