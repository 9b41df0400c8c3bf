from __future__ import annotations

from dataclasses import replace

import pytest

from trickle_runtime.capture.source import Column, Decision, Description, Member, decide

MEMBER = Member(20000, "s.t", "r", may_trigger=True, owned=False, subscribed=False, child=False)
SOURCE = Description(
    relid=20000,
    name="s.t",
    kind="r",
    persistence="p",
    secured=False,
    citus=False,
    unique=False,
    blocking=False,
    members=(MEMBER,),
    columns=(Column(1, "a", "integer", None, None), Column(2, "b", "integer", None, "(a * 2)")),
)


def _with(member, **source):
    return replace(SOURCE, members=(replace(MEMBER, **member),), **source)


def test_an_ordinary_table():
    assert decide(SOURCE, [1, 2]) == Decision("statement")


def test_an_unlogged_table():
    assert decide(replace(SOURCE, persistence="u"), [1]) == Decision("statement")


def test_a_partitioned_table_that_can_have_no_foreign_partition():
    assert decide(replace(SOURCE, kind="p", unique=True), [1]) == Decision("statement")
    assert decide(replace(SOURCE, kind="p", blocking=True), [1]) == Decision("statement")


@pytest.mark.parametrize(
    "source",
    [
        replace(SOURCE, kind="p"),
        replace(SOURCE, kind="p", unique=True, members=(MEMBER,) * 301),
        replace(SOURCE, citus=True),
        _with({"child": True}),
        _with({"subscribed": True, "owned": True}),
    ],
)
def test_row_level(source):
    assert decide(source, [1]) == Decision("row")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (replace(SOURCE, kind="m"), "materialized view"),
        (replace(SOURCE, kind="f"), "foreign table"),
        (replace(SOURCE, kind="v"), "a view"),
        (replace(SOURCE, kind="S"), "not a table"),
        (replace(SOURCE, persistence="t"), "temporary"),
        (replace(SOURCE, relid=1259), "belongs to PostgreSQL"),
        (_with({"may_trigger": False}), "TRIGGER privilege"),
        (_with({"subscribed": True}), "its owner must capture it"),
        (replace(SOURCE, members=(MEMBER, replace(MEMBER, kind="f"))), "foreign table"),
    ],
)
def test_polled(source, reason):
    decision = decide(source, [1])
    assert decision.mode == "poll"
    assert reason in decision.reason


def test_a_virtual_column_below_a_parent_is_polled_only_if_used():
    family = replace(SOURCE, members=(MEMBER, MEMBER))
    assert decide(family, [1]).mode == "statement"
    assert decide(family, [2]).mode == "poll"


def test_more_columns_than_a_table_can_have():
    columns = tuple(Column(i, f"c{i}", "integer", None, None) for i in range(1, 1601))
    wide = replace(SOURCE, columns=columns)
    assert decide(wide, range(1, 1599)).mode == "statement"
    assert decide(wide, range(1, 1601)).mode == "poll"
