from __future__ import annotations

import pytest

from trickle_runtime.refresh.policy import OVER_BUDGET, RETRY_AFTER, Past, choose, expected_ms


def differential(rows: int, milliseconds: float) -> Past:
    return Past("DIFFERENTIAL", rows, milliseconds)


def full(milliseconds: float) -> Past:
    return Past("FULL", 10, milliseconds)


def linear(*rows: int) -> list[Past]:
    """A table with a floor of 2 ms and 0.1 ms per change."""
    return [differential(count, 2 + count / 10) for count in rows]


def test_without_a_full_time_there_is_no_choice():
    choice = choose(10_000, [], None)
    assert (choice.mode, choice.budget_ms) == ("differential", None)


def test_little_history_gets_a_budget():
    choice = choose(10, linear(1, 2), full(1000.0))
    assert (choice.mode, choice.budget_ms) == ("differential", 750.0)


def test_budget_has_a_floor():
    assert choose(10, [], full(1.0)).budget_ms == 50.0


def test_similar_numbers_of_changes_tell_by_their_slope():
    assert expected_ms(400, linear(1, 10, 100, 200)) == pytest.approx(42, abs=1)


def test_a_larger_refresh_is_a_bound():
    assert expected_ms(10, linear(1000, 5000)) == 102


def test_noise_of_small_refreshes_says_nothing_about_large_ones():
    """A few milliseconds per change, over 5 changes, are not seconds over 5,000."""
    past = [differential(5, 13), differential(5, 25), differential(5, 40)]
    choice = choose(5000, past, full(2000.0))
    assert (choice.mode, choice.reason) == ("differential", "more changes than ever")
    assert choose(5000, [differential(5000, 50), *past], full(2000.0)).mode == "differential"


def test_a_first_fill_overstates_a_full_refresh():
    past = linear(9_000, 10_000, 11_000)
    assert choose(10_000, past, Past("INITIALIZE", 0, 1500.0)).mode == "full"
    assert choose(10_000, past, full(1500.0)).mode == "differential"


def test_cheap_changes_are_differential():
    choice = choose(100, linear(90, 100, 110), full(1000.0))
    assert choice.mode == "differential"
    assert choice.budget_ms == 1000.0


def test_expensive_changes_are_full():
    past = linear(5_000, 8_000, 10_000)
    assert choose(20_000, past, full(1000.0)).mode == "full"
    assert choose(5_000, past, full(1000.0)).mode == "differential"


def test_more_changes_than_ever_are_an_attempt():
    choice = choose(1_000_000, linear(1, 2, 3), full(1000.0))
    assert (choice.mode, choice.budget_ms) == ("differential", 750.0)


def test_a_difference_of_a_few_milliseconds_is_noise():
    assert choose(100, linear(90, 100, 110), full(8.0)).mode == "differential"
    assert choose(100, linear(90, 100, 110), full(5.0)).mode == "full"


def test_an_attempt_that_was_given_up_is_not_repeated():
    gave_up = Past("FULL", 1000, 1400.0, f"{OVER_BUDGET} of 400 ms")
    assert choose(1000, [gave_up], full(1000.0)).mode == "full"
    assert choose(5000, [gave_up], full(1000.0)).mode == "full"
    assert choose(100, [gave_up], full(1000.0)).mode == "differential"


def test_a_later_success_counts_more():
    gave_up = Past("FULL", 1000, 1400.0, f"{OVER_BUDGET} of 400 ms")
    assert choose(1000, [differential(1200, 100.0), gave_up], full(1000.0)).mode == "differential"


def test_no_swinging():
    """D26: waves of the same size get the same answer, however often."""
    past: list[Past] = linear(5_000, 8_000, 10_000)
    for _ in range(RETRY_AFTER):
        choice = choose(20_000, past, full(1000.0))
        assert choice.mode == "full"
        past.insert(0, Past("FULL", 20_000, 1000.0, choice.reason))


def test_now_and_then_it_is_tried_again():
    past = [Past("FULL", 20_000, 1000.0)] * RETRY_AFTER + linear(5_000, 8_000, 10_000)
    choice = choose(20_000, past, full(1000.0))
    assert choice.mode == "differential"
    assert choice.budget_ms is not None


def test_regret_is_bounded():
    """An attempt with an unknown cost never takes more than 40 % of a full refresh."""
    for full_ms in (200.0, 1000.0, 60_000.0):
        for past in ([], linear(1, 2), linear(1, 2, 3)):
            budget = choose(10**7, past, full(full_ms)).budget_ms
            assert budget is not None
            assert budget <= 0.75 * full_ms
