"""What is due, and when to look again.

Invariant: pure; time is an argument. A table that was looked at and had nothing to do counts as
attempted, so that it is not due again before its schedule says so, although nothing was written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from trickle_runtime import dag
from trickle_runtime import schedule as schedules
from trickle_runtime.errors import InvalidConfig

TIERS = {"hot": 1, "warm": 2, "cold": 10}  # a frozen table is never due


@dataclass(frozen=True)
class Table:
    """What the catalog says about a stream table, as far as the scheduler cares."""

    pgt_id: int
    name: str
    schedule: str
    tier: str
    status: str
    diamond_consistency: str
    fuse_blown: bool
    last_refresh_at: datetime | None
    next_attempt_at: datetime | None
    reads: tuple[int, ...]  # stream tables by pgt_id, other relations by -relid


@dataclass(frozen=True)
class Plan:
    """The tables of a catalog with everything that follows from their dependencies."""

    tables: Mapping[int, Table]
    group_of: Mapping[int, int]  # pgt_id -> the smallest pgt_id of its refresh group
    diamond_of: Mapping[int, frozenset[int]]
    readers: Mapping[int, frozenset[int]]
    invalid: Mapping[int, InvalidConfig]  # schedules that don't parse: never due, reported once


@dataclass(frozen=True)
class Due:
    """The members of one refresh group that are to be refreshed in one pass."""

    group: int
    pgt_ids: tuple[int, ...]


def plan(tables: Sequence[Table]) -> Plan:
    """Derive the refresh groups and the diamonds of ``tables``."""
    by_id = {table.pgt_id: table for table in tables}
    reads = {table.pgt_id: table.reads for table in tables}
    groups = dag.refresh_groups(reads)
    circles = dag.diamonds(reads, lambda node: by_id[node].diamond_consistency == "atomic")
    return Plan(
        tables=by_id,
        group_of={member: min(group) for group in groups for member in group},
        diamond_of={member: circle for circle in circles for member in circle},
        readers={node: frozenset(above) for node, above in dag.readers(reads).items()},
        invalid=_invalid_schedules(tables),
    )


def due(
    now: datetime, work: Plan, attempted: Mapping[int, datetime], zone: tzinfo
) -> tuple[Due, ...]:
    """Return what is due at ``now``, group by group.

    ``attempted`` has the time of the last look at a table, where that is known.
    """
    ids = {
        pgt_id
        for pgt_id, table in work.tables.items()
        if (at := due_at(table, work, attempted.get(pgt_id), zone)) is not None and at <= now
    }
    ids = _with_companions(ids, now, work)
    groups: dict[int, list[int]] = {}
    for pgt_id in sorted(ids):
        groups.setdefault(work.group_of[pgt_id], []).append(pgt_id)
    return tuple(Due(group, tuple(members)) for group, members in groups.items())


def next_due(work: Plan, attempted: Mapping[int, datetime], zone: tzinfo) -> datetime | None:
    """Return when the first table will be due, or None if none ever will."""
    times = [due_at(t, work, attempted.get(t.pgt_id), zone) for t in work.tables.values()]
    return min((at for at in times if at is not None), default=None)


def due_at(table: Table, work: Plan, attempted: datetime | None, zone: tzinfo) -> datetime | None:
    """Return when a table is due by its own schedule, or None if its schedule never says so."""
    if table.pgt_id in work.invalid or not _may_run(table):
        return None
    schedule = schedules.parse(table.schedule)
    if isinstance(schedule, schedules.Calculated):
        return None
    retry = table.next_attempt_at  # set by a failure, cleared by a success
    if retry is not None and (attempted is None or attempted < retry):
        return retry
    seen = [at for at in (table.last_refresh_at, attempted) if at is not None]
    if not seen:
        return datetime.min.replace(tzinfo=schedules.UTC)
    return schedule.next_after(max(seen), zone, TIERS[table.tier])


def effective_interval(pgt_id: int, work: Plan) -> timedelta | None:
    """Return the interval that a table is kept within, None where there is no fixed one.

    A calculated schedule is the tightest interval of the tables above, whichever way they are
    reached.
    """
    table = work.tables[pgt_id]
    if pgt_id in work.invalid or table.tier not in TIERS:
        return None
    schedule = schedules.parse(table.schedule)
    if isinstance(schedule, schedules.Every):
        return schedule.interval * TIERS[table.tier]
    if isinstance(schedule, schedules.Cron):
        return None
    above = dag.reachable(work.readers, pgt_id) - {pgt_id}
    fixed = [one for one in above if work.tables[one].schedule.strip().lower() != "calculated"]
    intervals = [effective_interval(one, work) for one in fixed]
    return min((one for one in intervals if one is not None), default=None)


def _may_run(table: Table) -> bool:
    # In status error a source is missing, and may come back by the next attempt.
    return table.status in {"active", "error"} and table.tier in TIERS and not table.fuse_blown


def _with_companions(ids: set[int], now: datetime, work: Plan) -> set[int]:
    """Add calculated tables below due ones, and whatever shares a diamond with a due one."""
    done: set[int] = set()
    todo = set(ids)
    while todo:
        pgt_id = todo.pop()
        done.add(pgt_id)
        below = [one for one in work.tables[pgt_id].reads if _is_calculated(one, work)]
        for other in {*below, *work.diamond_of.get(pgt_id, ())} - done:
            if _ready(work.tables[other], now):
                todo.add(other)
    return done


def _is_calculated(pgt_id: int, work: Plan) -> bool:
    table = work.tables.get(pgt_id)
    if table is None or pgt_id in work.invalid:
        return False
    return isinstance(schedules.parse(table.schedule), schedules.Calculated)


def _ready(table: Table, now: datetime) -> bool:
    waiting = table.next_attempt_at is not None and table.next_attempt_at > now
    return _may_run(table) and not waiting


def _invalid_schedules(tables: Sequence[Table]) -> dict[int, InvalidConfig]:
    found: dict[int, InvalidConfig] = {}
    for table in tables:
        try:
            schedules.parse(table.schedule)
        except InvalidConfig as error:
            found[table.pgt_id] = error
    return found
