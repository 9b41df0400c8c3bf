"""In which order the members of a pass run, and which of them succeed or fail together.

Invariant: pure. Every unit follows all units that it reads; a member is in exactly one unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from trickle_runtime import dag

Unit = tuple[int, ...]


def arrange(
    reads: Mapping[int, Iterable[int]],
    atomic: Callable[[int], bool],
    together: Iterable[frozenset[int]] = (),
) -> tuple[Unit, ...]:
    """Return the units of a pass in the order in which they run.

    A unit is a diamond (for a closing member for which ``atomic`` holds), one of the groups
    ``together``, all of these that overlap, or a single member.
    """
    order = dag.topological_order(reads)
    groups = _convex(reads, (*dag.diamonds(reads, atomic), *together))
    while circles := _circles(quotient := _quotient(reads, groups)):
        groups = _convex(reads, (*groups, *circles))
    return tuple(
        tuple(node for node in order if node in unit) for unit in dag.topological_order(quotient)
    )


def _quotient(
    reads: Mapping[int, Iterable[int]], groups: Iterable[frozenset[int]]
) -> dict[frozenset[int], set[frozenset[int]]]:
    """The units, each group and each single member, with those that they read."""
    unit_of = {node: frozenset([node]) for node in reads}
    for group in groups:
        unit_of.update(dict.fromkeys(group, group))
    return {
        unit: {unit_of[one] for node in unit for one in reads[node] if one in reads} - {unit}
        for unit in unit_of.values()
    }


def _circles(
    quotient: Mapping[frozenset[int], Iterable[frozenset[int]]],
) -> tuple[frozenset[int], ...]:
    """Units that read each other, by different members: neither can run first."""
    above = dag.readers(quotient)
    found: list[frozenset[int]] = []
    for unit in quotient:
        both = dag.reachable(quotient, unit) & dag.reachable(above, unit)
        if both - {unit}:
            found.append(unit.union(*both))
    return tuple(found)


def _convex(
    reads: Mapping[int, Iterable[int]], groups: Iterable[frozenset[int]]
) -> tuple[frozenset[int], ...]:
    """Add what lies between members of a group: it can run neither before nor after the group."""
    above = dag.readers(reads)
    merged: list[frozenset[int]] = []
    todo = list(groups)
    while todo:
        group = todo.pop()
        below = frozenset[int]().union(*(dag.reachable(reads, node) for node in group))
        over = frozenset[int]().union(*(dag.reachable(above, node) for node in group))
        grown = group | (below & over & reads.keys())
        touching = [other for other in merged if other & grown]
        if touching or grown != group:
            merged = [other for other in merged if not other & grown]
            todo.append(grown.union(*touching))
        else:
            merged.append(group)
    return tuple(merged)


def ancestors(reads: Mapping[int, Iterable[int]], start: Iterable[int]) -> frozenset[int]:
    """Return ``start`` and all stream tables below."""
    found = frozenset[int]().union(*(dag.reachable(reads, node) for node in start))
    return found & reads.keys()
