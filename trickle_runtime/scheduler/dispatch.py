"""Hands work to the threads, and takes in what became of it.

Invariant: everything here runs in the daemon's main thread, so nothing needs a lock; an error of
a task is a result like any other, because the next group must run whatever happened to this one.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future
from datetime import datetime

from trickle_runtime.config import Schemas
from trickle_runtime.errors import TrickleError
from trickle_runtime.scheduler import passes, policy
from trickle_runtime.scheduler.duties import cleanup
from trickle_runtime.scheduler.duties.duty import Duty
from trickle_runtime.scheduler.housekeeping import Housekeeping
from trickle_runtime.scheduler.memory import Memory
from trickle_runtime.scheduler.workers import Workers

logger = logging.getLogger(__name__)


class Dispatch:
    """The work that is under way."""

    def __init__(self, workers: Workers, schemas: Schemas) -> None:
        self.memory = Memory()
        self.housekeeping = Housekeeping()
        self._workers = workers
        self._schemas = schemas
        self._passes: dict[Future[passes.Outcome], policy.Due] = {}
        self._duties: dict[Future[int], Duty] = {}

    def start_pass(self, due: policy.Due, tick: datetime) -> None:
        """Give a group to a worker."""
        self.memory.started(due)
        future = self._workers.submit(
            lambda session: passes.run(session, self._schemas, due, tick)
        )
        self._passes[future] = due

    def start_duty(self, duty: Duty) -> None:
        """Give a duty to a worker."""
        future = self._workers.submit(lambda session: duty.run(session, self._schemas))
        self._duties[future] = duty

    def collect(self, now: datetime) -> None:
        """Take in what has ended."""
        for future in [one for one in self._passes if one.done()]:
            self._end_pass(self._passes.pop(future), future, now)
        for future in [one for one in self._duties if one.done()]:
            self._end_duty(self._duties.pop(future), future)

    def _end_pass(self, due: policy.Due, future: Future[passes.Outcome], now: datetime) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is not None:
            self.memory.failed(due, now)
            _log_failure("pass", error, {"pgt_ids": list(due.pgt_ids)})
            return
        outcome = future.result()
        passes.log(outcome)
        if outcome.busy:
            self.memory.undone(due)
            return
        self.memory.ended(due)
        if outcome.rows_in >= cleanup.SOON_AFTER:
            self.housekeeping.hasten(cleanup.DUTY.name)

    def _end_duty(self, duty: Duty, future: Future[int]) -> None:
        self.housekeeping.done(duty.name)
        if future.cancelled():
            return
        error = future.exception()
        if error is not None:
            _log_failure("duty", error, {"duty": duty.name})
            return
        extra = {"action": "duty_done", "duty": duty.name, "count": future.result()}
        logger.debug("duty %s did %d", duty.name, future.result(), extra=extra)


def _log_failure(what: str, error: BaseException, facts: dict[str, object]) -> None:
    """Log an error that ended a task; ours with its code, a bug with its traceback."""
    known = isinstance(error, TrickleError)
    code = error.code if isinstance(error, TrickleError) else type(error).__name__
    extra = {"action": f"{what}_failed", "code": code, **facts}
    logger.error("%s failed: %s", what, error, extra=extra, exc_info=None if known else error)
