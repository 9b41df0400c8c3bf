"""Dropping columns that nobody uses, so that they are neither read nor captured.

A plan is a graph: an operator may have several parents. Invariant: an operator keeps what any of
its parents needs, and stays one operator.
"""

from __future__ import annotations

from collections.abc import Iterable

from trickle_runtime.compiler.operators.base import Operator


def prune(root: Operator, needed: Iterable[str]) -> Operator:
    """Rebuild a plan with the columns that ``needed`` ones of the root depend on."""
    order = list(root.walk())  # inputs first
    wanted: dict[str, frozenset[str]] = {root.alias: frozenset(needed)}
    for operator in reversed(order):
        for alias, names in operator.needs(wanted[operator.alias]).items():
            wanted[alias] = wanted.get(alias, frozenset()) | names
    kept: dict[str, Operator] = {}
    for operator in order:
        kept[operator.alias] = operator.keep(wanted[operator.alias], kept)
    return kept[root.alias]
