"""Case files: a case as YAML, and back.

Steps are statements, or one of ``other: statement`` (a second session), ``create: name``,
``refresh: name``, ``full: name``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.fuzz.steps import Case, Create, Refresh, Sql, Step


class _Dumper(yaml.SafeDumper):
    """Long texts on lines of their own, never folded."""

    def represent_text(self, data: str) -> yaml.ScalarNode:
        style = "|" if "\n" in data else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)


def save(path: Path, case: Case) -> None:
    """Write a case."""
    content = {
        **case.facts,
        "setup": list(case.setup),
        "streams": dict(case.streams),
        "steps": [_written(step) for step in case.steps],
    }
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    path.write_text(text, encoding="utf-8")


def load(path: Path) -> Case:
    """Read a case."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    setup, streams = content.pop("setup"), content.pop("streams")
    steps = tuple(_read(step) for step in content.pop("steps"))
    return Case(tuple(setup), streams, steps, content)


def next_path(folder: Path, name: str) -> Path:
    """The file for one more case."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = [int(file.name[:4]) for file in folder.glob("[0-9][0-9][0-9][0-9]_*.yml")]
    return folder / f"{max(numbers, default=0) + 1:04d}_{name}.yml"


def _written(step: Step) -> Any:
    if isinstance(step, Sql):
        return {"other": step.sql} if step.other else step.sql
    if isinstance(step, Create):
        return {"create": step.name}
    return {step.mode or "refresh": step.name}


def _read(step: Any) -> Step:
    if isinstance(step, str):
        return Sql(step)
    ((kind, value),) = step.items()
    if kind == "other":
        return Sql(value, other=True)
    if kind == "create":
        return Create(value)
    return Refresh(value, None if kind == "refresh" else kind)
