"""Every measurement runs, on little data, and verifies what it measured."""

from __future__ import annotations

from statistics import geometric_mean

import pytest

from trickle_runtime.bench import capture, many, tpch, views

pytestmark = pytest.mark.once


def silent(what):
    del what


def test_views(rt, session):
    (table,) = views.run(rt, session, customers=200, repeat=1, say=silent)
    assert len(table.rows) == 4 * len(views.VIEWS)


def test_capture(rt, session, database):
    sizes = capture.Sizes(rows=3000, bulk=1000, loop=50, single=20, per_writer=5)
    times, wal = capture.run(rt, session, database, rounds=1, say=silent, sizes=sizes)
    assert len(times.rows) == len(wal.rows) == 8


def test_idle_pass_is_one_round_trip(rt, session):
    (table,) = many.idle(rt, session, tables=10, say=silent)
    assert table.rows[0][:2] == (10, 1.0)


@pytest.mark.parametrize("measure", ["run", "sweep"])
def test_tpch(rt, session, measure):
    tpch.set_up(session, 0.01, silent)
    if measure == "run":
        (table,) = tpch.run(rt, session, change=0.001, repeat=1, say=silent)
        *queries, means = table.rows
        concerned = [row[8][0] for row in queries if row[9] != "NO_DATA"]
        assert len(concerned) == 19
        assert means[8][0] == pytest.approx(geometric_mean(concerned))
    else:
        (table,) = tpch.sweep(rt, session, repeat=1, say=silent)
        assert [row[0] for row in table.rows][-1] == "all lines"
