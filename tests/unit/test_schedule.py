"""D31: what is a schedule, and when does it fire."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from trickle_runtime import schedule
from trickle_runtime.errors import InvalidConfig

UTC = timezone.utc
BERLIN = ZoneInfo("Europe/Berlin")  # 2026: forward on 29 March 02:00, back on 25 October 03:00


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        (" 1H30M ", 5400),
        ("1d", 86400),
        ("1w2d", 777600),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    assert schedule.parse(text) == schedule.Every(timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("*/5 * * * *", "*/5 * * * *"),
        ("  0  6 * * mon-fri ", "0 6 * * mon-fri"),
        ("@hourly", "0 * * * *"),
        ("@Daily", "0 0 * * *"),
    ],
)
def test_cron(text: str, expression: str) -> None:
    assert schedule.parse(text) == schedule.Cron(expression)


def test_calculated() -> None:
    assert schedule.parse("CALCULATED") == schedule.Calculated()


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "It is empty."),
        ("0s", "A duration must be one second or more."),
        ("0h0m", "A duration must be one second or more."),
        ("-5m", "A duration can't be negative."),
        ("5", "It is neither a duration nor a cron expression."),
        ("30m1h", "It is neither a duration nor a cron expression."),
        ("100ms", "It is neither a duration nor a cron expression."),
        ("٣s", "It is neither a duration nor a cron expression."),
        ("999999w", "A duration can be ten years at most."),
        ("99999999999999999999w", "It is neither a duration nor a cron expression."),
        ("0 * * * * *", "A cron expression has 5 fields, this has 6."),
        ("* * * *", "A cron expression has 5 fields, this has 4."),
        ("61 * * * *", "Bad minute."),
        ("0 0 30 2 *", "Bad day-of-month."),
        ("*/0 * * * *", "Bad minute."),
        ("@reboot", "There is no such alias."),
    ],
)
def test_refused(text: str, detail: str) -> None:
    with pytest.raises(InvalidConfig) as error:
        schedule.parse(text)
    assert error.value.detail == detail
    assert "1h30m" in str(error.value.hint)


def fires(text: str, start: datetime, count: int) -> list[str]:
    found: list[str] = []
    at = start
    parsed = schedule.parse(text)
    assert not isinstance(parsed, schedule.Calculated)
    for _ in range(count):
        at = parsed.next_after(at, BERLIN)
        found.append(at.strftime("%d %H:%M"))
    return found


def test_every_counts_real_time_across_a_change_of_the_clock() -> None:
    start = datetime(2026, 3, 29, 1, 45, tzinfo=BERLIN)  # 00:45 UTC; 02:00 does not exist
    assert fires("30m", start, 2) == ["29 01:15", "29 01:45"]
    assert schedule.Every(timedelta(minutes=30)).next_after(start, BERLIN, 10) == datetime(
        2026, 3, 29, 5, 45, tzinfo=UTC
    )


def test_a_time_that_the_spring_skips_fires_once_right_after() -> None:
    start = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
    assert fires("30 2 * * *", start, 2) == ["29 01:00", "30 00:30"]


def test_a_time_that_the_autumn_repeats_fires_once() -> None:
    start = datetime(2026, 10, 24, 12, 0, tzinfo=UTC)
    assert fires("30 2 * * *", start, 2) == ["25 00:30", "26 01:30"]


def test_a_refresh_in_the_repeated_hour_does_not_bring_the_first_pass_back() -> None:
    second_pass = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)  # 02:10 for the second time
    assert fires("30 2 * * *", second_pass, 1) == ["26 01:30"]


def test_every_minute_runs_through_the_repeated_hour() -> None:
    start = datetime(2026, 10, 25, 0, 59, tzinfo=UTC)
    assert fires("* * * * *", start, 2) == ["25 01:00", "25 01:01"]
