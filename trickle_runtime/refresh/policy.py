"""Differential or full: the choice before every refresh of a table in ``auto``.

Invariant: pure, and of bounded regret: a differential attempt whose cost is not known well gets a
budget of a fraction of the full refresh, which follows at once when the budget runs out.

The cost of a differential refresh is estimated from those in the table's own history that had a
similar number of changes. A full refresh teaches nothing about the differential one, so that a
table that went full does not swing back at the next wave of changes for another reason than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

ENOUGH = 3  # differential refreshes before the model is believed
REACH = 4.0  # how many times more or fewer changes are still similar
BUDGET = 0.75  # of a full refresh, for an attempt
LEAST_BUDGET_MS = 50.0
MARGIN_MS = 5.0  # differences below are noise
FILL_SHARE = 0.5  # of a first fill, what a full refresh is expected to take
RETRY_AFTER = 5  # full refreshes in a row, after which an attempt is made again
OVER_BUDGET = "over budget"  # start of the reason recorded when an attempt was given up


@dataclass(frozen=True)
class Past:
    """One completed refresh of the table, newest first in the lists below."""

    action: str
    rows_in: int
    duration_ms: float
    reason: str | None = None


@dataclass(frozen=True)
class Choice:
    """What to run; ``budget_ms`` is the time after which a differential attempt is given up."""

    mode: str  # differential, full
    reason: str
    budget_ms: float | None = None


def choose(pending: int, past: Sequence[Past], full: Past | None) -> Choice:
    """Return how to bring in ``pending`` changes.

    Args:
        pending: number of changes; an UPDATE is one.
        past: refreshes of the table, newest first.
        full: the last that computed the whole query.
    """
    if full is None:
        return Choice("differential", "no full refresh to compare with")
    full_ms = _full_ms(full)
    budget = max(LEAST_BUDGET_MS, BUDGET * full_ms)
    if _gave_up(pending, past):
        return Choice("full", "an earlier attempt with as many changes took too long")
    samples = [one for one in past if one.action == "DIFFERENTIAL" and one.rows_in > 0]
    if len(samples) < ENOUGH:
        return Choice("differential", "not enough history", budget)
    expected = expected_ms(pending, samples)
    if expected is None:
        return Choice("differential", "more changes than ever", budget)
    facts = f"expected {expected:.1f} ms, full {full_ms:.1f} ms"
    if expected > full_ms + MARGIN_MS and not _due_again(past):
        return Choice("full", facts)
    if expected > budget:
        return Choice("differential", facts, max(budget, min(full_ms, 1.3 * expected)))
    return Choice("differential", facts, max(LEAST_BUDGET_MS, full_ms))


def expected_ms(pending: int, samples: Sequence[Past]) -> float | None:
    """Return the expected milliseconds of a differential refresh of ``pending`` changes.

    Refreshes of a similar number of changes tell, by their slope over the cheapest refresh seen;
    where there is none, the next larger one is a bound. None: all were much smaller. Small
    refreshes say nothing about large ones: what differs between them is noise.
    """
    floor = min(one.duration_ms for one in samples)
    near = [
        floor + (one.duration_ms - floor) * pending / one.rows_in
        for one in samples
        if pending <= REACH * one.rows_in and one.rows_in <= REACH * pending
    ]
    if near:
        return median(near)
    larger = [one for one in samples if one.rows_in > pending]
    return min(larger, key=lambda one: one.rows_in).duration_ms if larger else None


def _full_ms(full: Past) -> float:
    """The cost of a full refresh; a first fill also writes every row and builds the indexes."""
    return full.duration_ms * (FILL_SHARE if full.action == "INITIALIZE" else 1.0)


def _gave_up(pending: int, past: Sequence[Past]) -> bool:
    """Whether an attempt of at most this size was given up, with no success since."""
    if _due_again(past):
        return False
    for one in past:
        if one.action == "DIFFERENTIAL" and one.rows_in >= pending:
            return False
        if one.reason and one.reason.startswith(OVER_BUDGET) and one.rows_in <= pending:
            return True
    return False


def _due_again(past: Sequence[Past]) -> bool:
    """Whether so many full refreshes followed each other that data may have changed its shape."""
    fulls = 0
    for one in past:
        if one.action != "FULL" or (one.reason or "").startswith(OVER_BUDGET):
            break
        fulls += 1
    return fulls >= RETRY_AFTER
