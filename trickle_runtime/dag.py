"""The graph of stream tables and the relations they read.

Invariant: pure. A node is an integer; an edge leads from a reader to what it reads. A relation
that is no stream table is a node without an entry in ``reads``. It stands below the layers because
the pass and the daemon order stream tables by the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Set
from typing import TypeVar

from trickle_runtime.errors import DependencyCycle

Node = TypeVar("Node", bound=Hashable)


def topological_order(reads: Mapping[Node, Iterable[Node]]) -> tuple[Node, ...]:
    """Return the nodes of ``reads`` so that each one follows all that it reads.

    Raises:
        DependencyCycle: when that is impossible.
    """
    order: dict[Node, None] = {}
    waiting = {node: {below for below in reads[node] if below in reads} for node in reads}
    while waiting:
        ready = [node for node, below in waiting.items() if below <= order.keys()]
        if not ready:
            raise DependencyCycle(f"these stream tables depend on each other: {list(waiting)}")
        for node in ready:
            order[node] = None
            del waiting[node]
    return tuple(order)


def readers(reads: Mapping[Node, Iterable[Node]]) -> dict[Node, set[Node]]:
    """Return the reversed edges: for every node that is read, its direct readers."""
    above: dict[Node, set[Node]] = {}
    for node, below in reads.items():
        for one in below:
            above.setdefault(one, set()).add(node)
    return above


def reachable(
    edges: Mapping[Node, Iterable[Node]], start: Node, within: Set[Node] | None = None
) -> frozenset[Node]:
    """Return ``start`` and everything that can be reached from it; cycles do no harm.

    Only nodes of ``within`` are visited, if that is given.
    """
    seen = {start}
    todo = [start]
    while todo:
        new = {node for node in edges.get(todo.pop(), ()) if node not in seen}
        if within is not None:
            new &= within
        seen.update(new)
        todo.extend(new)
    return frozenset(seen)


def refresh_groups(reads: Mapping[Node, Iterable[Node]]) -> tuple[frozenset[Node], ...]:
    """Return the connected components over the edges between the nodes of ``reads``.

    Members of one group are refreshed at one snapshot; groups are independent of each other.
    """
    pairs = [(node, one) for node in reads for one in reads[node] if one in reads]
    return _united(reads, pairs)


def diamonds(
    reads: Mapping[Node, Iterable[Node]], wanted: Callable[[Node], bool] = lambda _: True
) -> tuple[frozenset[Node], ...]:
    """Return the sets of nodes that must show one version of something they share.

    A node closes a diamond if it reaches some relation (a base table counts) through two or more
    of the relations it reads. The diamond holds the node and every node between the two ends.
    Diamonds that overlap are one. ``wanted`` tells for a closing node whether it asks for that.
    """
    above = readers(reads)
    pairs: list[tuple[Node, Node]] = []
    for node in reads:
        if wanted(node):
            pairs += [(node, inner) for inner in _between(reads, above, node)]
    return tuple(group for group in _united(reads, pairs) if len(group) > 1)


def _between(
    reads: Mapping[Node, Iterable[Node]], above: Mapping[Node, Iterable[Node]], node: Node
) -> set[Node]:
    branches = [reachable(reads, below) for below in set(reads[node])]
    below = frozenset[Node]().union(*branches)
    shared = [one for one in below if sum(one in branch for branch in branches) > 1]
    inner: set[Node] = set()
    for one in shared:
        inner |= reachable(above, one, below) & reads.keys()
    return inner


def _united(
    nodes: Iterable[Node], pairs: Iterable[tuple[Node, Node]]
) -> tuple[frozenset[Node], ...]:
    edges: dict[Node, set[Node]] = {node: set() for node in nodes}
    for one, other in pairs:
        edges[one].add(other)
        edges[other].add(one)
    groups: list[frozenset[Node]] = []
    seen: set[Node] = set()
    for node in edges:
        if node not in seen:
            groups.append(reachable(edges, node))
            seen |= groups[-1]
    return tuple(groups)
