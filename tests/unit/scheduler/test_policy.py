from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from trickle_runtime.scheduler import policy

UTC = timezone.utc
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ORDERS, ITEMS = -1, -2


def table(pgt_id: int, *reads: int, schedule: str = "1m", age: int | None = 0) -> policy.Table:
    """A healthy table that was refreshed ``age`` seconds ago."""
    last = None if age is None else NOW - timedelta(seconds=age)
    return policy.Table(
        pgt_id, f"t{pgt_id}", schedule, "hot", "active", "atomic", False, last, None, reads
    )


def due(*tables: policy.Table, attempted: dict[int, int] | None = None) -> list[tuple[int, ...]]:
    looked = {pgt_id: NOW - timedelta(seconds=age) for pgt_id, age in (attempted or {}).items()}
    found = policy.due(NOW, policy.plan(tables), looked, UTC)
    return [one.pgt_ids for one in found]


def test_due_by_age() -> None:
    assert due(table(1, ORDERS, age=59), table(2, ITEMS, age=60), table(3, age=None)) == [
        (2,),
        (3,),
    ]


def test_a_look_without_work_counts() -> None:
    assert due(table(1, ORDERS, age=500), attempted={1: 59}) == []
    assert due(table(1, ORDERS, age=500), attempted={1: 61}) == [(1,)]
    assert due(table(1, ORDERS, age=None), attempted={1: 10}) == []


@pytest.mark.parametrize(("tier", "age"), [("hot", 60), ("warm", 120), ("cold", 600)])
def test_tiers_stretch_intervals(tier: str, age: int) -> None:
    assert due(replace(table(1, ORDERS, age=age), tier=tier)) == [(1,)]
    assert due(replace(table(1, ORDERS, age=age - 1), tier=tier)) == []


def test_frozen_is_never_due() -> None:
    assert due(replace(table(1, ORDERS, age=10**6), tier="frozen")) == []
    assert due(replace(table(1, ORDERS, schedule="* * * * *", age=10**6), tier="frozen")) == []


def test_tiers_leave_cron_alone() -> None:
    hourly = table(1, ORDERS, schedule="0 * * * *", age=60)
    assert due(replace(hourly, tier="cold")) == [(1,)]
    assert due(replace(hourly, last_refresh_at=NOW)) == []


def test_missed_firings_are_made_up_for_once() -> None:
    assert due(table(1, ORDERS, schedule="0 3 * * *", age=86400 * 3)) == [(1,)]


@pytest.mark.parametrize("status", ["initializing", "paused", "suspended"])
def test_only_active_tables_are_due(status: str) -> None:
    assert due(replace(table(1, ORDERS, age=500), status=status)) == []


def test_a_table_whose_source_is_missing_is_tried_again() -> None:
    gone = replace(table(1, ORDERS, age=500), status="error")
    assert due(replace(gone, next_attempt_at=NOW + timedelta(seconds=1))) == []
    assert due(replace(gone, next_attempt_at=NOW)) == [(1,)]


def test_a_blown_fuse_stops_the_table_and_nothing_else() -> None:
    blown = replace(table(1, ORDERS, age=500), fuse_blown=True)
    assert due(blown, table(2, 1, age=500), table(3, ITEMS, age=500)) == [(2,), (3,)]


def test_back_off_is_respected() -> None:
    late = table(1, ORDERS, age=500)
    assert due(replace(late, next_attempt_at=NOW + timedelta(seconds=1))) == []
    assert due(replace(late, next_attempt_at=NOW)) == [(1,)]


def test_a_failure_is_tried_again_before_the_schedule_says_so() -> None:
    failed = replace(table(1, ORDERS, schedule="1h", age=90), next_attempt_at=NOW)
    assert due(failed, attempted={1: 20}) == [(1,)]
    assert due(failed, attempted={1: 0}) == []  # nobody moved the time: back to the schedule


def test_a_chain_is_one_group_and_members_go_by_their_own_schedules() -> None:
    assert due(table(1, ORDERS, age=90), table(2, 1, schedule="5m", age=90)) == [(1,)]
    assert due(table(1, ORDERS, age=90), table(2, 1, age=90)) == [(1, 2)]


def test_calculated_goes_with_the_tables_above() -> None:
    below = table(1, ORDERS, schedule="calculated", age=90)
    middle = table(2, 1, schedule="calculated", age=90)
    assert due(below, middle, table(3, 2, age=59)) == []
    assert due(below, middle, table(3, 2, age=60)) == [(1, 2, 3)]
    assert due(below, middle, table(3, 2, schedule="0 12 * * *", age=60)) == [(1, 2, 3)]


def test_calculated_without_readers_is_on_demand() -> None:
    assert due(table(1, ORDERS, schedule="calculated", age=None)) == []


def test_a_diamond_is_due_as_a_whole() -> None:
    arms = (table(1, ORDERS, schedule="1h", age=90), table(2, ORDERS, age=90))
    assert due(*arms, table(3, 1, 2, schedule="1d", age=90)) == [(1, 2, 3)]
    loose = replace(table(3, 1, 2, schedule="1d", age=90), diamond_consistency="none")
    assert due(*arms, loose) == [(2,)]


def test_companions_must_be_able_to_run() -> None:
    paused = replace(table(1, ORDERS, age=0), status="paused")
    waiting = replace(table(2, ORDERS, age=0), next_attempt_at=NOW + timedelta(hours=1))
    assert due(paused, waiting, table(3, 1, 2, age=90)) == [(3,)]


def test_a_schedule_that_does_not_parse_is_reported_and_stops_nobody() -> None:
    work = policy.plan([table(1, ORDERS, schedule="soon", age=900), table(2, 1, age=900)])
    assert list(work.invalid) == [1]
    assert policy.due(NOW, work, {}, UTC) == (policy.Due(1, (2,)),)


def test_next_due() -> None:
    work = policy.plan([table(1, ORDERS, age=10), table(2, ITEMS, schedule="30s", age=10)])
    assert policy.next_due(work, {}, UTC) == NOW + timedelta(seconds=20)
    assert policy.next_due(policy.plan([]), {}, UTC) is None


def test_effective_interval() -> None:
    work = policy.plan(
        [
            table(1, ORDERS, schedule="calculated"),
            table(2, 1, schedule="calculated"),
            table(3, 2, schedule="5m"),
            replace(table(4, 1, schedule="2m"), tier="cold"),
            table(5, 1, schedule="@hourly"),
            table(6, schedule="calculated"),
            table(7, schedule="whenever"),
        ]
    )
    found = [policy.effective_interval(pgt_id, work) for pgt_id in range(1, 8)]
    minutes = [one and one // timedelta(minutes=1) for one in found]
    assert minutes == [5, 5, 5, 20, None, None, None]
