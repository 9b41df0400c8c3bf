"""Batches of changes after TPC-H's refresh functions.

Invariant: a batch runs in the caller's transaction and leaves all foreign keys intact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trickle_runtime.db import sql
from trickle_runtime.db.session import Session

FIRST_DAY = "1992-01-01"
LAST_DAY = "1998-08-02"


@dataclass(frozen=True)
class Change:
    """One refresh function of ``changes.sql`` and the number of things it changes."""

    function: str
    count: int


def refresh_functions(orders: int) -> tuple[Change, ...]:
    """Return what an application does all day: new, deleted, repriced and advanced orders."""
    return (
        Change("new_orders", orders),
        Change("delete_orders", orders),
        Change("reprice_lines", orders),
        Change("advance_orders", orders),
    )


def everything(count: int) -> tuple[Change, ...]:
    """Return a batch that inserts, updates and deletes on both sides of every join."""
    few = max(1, count // 8)
    return (
        *refresh_functions(count),
        Change("return_lines", count),
        Change("new_customers", few),
        Change("new_parts", few),
        Change("move_customers", count),
        Change("move_suppliers", few),
        Change("change_costs", count),
        Change("relabel_parts", count),
        Change("retire_customers", few),
        Change("retire_parts", few),
        Change("retire_suppliers", 1),
    )


def apply(
    session: Session,
    batch: Sequence[Change],
    *,
    seed: float | None = None,
    first_day: str = FIRST_DAY,
    last_day: str = LAST_DAY,
) -> None:
    """Run a batch; ``seed`` (between -1 and 1) makes it repeatable, the days date new orders."""
    functions = sql.load_queries("tpch/changes.sql")
    if seed is not None:
        session.execute(functions["seed"], {"seed": seed})
    for change in batch:
        session.execute(
            functions[change.function],
            {"n": change.count, "first_day": first_day, "last_day": last_day},
        )
