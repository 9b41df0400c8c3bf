from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trickle_runtime.refresh.units import arrange


def always(_: int) -> bool:
    return True


def never(_: int) -> bool:
    return False


DIAMOND = {1: (-100,), 2: (1,), 3: (1,), 4: (2, 3)}


def test_chain():
    assert arrange({3: (2,), 2: (1,), 1: (-100,)}, always) == ((1,), (2,), (3,))


def test_diamond_is_one_unit():
    assert arrange(DIAMOND, always) == ((1, 2, 3, 4),)


def test_what_a_gate_reads_is_one_unit_with_it():
    reads = {1: (-100,), 2: (-200,), 3: (2,), 4: (-300,)}
    assert arrange(reads, always, [frozenset({1, 3})]) == ((2,), (4,), (1, 3))


def test_what_lies_between_joins_the_unit_of_a_gate():
    assert arrange({1: (-100,), 2: (1,), 3: (2,)}, never, [frozenset({1, 3})]) == ((1, 2, 3),)


def test_diamond_without_atomicity():
    assert arrange(DIAMOND, never) == ((1,), (2,), (3,), (4,))


def test_diamond_over_a_base_table():
    assert arrange({1: (-100,), 2: (-100,), 3: (1, 2), 4: (3,)}, always) == ((1, 2, 3), (4,))


def test_diamonds_that_read_each_other_are_one_unit():
    """Each is convex, but one member of each reads a member of the other."""
    reads = {2: (-100,), 6: (-106,), 9: (-100, 6), 10: (2, 6), 11: (2, 9), 12: (6, 10)}
    units = arrange(reads, lambda node: node in {11, 12})
    assert sorted(units[0]) == [2, 6, 9, 10, 11, 12]


def test_neighbours_stay_apart():
    units = arrange({**DIAMOND, 5: (1,), 6: (4,), 7: (-200,)}, always)
    assert (1, 2, 3, 4) in units
    assert {(5,), (6,), (7,)} <= set(units)
    assert units.index((6,)) > units.index((1, 2, 3, 4))


@given(
    st.lists(
        st.lists(st.integers(min_value=0, max_value=12), max_size=3), min_size=1, max_size=12
    ),
    st.sets(st.integers(min_value=1, max_value=12)),
)
def test_any_graph(links, atomic):
    """Members come once, after all that they read in other units."""
    reads = {
        node: tuple({one if 0 < one < node else -100 - one for one in below})
        for node, below in enumerate(links, 1)
    }
    units = arrange(reads, lambda node: node in atomic)
    order = [node for unit in units for node in unit]
    assert sorted(order) == sorted(reads)
    assert all(
        order.index(one) < order.index(node) for node in reads for one in reads[node] if one > 0
    )
