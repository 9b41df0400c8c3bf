from __future__ import annotations

from dataclasses import replace

import pytest

from trickle_runtime.refresh.fuse import (
    BLOWN,
    BLOWS,
    CLEAR,
    SKIPS,
    FuseInput,
    blown_error,
    decide,
)

ON = FuseInput("on", "armed", 0, ceiling=100)
AUTO = FuseInput("auto", "armed", 0, threshold=255.0, mean=120.0, stddev=45.0)


@pytest.mark.parametrize(
    ("fuse", "pending", "verdict"),
    [
        (FuseInput("off", "disabled", 0, ceiling=1, threshold=1.0), 1_000_000, CLEAR),
        (ON, 100, CLEAR),
        (ON, 101, BLOWS),
        (replace(ON, threshold=10.0), 50, CLEAR),  # the threshold is for auto only
        (replace(ON, ceiling=None), 1_000_000, CLEAR),
        (replace(ON, ceiling=0), 1, BLOWS),
        (AUTO, 255, CLEAR),
        (AUTO, 256, BLOWS),
        (replace(AUTO, threshold=None), 1_000_000, CLEAR),  # fewer than 5 samples
        (replace(AUTO, threshold=None, ceiling=100), 101, BLOWS),
        (replace(AUTO, ceiling=200), 201, BLOWS),  # the ceiling wins over the threshold
        (replace(AUTO, ceiling=10_000), 256, BLOWS),
    ],
)
def test_verdicts(fuse: FuseInput, pending: int, verdict: str) -> None:
    assert decide(replace(fuse, pending=pending)).verdict == verdict


def test_the_reason_has_the_numbers() -> None:
    assert decide(replace(ON, pending=250)).reason == (
        "250 pending changes exceed the ceiling of 100"
    )
    assert decide(replace(AUTO, pending=256)).reason == (
        "256 pending changes exceed the adaptive threshold of 255.0"
        " (mean 120.0, standard deviation 45.0)"
    )


def test_a_blown_fuse_stays_blown_with_its_reason() -> None:
    decision = decide(replace(ON, state="blown", blow_reason="because", pending=0))
    assert (decision.verdict, decision.reason, decision.stops) == (BLOWN, "because", True)


def test_an_exemption_lets_everything_through() -> None:
    assert not decide(replace(ON, pending=10**9, exempt=True)).stops
    assert not decide(replace(ON, pending=10**9, exempt=True, truncated=True)).stops


def test_a_truncate_counts_as_every_stored_row() -> None:
    truncated = replace(ON, truncated=True, stored_rows=101)
    assert decide(truncated).verdict == BLOWS
    assert "TRUNCATE" in str(decide(truncated).reason)
    assert decide(replace(truncated, stored_rows=10)).verdict == CLEAR


def test_held_changes_are_skipped_once_they_arrive() -> None:
    waiting = replace(ON, skip_next=True)
    assert decide(waiting).verdict == CLEAR
    assert decide(replace(waiting, pending=5)).verdict == SKIPS
    assert not decide(replace(waiting, pending=500)).stops


def test_the_error_of_a_manual_refresh_says_how_to_reset() -> None:
    error = blown_error("marts.revenue", "too much")
    assert error.detail == "too much"
    assert "trickle-runtime fuse reset marts.revenue --action apply" in str(error.hint)
