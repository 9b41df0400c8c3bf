"""``make fuzz``: runs worlds for some minutes, prints progress, and counts at the end.

Exit code 1 on any mismatch, after the failures were shrunk and stored as case files.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tests.fuzz import weights, workers
from tests.fuzz.world_run import Report
from tests.fuzz.worlds import Plan

KNOWN = Path(__file__).parent / "known"
_PROGRESS = 15.0  # seconds
_HIDDEN = "milliseconds in worlds"


@click.command()
@click.option("--minutes", type=float, default=10.0, help="Begin no world after this time.")
@click.option("--seed", default="1", help="The same seed gives the same queries and histories.")
@click.option("--workers", "processes", type=int, default=2, help="Processes.")
@click.option("--worlds", type=int, help="Run this many worlds at most.")
@click.option("--first", type=int, default=0, help="Number of the first world.")
@click.option("--streams", type=int, default=8, help="Stream tables in a world.")
@click.option("--cycles", type=int, default=12, help="Cycles of changes and refreshes.")
@click.option("--only-differential", is_flag=True, help="Draw from what compiles.")
@click.option(
    "--profile", type=click.Choice(sorted(weights.PROFILES)), help="Weights to begin with."
)
@click.option("--weight", multiple=True, help="A factor, such as from.lateral=3.")
@click.option("--shrink-seconds", type=float, default=120.0, help="Per failure; 0: do not shrink.")
@click.option("--alike", type=int, default=3, help="Failures of one signature that are shrunk.")
@click.option("--folder", type=click.Path(path_type=Path), default=KNOWN, help="For case files.")
@click.option("--pg-bin", help="PostgreSQL's bin directory.")
def main(
    minutes: float,
    seed: str,
    processes: int,
    worlds: int | None,
    first: int,
    streams: int,
    cycles: int,
    only_differential: bool,
    profile: str | None,
    weight: tuple[str, ...],
    shrink_seconds: float,
    alike: int,
    folder: Path,
    pg_bin: str | None,
) -> None:
    """Compare random queries, maintained through random histories, with PostgreSQL."""
    chosen = profile or ("differential" if only_differential else "all")
    factors = {**weights.PROFILES[chosen], **weights.parse(weight)}
    order = workers.Order(
        Plan(seed, streams, cycles, factors, only_differential),
        first,
        worlds,
        minutes * 60,
        shrink_seconds,
        alike,
        folder,
        pg_bin,
    )
    console = Console(soft_wrap=True)
    total = _run(console, order, processes)
    _summary(console, total)
    sys.exit(1 if total.failures or total.counts["processes that died"] else 0)


def _run(console: Console, order: workers.Order, processes: int) -> Report:
    """Add up the reports, with a line now and then."""
    total = Report()
    started = said = time.monotonic()
    for report in workers.run(order, processes):
        total.add(report)
        for failure, case in report.failures:
            console.print(f"[red]{failure.kind}[/] world {case.facts.get('world')}", failure.name)
            console.print(failure.message[:2000], markup=False)
            console.print(case.streams.get(failure.name, ""), markup=False)
        now = time.monotonic()
        if now - said > _PROGRESS:
            said = now
            console.print(_line(total, now - started), markup=False)
    total.counts["seconds"] = round(time.monotonic() - started)
    return total


def _line(total: Report, seconds: float) -> str:
    counts = total.counts
    queries, compared = counts["queries"], counts["refresh comparisons"]
    return (
        f"{seconds:6.0f} s  {counts['worlds']} worlds  {queries} queries"
        f" ({queries / seconds:.1f}/s)  {compared} comparisons ({compared / seconds:.1f}/s)"
        f"  {len(total.failures)} failures"
    )


def _summary(console: Console, total: Report) -> None:
    counts = total.counts
    table = Table("what", "number")
    for name in sorted(counts, key=lambda one: (one.startswith("rejected"), one)):
        if name != _HIDDEN:
            table.add_row(name, str(counts[name]))
    console.print(table)
    queries = max(1, counts["queries"])
    reasons = Table("reason code", "queries", "%")
    for code, number in total.reasons.most_common():
        reasons.add_row(code, str(number), f"{100 * number / queries:.1f}")
    console.print(reasons)
    share = 100 * counts["queries differential in every node"] / queries
    console.print(f"differential in every node: {share:.1f} %")
    console.print(_line(total, max(1, counts["seconds"])), markup=False)
    if total.failures:
        kinds = Table("failure", "number")
        for signature in sorted({f.signature for f, _ in total.failures}):
            kinds.add_row(signature, str(sum(f.signature == signature for f, _ in total.failures)))
        console.print(kinds)


if __name__ == "__main__":
    main()
