from __future__ import annotations

import math

import pytest

from trickle_runtime.bench import timing


def test_median_of_nothing_is_not_a_number():
    assert math.isnan(timing.median([]))


def test_median_takes_a_generator():
    assert timing.median(number for number in (3.0, 1.0, 2.0)) == 2.0


def test_geometric_mean():
    assert timing.geometric_mean([1.0, 100.0]) == pytest.approx(10.0)


def test_milliseconds_calls_once():
    calls = []
    assert timing.milliseconds(lambda: calls.append(1)) >= 0
    assert calls == [1]
