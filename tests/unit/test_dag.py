from __future__ import annotations

import pytest

from trickle_runtime import dag
from trickle_runtime.errors import DependencyCycle

ORDERS, ITEMS = -1, -2


def test_topological_order_puts_readers_last() -> None:
    reads = {3: [2, ORDERS], 2: [1], 1: [ORDERS], 4: [ITEMS]}
    order = dag.topological_order(reads)
    assert sorted(order) == [1, 2, 3, 4]
    assert order.index(1) < order.index(2) < order.index(3)


def test_a_cycle_has_no_order() -> None:
    with pytest.raises(DependencyCycle):
        dag.topological_order({1: [2], 2: [1], 3: []})


def test_groups_are_connected_through_stream_tables_only() -> None:
    reads = {1: [ORDERS], 2: [1], 3: [ORDERS], 4: [3, ITEMS], 5: [2, 1]}
    assert set(dag.refresh_groups(reads)) == {frozenset({1, 2, 5}), frozenset({3, 4})}


def test_diamond_over_a_stream_table() -> None:
    reads = {1: [ORDERS], 2: [1], 3: [1], 4: [2, 3], 5: [4]}
    assert dag.diamonds(reads) == (frozenset({1, 2, 3, 4}),)


def test_diamond_over_a_base_table() -> None:
    reads = {1: [ORDERS], 2: [ORDERS], 3: [1, 2]}
    assert dag.diamonds(reads) == (frozenset({1, 2, 3}),)


def test_diamond_with_a_direct_edge() -> None:
    assert dag.diamonds({1: [ORDERS], 2: [1, ORDERS]}) == (frozenset({1, 2}),)


def test_no_diamond() -> None:
    assert dag.diamonds({1: [ORDERS], 2: [1], 3: [2], 4: [ITEMS], 5: [3, 4]}) == ()


def test_diamonds_that_overlap_are_one() -> None:
    reads = {1: [ORDERS], 2: [ORDERS], 3: [1, 2], 4: [ITEMS, 3], 5: [ITEMS], 6: [4, 5]}
    assert dag.diamonds(reads) == (frozenset({1, 2, 3}), frozenset({4, 5, 6}))
    joined = {**reads, 7: [3, 1]}
    assert frozenset({1, 2, 3, 7}) in dag.diamonds(joined)


def test_a_node_may_not_ask_for_its_diamond() -> None:
    reads = {1: [ORDERS], 2: [ORDERS], 3: [1, 2]}
    assert dag.diamonds(reads, lambda node: node != 3) == ()


def test_a_long_chain_needs_no_recursion() -> None:
    reads = {n: [n - 1] for n in range(1, 5000)} | {0: [ORDERS]}
    assert len(dag.refresh_groups(reads)[0]) == 5000
    assert dag.topological_order(reads)[-1] == 4999
