from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

from trickle_runtime.scheduler import freshness, policy
from trickle_runtime.scheduler.backoff import Backoff
from trickle_runtime.scheduler.duties.duty import Duty
from trickle_runtime.scheduler.housekeeping import Housekeeping
from trickle_runtime.scheduler.memory import Memory

NOW = datetime(2026, 11, 22, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)
DUE = policy.Due(1, (1, 2))


def table(pgt_id: int, *, refreshed: datetime | None) -> policy.Table:
    return policy.Table(pgt_id, "t", "1m", "hot", "active", "atomic", False, refreshed, None, ())


def names(housekeeping: Housekeeping, now: datetime) -> list[str]:
    return [duty.name for duty in housekeeping.take(now)]


def test_duties_come_round() -> None:
    housekeeping = Housekeeping([Duty("sweep", 10 * SECOND, lambda *_: 0)])
    assert names(housekeeping, NOW) == ["sweep"]
    assert names(housekeeping, NOW + 20 * SECOND) == []  # not handed back yet
    housekeeping.done("sweep")
    assert names(housekeeping, NOW + 9 * SECOND) == []
    assert names(housekeeping, NOW + 10 * SECOND) == ["sweep"]


def test_a_duty_can_be_hastened() -> None:
    housekeeping = Housekeeping([Duty("sweep", 10 * SECOND, lambda *_: 0)])
    housekeeping.take(NOW)
    housekeeping.done("sweep")
    housekeeping.hasten("sweep")
    assert names(housekeeping, NOW) == ["sweep"]


def test_a_group_is_worked_on_once_at_a_time() -> None:
    memory = Memory()
    memory.started(DUE)
    assert not memory.may_start(DUE, NOW)
    memory.ended(DUE)
    assert memory.may_start(DUE, NOW)


def test_a_failed_pass_waits_and_is_due_again_before_its_schedule() -> None:
    memory = Memory()
    memory.looked(DUE.pgt_ids, set(), NOW)
    memory.started(DUE)
    memory.failed(DUE, NOW)
    assert memory.attempted == {}
    assert not memory.may_start(DUE, NOW)
    assert memory.may_start(DUE, NOW + SECOND)


def test_a_group_that_another_daemon_has_is_looked_at_again() -> None:
    memory = Memory()
    memory.looked(DUE.pgt_ids, set(), NOW)
    memory.started(DUE)
    memory.undone(DUE)
    assert memory.attempted == {}
    assert memory.may_start(DUE, NOW)


def test_dropped_tables_are_forgotten() -> None:
    memory = Memory()
    memory.looked([1, 2], {1, 2}, NOW)
    memory.settle({2: table(2, refreshed=NOW - SECOND)})
    assert memory.attempted == {2: NOW}
    assert memory.stale_since == {2: NOW}


def test_a_table_is_stale_until_it_is_refreshed_or_found_to_have_nothing_to_do() -> None:
    memory = Memory()
    memory.looked([1, 2], {1, 2}, NOW)
    memory.looked([1, 2], {1}, NOW + SECOND)
    assert memory.stale_since == {1: NOW}
    memory.settle({1: table(1, refreshed=NOW + SECOND)})
    assert memory.stale_since == {}


def test_overdue_tables() -> None:
    work = policy.plan(
        [
            table(1, refreshed=None),
            replace(table(2, refreshed=None), schedule="1h"),
            replace(table(3, refreshed=None), schedule="@hourly"),
            replace(table(4, refreshed=None), status="paused"),
            replace(table(5, refreshed=None), status="suspended"),
        ]
    )
    since = dict.fromkeys(range(1, 7), NOW)
    assert freshness.overdue(NOW + 120 * SECOND, work, since) == []
    found = freshness.overdue(NOW + 121 * SECOND, work, since)
    assert [one.pgt_id for one in found] == [1, 5]
    assert found[0].stale_for == 121 * SECOND


def test_backoff_doubles_up_to_a_limit_with_jitter() -> None:
    backoff = Backoff(first=1.0, longest=8.0)
    delays = [backoff.next() for _ in range(50)]
    for delay, full in zip(delays, [1, 2, 4, 8, *[8] * 46], strict=True):
        assert full / 2 <= delay <= full
    backoff.reset()
    assert backoff.next() <= 1.0
