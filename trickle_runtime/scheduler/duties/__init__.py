"""The daemon's housekeeping, one file per duty."""

from __future__ import annotations

from trickle_runtime.scheduler.duties import cleanup, requests, retention
from trickle_runtime.scheduler.duties.duty import Duty

DUTIES: tuple[Duty, ...] = (
    cleanup.DUTY,
    requests.DUTY,
    retention.DUTY,
)
