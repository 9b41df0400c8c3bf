from __future__ import annotations

import pytest

from trickle_runtime.config import StreamTableOptions
from trickle_runtime.errors import InvalidConfig


def parse(**values):
    return StreamTableOptions.parse(values)


def test_defaults():
    options = parse()
    assert (options.schedule, options.refresh_mode, options.fuse) == ("1m", "auto", "off")
    assert options.fuse_sensitivity == 3.0


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("90s", "1m30s"),
        ("60s", "1m"),
        ("1h30m", "1h30m"),
        ("24h", "1d"),
        (" 30S ", "30s"),
        ("CALCULATED", "calculated"),
        ("*/5  *  * * *", "*/5 * * * *"),
        ("@daily", "0 0 * * *"),
    ],
)
def test_schedules_have_one_form(text, normal):
    assert parse(schedule=text).schedule == normal


@pytest.mark.parametrize("text", ["0s", "-5m", "", "5", "soon", "* * * * * *", "61 * * * *", 5])
def test_bad_schedules(text):
    with pytest.raises(InvalidConfig, match="schedule"):
        parse(schedule=text)


@pytest.mark.parametrize(
    ("name", "value", "normal"),
    [
        ("refresh_mode", " Differential ", "differential"),
        ("fuse", False, "off"),
        ("fuse", "AUTO", "auto"),
        ("fuse_ceiling", "10", 10),
        ("fuse_ceiling", 10.0, 10),
        ("fuse_ceiling", None, None),
        ("fuse_sensitivity", "2.5", 2.5),
        ("tier", "Frozen", "frozen"),
        ("initialize", "no", False),
        ("append_only", True, True),
        ("unique_key", "id", ("id",)),
        ("unique_key", ["a", "b"], ("a", "b")),
        ("partition_by", " day ", "day"),
        ("partition_by", "", None),
    ],
)
def test_normal_forms(name, value, normal):
    assert getattr(parse(**{name: value}), name) == normal


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("refresh_mode", "sometimes", "auto, differential, full. Not available yet: immediate."),
        ("fuse", "maybe", "off, on, auto"),
        ("fuse_ceiling", -1, "0 or more"),
        ("fuse_ceiling", True, "whole number"),
        ("fuse_ceiling", "1.5", "whole number"),
        ("fuse_sensitivity", "nan", "above 0"),
        ("fuse_sensitivity", 0, "above 0"),
        ("tier", "lukewarm", "hot, warm, cold, frozen"),
        ("cdc_mode", "magic", "auto, trigger. Not available yet: wal."),
        ("diamond_consistency", "some", "atomic, none"),
        ("status", "suspended", "active, paused"),
        ("initialize", "perhaps", "true, false"),
        ("unique_key", ["a", "a"], "different"),
        ("unique_key", 5, "column"),
        ("partition_by", 5, "text"),
    ],
)
def test_errors_name_option_and_values(name, value, allowed):
    with pytest.raises(InvalidConfig) as raised:
        parse(**{name: value})
    assert name in raised.value.message
    assert allowed in (raised.value.hint or "")


@pytest.mark.parametrize(("name", "value"), [("refresh_mode", "immediate"), ("cdc_mode", "wal")])
def test_not_available_yet(name, value):
    with pytest.raises(InvalidConfig, match="not available yet") as raised:
        parse(**{name: value})
    assert f"{value}." not in (raised.value.hint or "")
    assert "Allowed: auto" in (raised.value.hint or "")


def test_unknown_option_says_which_was_meant():
    with pytest.raises(InvalidConfig) as raised:
        parse(shedule="1m")
    assert "schedule" in (raised.value.hint or "")


def test_a_fuse_needs_its_ceiling():
    with pytest.raises(InvalidConfig, match="fuse_ceiling"):
        parse(fuse="on")
    assert parse(fuse="on", fuse_ceiling=5).fuse_ceiling == 5


def test_what_is_not_given_stays():
    base = parse(schedule="5m", tier="cold")
    changed = StreamTableOptions.parse({"tier": "warm"}, base)
    assert (changed.schedule, changed.tier) == ("5m", "warm")
    assert base.changes(changed) == ("tier",)
    assert base.changes(StreamTableOptions.parse({"schedule": "300s"}, base)) == ()
