"""One world from beginning to end: made, filled, changed, refreshed, compared."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.fuzz.checks import Failure
from tests.fuzz.databases import Databases
from tests.fuzz.play import Player, player
from tests.fuzz.steps import Case, Sql
from tests.fuzz.worlds import Plan, World

if TYPE_CHECKING:
    from trickle_runtime.refresh.result import StreamTableInfo

_SLOWEST = 120.0  # seconds of history that one world may take


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
    report.failures = [(f, _whole(playing, f)) for f in playing.failures]
    return report


def _whole(playing: Player, failure: Failure) -> Case:
    """The case up to a failure, without the stream tables that had failed before."""
    earlier = {one.name for one in playing.failures if one.step < failure.step}
    there = {*playing.created, *playing.case.created_later(), failure.name}
    streams = {n: q for n, q in playing.case.streams.items() if n in there - earlier}
    steps = playing.case.steps[: failure.step + 1]
    named = tuple(s for s in steps if isinstance(s, Sql) or s.name in streams)
    return replace(playing.case, streams=streams, steps=named)


def _live(world: World, playing: Player) -> None:
    """The history, and the conditions of SQLancer at its end, where all has been refreshed."""
    started = time.monotonic()
    for number, step in enumerate(playing.case.steps):
        if time.monotonic() - started > _SLOWEST:
            playing.counts["histories cut short"] += 1
            return
        playing.step(number, step)
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
