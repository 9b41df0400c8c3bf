"""One world from beginning to end: made, filled, changed, refreshed, compared."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.fuzz.checks import Failure
from tests.fuzz.databases import Databases
from tests.fuzz.play import Player, player
from tests.fuzz.steps import Case, Refresh, Step
from tests.fuzz.worlds import Plan, World

if TYPE_CHECKING:
    from trickle_runtime.refresh.result import StreamTableInfo

_SLOWEST = 30.0  # seconds of history that one world may take


@dataclass
class Report:
    """What came of some worlds; failures come with the case that shows them."""

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[Failure, Case]] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Take in another report."""
        self.counts.update(other.counts)
        self.reasons.update(other.reasons)
        self.failures += other.failures


def run_world(databases: Databases, plan: Plan, number: int) -> Report:
    """Run one world."""
    report = Report()
    world = World(plan, number)
    with databases.database() as dsn, player(dsn, world.case()) as playing:
        playing.on_created = lambda _, info: _note(report, info)
        if plan.only_differential:
            playing.options["refresh_mode"] = "differential"
        playing.set_up()
        world.add_views(playing.writer)
        playing.case = world.case()
        world.add_streams(lambda name: playing.create(name, -1), playing.writer)
        playing.case = replace(world.case(), steps=world.history())
        _live(world, playing)
    report.counts.update(world.counts)
    report.counts.update(playing.counts)
    report.counts["worlds"] += 1
    report.failures = [(f, cut(playing.case, f)) for f in playing.failures]
    return report


def cut(case: Case, failure: Failure) -> Case:
    """The part of a case that leads to a failure."""
    wanted = _needed(case, failure.name)
    steps: list[Step] = []
    for step in case.steps[: failure.step + 1]:
        named = step.name if isinstance(step, Refresh) or hasattr(step, "name") else None
        if named is None or named in wanted:
            steps.append(step)
    streams = {name: case.streams[name] for name in case.streams if name in wanted}
    return replace(case, streams=streams, steps=tuple(steps))


def _needed(case: Case, name: str) -> set[str]:
    """A stream table and those below it."""
    below = {one for one in case.streams if f"{one} AS " in case.streams[name]}
    return {name}.union(*(_needed(case, one) for one in below))


def _live(world: World, playing: Player) -> None:
    """The history, and the conditions of SQLancer at its end."""
    started = time.monotonic()
    for number, step in enumerate(playing.case.steps):
        if time.monotonic() - started > _SLOWEST:
            playing.counts["histories cut short"] += 1
            break
        playing.step(number, step)
    playing.finish()
    for name in world.queries:
        playing.check(name, world.test(name))
    for whole, parts in world.parts.items():
        playing.check_parts(whole, parts)


def _note(report: Report, info: StreamTableInfo) -> None:
    """Count a query by how it is maintained."""
    codes = {one.code for one in info.reasons if one.severity == "WARNING"}
    differential = info.effective_mode == "differential"
    report.counts["queries"] += 1
    report.counts["queries differential in every node"] += differential and not codes
    report.counts["queries differential in part"] += differential and bool(codes)
    report.reasons.update(codes)
