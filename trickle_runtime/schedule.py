"""Schedules: how fresh a stream table is to be kept.

Invariant: ``parse`` is pure and the only way in; it returns a schedule that can fire, or raises
``InvalidConfig``. It stands below the layers because creation validates what the daemon obeys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache

from cronsim import CronSim, CronSimError

from trickle_runtime.errors import InvalidConfig

UTC = timezone.utc
LONGEST = timedelta(weeks=520)

_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION = re.compile("".join(f"(?:(?P<{name}>[0-9]{{1,9}}){u})?" for u, name in _UNITS.items()))
_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_ALLOWED = (
    "Use a duration such as '30s', '5m' or '1h30m' (units w d h m s, largest first), five cron "
    "fields such as '*/15 * * * *', one of " + " ".join(_ALIASES) + ", or 'calculated'."
)


@dataclass(frozen=True)
class Every:
    """Refresh when the last refresh is ``interval`` old."""

    interval: timedelta

    def next_after(self, last: datetime, zone: tzinfo, factor: int = 1) -> datetime:
        """Return the instant at which the table is due again; ``factor`` is that of its tier."""
        del zone  # an interval is the same everywhere
        return last.astimezone(UTC) + self.interval * factor


@dataclass(frozen=True)
class Cron:
    """Refresh at the times that a cron expression names, in the daemon's time zone."""

    expression: str

    def next_after(self, last: datetime, zone: tzinfo, factor: int = 1) -> datetime:
        """Return the first firing after ``last``, in UTC.

        Like Debian's cron, a fixed time inside the hour that a zone skips fires right after it,
        and one inside the hour that a zone repeats fires once. Instants are compared in UTC:
        Python ignores ``fold`` when it compares two times of one zone.
        """
        del factor  # tiers stretch intervals only
        return _next_fire(self.expression, last.astimezone(UTC), zone)


@dataclass(frozen=True)
class Calculated:
    """Refresh when a stream table above is refreshed; alone, only on demand."""


Schedule = Every | Cron | Calculated


@lru_cache(maxsize=4096)
def parse(text: str) -> Schedule:
    """Return the schedule that ``text`` describes.

    >>> parse("1h30m")
    Every(interval=datetime.timedelta(seconds=5400))
    >>> parse("@hourly")
    Cron(expression='0 * * * *')

    Raises:
        InvalidConfig: for anything else, with the forms that are allowed as hint.
    """
    words = text.split()
    if len(words) == 1 and words[0].lower() == "calculated":
        return Calculated()
    if len(words) == 1 and words[0].startswith("@"):
        return _alias(words[0].lower())
    if len(words) == 1:
        return _duration(words[0].lower(), text)
    if not words:
        raise _invalid(text, "it is empty")
    return _cron(words, text)


@lru_cache(maxsize=4096)  # the daemon asks again at every tick
def _next_fire(expression: str, after: datetime, zone: tzinfo) -> datetime:
    for fire in CronSim(expression, after.astimezone(zone)):
        if fire.astimezone(UTC) > after:
            return fire.astimezone(UTC)
    raise _invalid(expression, "the expression never fires")


def _alias(word: str) -> Cron:
    if word not in _ALIASES:
        raise _invalid(word, "there is no such alias")
    return Cron(_ALIASES[word])


def _duration(word: str, text: str) -> Every:
    if word.startswith("-"):
        raise _invalid(text, "a duration can't be negative")
    match = _DURATION.fullmatch(word)
    if match is None or match.lastgroup is None:
        raise _invalid(text, "it is neither a duration nor a cron expression")
    parts = {unit: int(value) for unit, value in match.groupdict(default="0").items()}
    interval = timedelta(**parts)
    if not interval:
        raise _invalid(text, "a duration must be one second or more")
    if interval > LONGEST:
        raise _invalid(text, "a duration can be ten years at most")
    return Every(interval)


def _cron(words: list[str], text: str) -> Cron:
    if len(words) != 5:
        raise _invalid(text, f"a cron expression has 5 fields, this has {len(words)}")
    schedule = Cron(" ".join(words))
    try:
        schedule.next_after(datetime(2000, 1, 1, tzinfo=UTC), UTC)
    except (CronSimError, AssertionError) as error:
        raise _invalid(text, str(error) or "bad field") from error
    return schedule


def _invalid(text: str, detail: str) -> InvalidConfig:
    return InvalidConfig(
        f"schedule {text!r} is not valid", detail[0].upper() + detail[1:] + ".", _ALLOWED
    )
