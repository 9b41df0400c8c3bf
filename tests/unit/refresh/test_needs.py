from __future__ import annotations

from dataclasses import replace

import pytest

from trickle_runtime.capture.pending import Pending
from trickle_runtime.refresh.members import Member, Source
from trickle_runtime.refresh.needs import Below, assess, standing

TABLE = Source(100, "public.t", "public.t", "table", None, (1,), 0, "statement", ((1, "b"),))
LOWER = Source(200, "public.a", "public.a", "stream_table", 7, (), 5, None, ())
MEMBER = Member(
    pgt_id=1,
    relid=50,
    relation="public.s",
    rows=10,
    canonical_query="SELECT 1",
    definition_version=1,
    created_at="2026-01-01",
    plan={},
    session_settings={},
    refresh_mode="differential",
    effective_mode="differential",
    partition_by=None,
    diamond_consistency="atomic",
    append_only=False,
    status="active",
    is_populated=True,
    reinit_reason=None,
    diverged=False,
    unsettled=False,
    fuse_mode="off",
    fuse_state="disabled",
    skip_next=False,
    blow_reason=None,
    frontier="1:1:",
    upstream={7: 5},
    refresh_no=3,
    version=3,
    frontier_valid=True,
    sequential=False,
    logged=False,
    lockable={},
    sources=(TABLE, LOWER),
    past=(),
    full=None,
    clock=None,
)


def member(**values) -> Member:
    return replace(MEMBER, **values)


def test_nothing_to_do():
    assert assess(MEMBER) is None


def test_pending_changes():
    work = assess(member(pending={100: Pending(4)}))
    assert work is not None
    assert (work.action, work.changed, work.rows_in) == ("DIFFERENTIAL", frozenset({100}), 4)
    assert work.upstream == {7: 5}


def test_changes_of_a_stream_table_below():
    newer = replace(LOWER, refresh_no=6)
    work = assess(member(sources=(TABLE, newer), pending={200: Pending(2)}))
    assert work is not None
    assert (work.changed, work.rows_in, work.upstream) == (frozenset({200}), 2, {7: 6})


def test_changes_made_in_the_same_pass():
    work = assess(MEMBER, {7: Below(refresh_no=6, changed=9)})
    assert work is not None
    assert (work.changed, work.rows_in, work.upstream) == (frozenset({200}), 9, {7: 6})
    assert assess(MEMBER, {7: Below(refresh_no=5, changed=0)}) is None


@pytest.mark.parametrize(
    ("values", "action"),
    [
        ({"is_populated": False}, "INITIALIZE"),
        ({"reinit_reason": "reset_fuse"}, "REINITIALIZE"),
        ({"frontier_valid": False}, "REINITIALIZE"),
        ({"pending": {100: Pending(0, truncated=True)}}, "REINITIALIZE"),
        ({"pending": {100: Pending(0, failed=True)}}, "REINITIALIZE"),
        ({"effective_mode": "full", "pending": {100: Pending(1)}}, "FULL"),
        ({"effective_mode": "full", "plan": {"always": True}}, "FULL"),
        ({"effective_mode": "full", "sources": (replace(TABLE, mode="poll"),)}, "FULL"),
    ],
)
def test_full_differences(values, action):
    work = assess(member(**values))
    assert work is not None
    assert (work.mode, work.action) == ("full", action)


def test_a_mode_that_was_asked_for():
    work = assess(MEMBER, force_mode="full")
    assert work is not None
    assert work.mode == "full"
    pending = member(refresh_mode="auto", pending={100: Pending(1)})
    work = assess(pending, force_mode="differential")
    assert work is not None
    assert (work.mode, work.budget_ms) == ("differential", None)


@pytest.mark.parametrize(
    ("values", "by_hand", "reason"),
    [
        ({}, False, None),
        ({"status": "error"}, False, None),
        ({"status": "suspended"}, False, "suspended"),
        ({"status": "suspended"}, True, None),
        ({"status": "paused"}, True, "paused"),
        ({"status": "initializing"}, True, "initializing"),
        ({"fuse_state": "blown"}, True, "fuse blown"),
        ({"relation": None}, True, "dropped"),
    ],
)
def test_standing(values, by_hand, reason):
    assert standing(member(**values), by_hand=by_hand) == reason
