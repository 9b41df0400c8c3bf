"""Smaller tables and histories from a case: fewer statements, rows, columns, sessions.

Invariant: proposals only; a case that no longer makes sense to PostgreSQL does not fail as wanted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from dataclasses import replace

from tests.fuzz.steps import Case, Create, Refresh, Sql, Step

_INSERT = re.compile(r"(INSERT INTO (.+?) \((.+?)\) VALUES )(.*)", re.DOTALL)
_CREATE = re.compile(r"CREATE TABLE (\S+|\"[^\"]+\") \((.*)\)( PARTITION BY .*)?", re.DOTALL)


def fewer_steps(case: Case, size: int) -> Iterator[Case]:
    """Without ``size`` steps in a row; the last one shows the failure and stays."""
    for start in range(0, len(case.steps) - 1, size):
        end = min(start + size, len(case.steps) - 1)
        yield replace(case, steps=case.steps[:start] + case.steps[end:])


def fewer_statements(case: Case, size: int) -> Iterator[Case]:
    """Without ``size`` statements of the setup in a row, the last ones first."""
    for start in reversed(range(0, len(case.setup), size)):
        yield replace(case, setup=case.setup[:start] + case.setup[start + size :])


def simpler_steps(case: Case) -> Iterator[Case]:
    """One session instead of two, plain refreshes, stream tables there from the beginning."""
    for number, step in enumerate(case.steps):
        if isinstance(step, Sql) and step.other:
            yield _with_step(case, number, Sql(step.sql))
        if isinstance(step, Create):
            yield _with_step(case, number, None)
        if isinstance(step, Refresh) and step.mode:
            yield _with_step(case, number, Refresh(step.name))


def alone(case: Case, name: str) -> Case:
    """Only one stream table and those below it."""
    return _only(case, _needed(case, name))


def fewer_streams(case: Case) -> Iterator[Case]:
    """Without one stream table."""
    for name in case.streams:
        if len(case.streams) > 1:
            yield _only(case, case.streams.keys() - {name})


def plain_sources(case: Case) -> Iterator[Case]:
    """A view instead of a stream table below."""
    for name, query in list(case.streams.items())[:-1]:
        streams = {n: q for n, q in case.streams.items() if n != name}
        steps = tuple(s for s in case.steps if getattr(s, "name", None) != name)
        view = f"CREATE VIEW {name} AS {query}"
        yield replace(case, setup=(*case.setup, view), streams=streams, steps=steps)


def fewer_rows(case: Case) -> Iterator[Case]:
    """Without one row of one INSERT."""
    for number, statement in enumerate(case.setup):
        for text in _fewer(statement):
            yield _with_setup(case, number, text)
    for number, step in enumerate(case.steps):
        if isinstance(step, Sql):
            for text in _fewer(step.sql):
                yield _with_step(case, number, replace(step, sql=text))


def fewer_columns(case: Case) -> Iterator[Case]:
    """Without one column of one table; what else names it makes the proposal fail."""
    for statement in case.setup:
        match = _CREATE.fullmatch(statement)
        if match is None:
            continue
        for line in split(match[2]):
            if line.startswith(("PRIMARY KEY", "FOREIGN KEY")):
                yield _without_line(case, match[1], line)
            else:
                name = split(line, " ")[0]
                yield _without_column(case, match[1], line, name)


def split(text: str, separator: str = ",") -> list[str]:
    """Cut at separators outside of quotes and parentheses."""
    parts: list[str] = [""]
    depth, quote = 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        if character == separator and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _only(case: Case, wanted: Set[str]) -> Case:
    """Some stream tables; a refresh of another one is still one of what it reads."""
    steps: list[Step] = []
    for step in case.steps:
        if isinstance(step, Sql) or step.name in wanted:
            steps.append(step)
        elif isinstance(step, Refresh):
            below = _needed(case, step.name) & wanted
            steps += [Refresh(name) for name in case.streams if name in below]
    streams = {n: q for n, q in case.streams.items() if n in wanted}
    return replace(case, streams=streams, steps=tuple(steps))


def _needed(case: Case, name: str) -> set[str]:
    below = {one for one in case.streams if f"{one} AS " in case.streams[name]}
    return {name}.union(*(_needed(case, one) for one in below))


def _fewer(statement: str) -> Iterator[str]:
    match = _INSERT.fullmatch(statement)
    if match is None:
        return
    rows, rest = _rows(match[4])
    if len(rows) > 1:
        for number in range(len(rows)):
            yield match[1] + ", ".join(r for i, r in enumerate(rows) if i != number) + rest


def _rows(text: str) -> tuple[list[str], str]:
    """The rows of VALUES, and what follows them."""
    parts = split(text)
    last = parts[-1]
    end = _closing(last)
    return [*parts[:-1], last[: end + 1]], last[end + 1 :]


def _closing(text: str) -> int:
    """Where the parenthesis that opens a text closes."""
    depth, quote = 0, ""
    for position, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0 and not quote:
            return position
    return len(text) - 1


def _without_line(case: Case, table: str, line: str) -> Case:
    return replace(case, setup=tuple(_cut_line(s, table, line) for s in case.setup))


def _without_column(case: Case, table: str, line: str, name: str) -> Case:
    bare = table.strip('"').replace(" ", "_").lower()
    names = {table, f"{bare}_low", f"{bare}_rest"}
    setup = tuple(_cut_value(_cut_line(s, table, line), names, name) for s in case.setup)
    steps = tuple(
        replace(step, sql=_cut_value(step.sql, names, name)) if isinstance(step, Sql) else step
        for step in case.steps
    )
    return replace(case, setup=setup, steps=steps)


def _cut_line(statement: str, table: str, line: str) -> str:
    match = _CREATE.fullmatch(statement)
    if match is None or match[1] != table:
        return statement
    lines = [one for one in split(match[2]) if one != line]
    return f"CREATE TABLE {table} ({', '.join(lines)}){match[3] or ''}"


def _cut_value(statement: str, tables: set[str], name: str) -> str:
    """An INSERT without the value of one column."""
    match = _INSERT.fullmatch(statement)
    if match is None or match[2] not in tables:
        return statement
    names = split(match[3])
    if name not in names:
        return statement
    position = names.index(name)
    rows, rest = _rows(match[4])
    kept = [
        f"({', '.join(v for i, v in enumerate(split(row[1:-1])) if i != position)})"
        for row in rows
    ]
    columns = ", ".join(n for n in names if n != name)
    return f"INSERT INTO {match[2]} ({columns}) VALUES {', '.join(kept)}{rest}"


def _with_step(case: Case, number: int, step: Step | None) -> Case:
    steps = case.steps[:number] + (() if step is None else (step,)) + case.steps[number + 1 :]
    return replace(case, steps=steps)


def _with_setup(case: Case, number: int, statement: str) -> Case:
    return replace(case, setup=(*case.setup[:number], statement, *case.setup[number + 1 :]))
