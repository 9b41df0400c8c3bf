"""Processes that run worlds, each with a server of its own.

Invariant: which worlds exist depends on the seed only; the processes share out their numbers.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from typing import Any

from tests.fuzz import case_files
from tests.fuzz.checks import Failure
from tests.fuzz.databases import Databases, served
from tests.fuzz.shrink import Shrinker
from tests.fuzz.steps import Case
from tests.fuzz.world_run import Report, run_world
from tests.fuzz.worlds import Plan


@dataclass(frozen=True)
class Order:
    """What to run.

    Attributes:
        first: number of the first world.
        worlds: how many; None is no limit.
        seconds: after which no world is begun.
        shrink_seconds: for each failure; 0 stores it as it is.
        alike: failures of one signature that are shrunk; the others are only counted.
        folder: for case files.
    """

    plan: Plan
    first: int
    worlds: int | None
    seconds: float
    shrink_seconds: float
    alike: int
    folder: Path
    pg_bin: str | None


def run(order: Order, workers: int) -> Iterator[Report]:
    """Run worlds until the time or the worlds are over; gives a report after each."""
    context = multiprocessing.get_context("spawn")
    reports: Queue[Report | None] = context.Queue()
    shared = _Shared(context)
    processes = [
        context.Process(target=_work, args=(order, shared, reports)) for _ in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        yield from _collected(reports, processes)
    finally:
        for process in processes:
            process.join(timeout=60)
            if process.is_alive():
                process.terminate()


class _Shared:
    """What the processes share: the next world, and how often a signature was seen."""

    def __init__(self, context: Any) -> None:
        self.next = context.Value("q", 0)
        self.seen = context.Manager().dict()
        self.lock = context.Lock()

    def number(self) -> int:
        with self.next.get_lock():
            self.next.value += 1
            return self.next.value - 1

    def count(self, signature: str) -> int:
        with self.lock:
            self.seen[signature] = self.seen.get(signature, 0) + 1
            return self.seen[signature]


def _collected(reports: Queue[Report | None], processes: list[Any]) -> Iterator[Report]:
    left = len(processes)
    while left:
        try:
            report = reports.get(timeout=5)
        except Empty:
            if not any(process.is_alive() for process in processes):
                yield Report(Counter({"processes that died": left}))
                return
            continue
        if report is None:
            left -= 1
        else:
            yield report


def _work(order: Order, shared: _Shared, reports: Queue[Report | None]) -> None:
    end = time.monotonic() + order.seconds
    try:
        with served(order.pg_bin) as databases:
            while time.monotonic() < end:
                number = shared.number()
                if order.worlds is not None and number >= order.worlds:
                    break
                reports.put(_world(databases, order, shared, order.first + number))
    finally:
        reports.put(None)


def _world(databases: Databases, order: Order, shared: _Shared, number: int) -> Report:
    started = time.monotonic()
    try:
        report = run_world(databases, order.plan, number)
    except Exception:  # a fault of the fuzzer is reported as such, and the run goes on
        text = traceback.format_exc()
        failure = Failure("fuzzer", f"world {number}", -1, text)
        return Report(Counter({"worlds": 1}), failures=[(failure, Case((), {}, ()))])
    report.counts["milliseconds in worlds"] += int((time.monotonic() - started) * 1000)
    for failure, case in report.failures:
        if shared.count(failure.signature) <= order.alike:
            _store(databases, order, failure, case, shared)
    return report


def _store(
    databases: Databases, order: Order, failure: Failure, case: Case, shared: _Shared
) -> None:
    """Shrink a failure and write its case file."""
    found = None
    if order.shrink_seconds:
        found = Shrinker(databases, failure, order.shrink_seconds).shrink(case)
    shrunk, failure = found or (case, failure)
    once = order.shrink_seconds and not found
    kind = f"{failure.kind}-once" if once else failure.kind
    facts = {"fails": f"{failure.kind}: {failure.message[:1500]}", **shrunk.facts}
    with shared.lock:
        path = case_files.next_path(order.folder, kind.replace("-", "_"))
        case_files.save(path, replace(shrunk, facts=facts))
