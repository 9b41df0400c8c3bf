from __future__ import annotations

import math

import pytest

from trickle_runtime.bench import timing
from trickle_runtime.bench.timing import Taken


def test_medians_of_both_times():
    assert timing.median([Taken(3.0, 1.0), Taken(1.0, 2.0), Taken(2.0, 9.0)]) == Taken(2.0, 2.0)


def test_ratio_of_both_times():
    assert Taken(6.0, 2.0) / Taken(3.0, 4.0) == Taken(2.0, 0.5)


def test_unknown_cpu_time_is_no_number_in_a_table():
    assert Taken(1.5).cell == (1.5, None)
    assert (Taken(3.0) / Taken(2.0)).cell == (1.5, None)


def test_geometric_mean():
    mean = timing.geometric_mean([Taken(1.0, 4.0), Taken(100.0, 9.0)])
    assert mean.wall == pytest.approx(10.0)
    assert mean.cpu == pytest.approx(6.0)
    assert math.isnan(timing.geometric_mean([Taken(1.0), Taken(2.0)]).cpu)


def test_milliseconds_calls_once():
    calls = []
    assert timing.milliseconds(lambda: calls.append(1)) >= 0
    assert calls == [1]
