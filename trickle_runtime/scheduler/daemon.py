"""The daemon: a loop around ``run_once``.

    tick (one statement) -> what is due -> what has something to do -> passes on worker threads

Invariants: the main thread only reads and hands out, so a slow group holds no other up; all that
matters is in the database, so a daemon may be killed at any time. Notifications shorten a wait,
polling alone is enough. Times are the database's.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from types import FrameType

from trickle_runtime.catalog import migrate
from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import PsycopgSession, connect
from trickle_runtime.errors import CatalogError, TrickleError
from trickle_runtime.scheduler import freshness, lease, policy, staleness
from trickle_runtime.scheduler.backoff import Backoff
from trickle_runtime.scheduler.dispatch import Dispatch
from trickle_runtime.scheduler.duties import requests
from trickle_runtime.scheduler.reading import Reader, Tick
from trickle_runtime.scheduler.wakeup import Wakeup
from trickle_runtime.scheduler.workers import Workers

logger = logging.getLogger(__name__)

HEARTBEAT = timedelta(seconds=10)


@dataclass(frozen=True)
class Settings:
    """How a daemon works; times in seconds."""

    workers: int = 4
    interval: float = 1.0  # the longest wait between two ticks
    drain_timeout: float = 60.0
    zone: tzinfo = timezone.utc  # in which cron expressions are read


DEFAULTS = Settings()


class Daemon:
    """Keeps the stream tables of one database fresh."""

    def __init__(
        self, dsn: str, schemas: Schemas | None = None, *, settings: Settings = DEFAULTS
    ) -> None:
        self._dsn = dsn
        self._schemas = schemas or Schemas()
        self._settings = settings
        self._session: PsycopgSession | None = None
        self._worker = lease.Worker(self._schemas)
        self._beat_at: datetime | None = None
        self._reader = Reader(self._schemas)
        self._workers = Workers(dsn, settings.workers)
        self._dispatch = Dispatch(self._workers, self._schemas)
        self._reported: set[tuple[int, str]] = set()
        self._wakeup = Wakeup()
        self._stop = threading.Event()
        self._hurry = threading.Event()

    def run(self) -> None:
        """Work until ``stop``; then let the running passes end.

        Raises:
            ConnectionFailed: there is no connection at the start; later ones are waited for.
            CatalogError: the catalog is missing or of another version.
        """
        backoff = Backoff()
        _log("started", self._facts())
        self._connected()
        try:
            while not self._stop.is_set():
                try:
                    self._pause(self._tick(None))
                    backoff.reset()
                except CatalogError:
                    raise
                except Exception as error:  # one bad tick must not end the daemon
                    self._recover(error, backoff.next())
        finally:
            self.close()

    def run_once(self, now: datetime | None = None) -> None:
        """Do one tick as of ``now`` (default: the database's time), and wait for what it began."""
        tick = self._tick(now)
        self._workers.wait(None)
        self._dispatch.collect(now or tick.now)

    def stop(self) -> None:
        """End ``run`` when the running passes have ended; called again: cancel them.

        May be called by another thread or in a signal handler.
        """
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()
        self._wakeup.set()

    def stop_on_signals(self) -> None:
        """Let SIGTERM and SIGINT call ``stop``; to be called by the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.stop()

    def close(self) -> None:
        """Let the running passes end, sign off, and close all connections."""
        _log("stopping")
        if not self._workers.close(self._settings.drain_timeout, self._hurry):
            _log("cancelled", level=logging.WARNING)
        self._dispatch.collect(datetime.now(timezone.utc))
        if self._session is not None:
            with suppress(TrickleError):
                self._worker.leave(self._session)
            self._session.close()
        self._wakeup.close()
        _log("stopped")

    def _tick(self, now: datetime | None) -> Tick:
        session = self._connected()
        tick = self._reader.read(session)
        now = now or tick.now
        self._dispatch.collect(now)
        self._report_invalid(tick.plan)
        memory = self._dispatch.memory
        memory.settle(tick.plan.tables)
        due = policy.due(now, tick.plan, memory.attempted, self._settings.zone)
        self._start([one for one in due if memory.may_start(one, now)], tick, now)
        self._beat(session, now, tick.plan)
        if tick.requests:
            self._dispatch.housekeeping.hasten(requests.DUTY.name)
        for duty in self._dispatch.housekeeping.take(now):
            self._dispatch.start_duty(duty)
        return tick

    def _start(self, due: Sequence[policy.Due], tick: Tick, now: datetime) -> None:
        """Hand out the groups that have something to do; one statement tells which."""
        if not due:
            return
        wanted = [pgt_id for one in due for pgt_id in one.pgt_ids]
        stale = staleness.stale(self._connected(), self._schemas, wanted)
        self._dispatch.memory.looked(wanted, stale, now)
        for one in due:
            if stale.intersection(one.pgt_ids):
                self._dispatch.start_pass(one, tick.now)

    def _pause(self, tick: Tick) -> None:
        """Wait for the next table to be due, a notification, or ``stop``; never for long."""
        session = self._connected()
        attempted = self._dispatch.memory.attempted
        at = policy.next_due(tick.plan, attempted, self._settings.zone)
        seconds = (at - tick.now).total_seconds() if at is not None else 0.0
        if not 0.0 < seconds < self._settings.interval:
            seconds = self._settings.interval
        self._wakeup.wait(seconds, session)
        self._dispatch.memory.forget(session.notifications())

    def _beat(self, session: PsycopgSession, now: datetime, work: policy.Plan) -> None:
        """Every now and then: say that we are here, and what is late."""
        stale_since = self._dispatch.memory.stale_since
        if self._beat_at is None or self._beat_at + HEARTBEAT <= now:
            self._worker.beat(session)
            freshness.alert(session, self._schemas, freshness.overdue(now, work, stale_since))
            self._beat_at = now

    def _connected(self) -> PsycopgSession:
        """Return the session of the main thread, which is made when there is none."""
        if self._session is None:
            session = connect(self._dsn, application_name="trickle-runtime serve")
            try:
                migrate.check(session, self._schemas)
                session.rollback()
                session.autocommit(lease.queries(self._schemas)["listen"])
                self._worker.beat(session)
            except BaseException:
                session.close()
                raise
            self._beat_at = None
            self._session = session
            _log("connected")
        return self._session

    def _recover(self, error: Exception, delay: float) -> None:
        """Give the session up, and wait before the next tick makes another."""
        known = isinstance(error, TrickleError)
        text = f"no tick, next attempt in {delay:.1f} s: {error}"
        facts = {"action": "tick_failed", "retry_in": round(delay, 1)}
        logger.error(text, extra=facts, exc_info=None if known else error)
        self._workers.renew()
        if self._session is not None:
            self._session.close()
            self._session = None
        self._wakeup.wait(delay)

    def _report_invalid(self, plan: policy.Plan) -> None:
        for pgt_id, error in plan.invalid.items():
            table = plan.tables[pgt_id]
            if (pgt_id, table.schedule) not in self._reported:
                self._reported.add((pgt_id, table.schedule))
                facts = {"action": "invalid_schedule", "stream_table": table.name}
                logger.error("%s is never due: %s", table.name, error, extra=facts)

    def _facts(self) -> dict[str, object]:
        return {
            "worker_id": self._worker.worker_id,
            "host": self._worker.host,
            "pid": self._worker.pid,
            "workers": self._settings.workers,
            "interval": self._settings.interval,
            "zone": str(self._settings.zone),
        }


def _log(
    action: str, facts: Mapping[str, object] | None = None, level: int = logging.INFO
) -> None:
    logger.log(level, action, extra={"action": action, **(facts or {})})
