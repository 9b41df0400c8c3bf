"""What ``make conformance`` says at the end: tests by suite, and what is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from _pytest.terminal import TerminalReporter

from tests.functional.conformance.suite import suites

OUTCOMES = ("passed", "failed", "error", "skipped")
FILES = {
    "test_basic": "basic",
    "test_hooks": "hooks",
    "test_materialized_view": "materialized_view, also as stream_table",
    "test_as_stream_table": "others as stream_table",
    "test_adapted": "adapted",
}
OURS = "our own"


def print_counts(reporter: TerminalReporter) -> None:
    """Print a line for each suite, and the classes that are left out with their reasons."""
    counted = {
        outcome: Counter(_suite(one.nodeid) for one in reporter.stats.get(outcome, ()))
        for outcome in OUTCOMES
    }
    names = sorted({name for counter in counted.values() for name in counter})
    reporter.section("conformance")
    for line in _lines(names, counted):
        reporter.write_line(line)
    reporter.write_line("")
    left_out = [(one.left_out, one.key) for one in suites() if one.left_out]
    reporter.write_line(
        f"dbt-tests-adapter: {len(suites())} classes, {len(left_out)} of them left out:"
    )
    for reason, number in sorted(Counter(reason for reason, _ in left_out).items()):
        reporter.write_line(f"  {number:>3}  {reason}")


def _lines(names: Iterable[str], counted: dict[str, Counter[str]]) -> Iterable[str]:
    yield f"{'suite':<45}" + "".join(f"{outcome:>9}" for outcome in OUTCOMES)
    for name in (*names, "all"):
        numbers = [
            counter.total() if name == "all" else counter[name] for counter in counted.values()
        ]
        yield f"{name:<45}" + "".join(f"{number:>9}" for number in numbers)


def _suite(nodeid: str) -> str:
    path, _, rest = nodeid.partition("::")
    file = path.rpartition("/")[2].removesuffix(".py")
    if file == "test_whole_suite":
        module = rest.partition("::")[0].rpartition("__")[2]
        return next(one.package for one in suites() if one.module.replace(".", "_") == module)
    return FILES.get(file, OURS)
