"""Dropping columns that nobody uses, so that they are neither read nor captured.

A plan is a graph: an operator may have several parents. Invariant: an operator keeps what any of
its parents needs, and stays one operator. On the way each reference learns whether others read its
child as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.operators.reference import Reference


def prune(root: Operator, needed: Iterable[str]) -> Operator:
    """Rebuild a plan with the columns that ``needed`` ones of the root depend on."""
    order = list(root.walk())  # inputs first
    wanted: dict[str, frozenset[str]] = {root.alias: frozenset(needed)}
    readers: Counter[str] = Counter()
    for operator in reversed(order):
        if operator.alias not in wanted:
            continue  # its parents do without it, such as an aggregate that nobody shows
        for alias, names in operator.needs(wanted[operator.alias]).items():
            wanted[alias] = wanted.get(alias, frozenset()) | names
            readers[alias] += 1
    kept: dict[str, Operator] = {}
    for operator in order:
        if operator.alias not in wanted:
            continue
        made = operator.keep(wanted[operator.alias], kept)
        if isinstance(made, Reference):
            made = replace(made, shared=readers[made.child.alias] > 1)
        kept[operator.alias] = made
    return kept[root.alias]
