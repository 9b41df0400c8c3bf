"""The ways to replay a case (the head of the scenarios): where its refreshes lie.

``found``: as it was found; ``end``: one refresh after all changes; ``each``: after every committed
statement; ``open``: as ``end``, with an unrelated transaction open throughout.
"""

from __future__ import annotations

from dataclasses import replace

from tests.fuzz.steps import Case, Create, Refresh, Sql, Step

WAYS = ("found", "end", "each", "open")


def arranged(case: Case, way: str) -> Case:
    """The case with its refreshes at other places."""
    if way == "found":
        return case
    kept = [step for step in case.steps if not isinstance(step, Refresh)]
    everything = [Refresh(name) for name in case.streams]
    if way != "each":
        return replace(case, steps=(*kept, *everything))
    steps: list[Step] = []
    is_open = False
    for step in kept:
        steps.append(step)
        if isinstance(step, Sql) and not step.other:
            is_open = (is_open or step.sql == "BEGIN") and step.sql not in {"COMMIT", "ROLLBACK"}
        if not is_open and not isinstance(step, Create):
            steps += everything
    return replace(case, steps=(*steps, *everything))
