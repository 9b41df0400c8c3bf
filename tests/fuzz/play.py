"""Plays a case against a database: tables, stream tables, history, checks at each refresh.

Invariant: a stream table that failed is not touched again, nor are those above it; the others go
on. A statement that fails ends its transaction, whose rest is skipped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg

from tests.fuzz import checks, determinism
from tests.fuzz.checks import Failure, Outcome
from tests.fuzz.steps import Case, Create, Refresh, Sql, Step
from trickle_runtime.api import Runtime
from trickle_runtime.db.connection import connect

if TYPE_CHECKING:
    from trickle_runtime.refresh.result import StreamTableInfo

_SETTINGS = "SET lock_timeout = '3s'; SET statement_timeout = '20s'"


@dataclass
class Player:
    """One case in one database."""

    rt: Runtime
    writer: psycopg.Connection[Any]
    other: psycopg.Connection[Any]
    case: Case
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    created: dict[str, StreamTableInfo] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)  # of every stream table
    on_created: Callable[[str, StreamTableInfo], None] | None = None
    _lost: set[str] = field(default_factory=set)
    _skipping: dict[bool, bool] = field(default_factory=lambda: {False: False, True: False})

    def play(self, *, until_failure: bool = False) -> list[Failure]:
        """Everything, or up to the first failure."""
        self.set_up()
        later = self.case.created_later()
        for name in self.case.streams:
            if name not in later:
                self.create(name, -1)
        self.go_on(until_failure=until_failure)
        return self.failures

    def set_up(self) -> None:
        """Make the tables."""
        for statement in self.case.setup:
            self.writer.execute(statement)

    def go_on(self, *, until_failure: bool = False) -> None:
        """The history."""
        for number, step in enumerate(self.case.steps):
            if until_failure and self.failures:
                break
            self.step(number, step)
        self.finish()

    def finish(self) -> None:
        """Leave no transaction of a writer open."""
        for connection in (self.writer, self.other):
            _rollback(connection)

    def step(self, number: int, step: Step) -> None:
        """One step."""
        if isinstance(step, Sql):
            self._write(step)
        elif isinstance(step, Create):
            self.create(step.name, number)
        elif step.name in self.created and not self._is_lost(step.name):
            self._refresh(number, step)

    def create(self, name: str, number: int) -> bool:
        """Create a stream table; whether it is there."""
        query = self.case.streams[name]
        if self._is_lost(name):
            return False
        try:
            info = self.rt.create_stream_table(
                f"public.{name}", query, schedule="1h", **self.options
            )
        except Exception as error:  # the crash oracle looks at whatever comes
            failure = checks.creation_failure(self.rt, query, error)
            self.counts["refused at creation"] += 1
            self._lost.add(name)
            if failure is not None:
                self._fail(name, number, *failure)
            return False
        self.created[name] = info
        internal = [one.message for one in info.reasons if one.code == "INTERNAL"]
        if internal:
            self._fail(name, number, "internal", internal[0])
        if self.on_created is not None:
            self.on_created(name, info)
        found = checks.filled(self.rt, f"public.{name}", query)
        if found is not None:
            self._fail(name, number, *found)
        return found is None

    def check(self, name: str, test: str) -> None:
        """NoREC and TLP with one condition."""
        if name in self.created and not self._is_lost(name):
            columns = [column for column, _ in self.created[name].columns]
            query = self.case.streams[name]
            found = checks.sqlancer(self.rt, f"public.{name}", query, columns, test)
            self.counts["NoREC and TLP checks"] += 1
            if found is not None:
                self._fail(name, len(self.case.steps), *found)

    def check_parts(self, whole: str, parts: Sequence[str]) -> None:
        """TLP over stream tables that were refreshed together."""
        if all(name in self.created and not self._is_lost(name) for name in (whole, *parts)):
            names = [f"public.{part}" for part in parts]
            found = checks.partition(self.rt, f"public.{whole}", names)
            self.counts["TLP checks over stream tables"] += 1
            if found is not None:
                self._fail(whole, len(self.case.steps), *found)

    def _refresh(self, number: int, step: Refresh) -> None:
        differential = self.created[step.name].effective_mode == "differential"
        name, query = f"public.{step.name}", self.case.streams[step.name]
        outcome = checks.refresh(self.rt, name, query, differential=differential, mode=step.mode)
        self._count(outcome)
        if outcome.failure is not None:
            self._fail(step.name, number, *outcome.failure)

    def _count(self, outcome: Outcome) -> None:
        self.counts["refreshes"] += 1
        self.counts["refresh comparisons"] += outcome.compared
        self.counts["delta comparisons"] += outcome.delta_compared
        self.counts["refreshes whose query raises"] += outcome.raised
        self.counts["refreshes that changed rows"] += outcome.changed
        self.counts["refreshes of more than 2 s"] += outcome.seconds > 2
        if outcome.action:
            self.counts[f"action {outcome.action}"] += 1

    def _fail(self, name: str, number: int, kind: str, message: str) -> None:
        self._lost.add(name)
        if kind == "slow":  # often a heavy branch that the query need not compute
            self.counts["refreshes over the time limit"] += 1
            return
        failure = Failure(kind, name, number, message)
        query = self.case.streams[name]
        if not failure.is_error and not determinism.determined(self.rt.session, query):
            self.counts["queries with several answers"] += 1
        else:
            self.failures.append(failure)

    def _is_lost(self, name: str) -> bool:
        """Whether it, or one that its query reads, has failed."""
        query = self.case.streams[name]
        below = {one for one in self.case.streams if one != name and reads(query, one)}
        return name in self._lost or any(self._is_lost(one) for one in below)

    def _write(self, step: Sql) -> None:
        connection = self.other if step.other else self.writer
        ends = step.sql in {"COMMIT", "ROLLBACK"}
        if self._skipping[step.other]:
            self._skipping[step.other] = not ends
            return
        try:
            connection.execute(step.sql)
            self.counts["statements"] += 1
        except psycopg.Error:
            self.counts["statements that failed"] += 1
            self._skipping[step.other] = _rollback(connection) and not ends


def reads(query: str, stream: str) -> bool:
    """Whether a query names a stream table; their names are made for this."""
    return f"{stream} AS " in query


def _rollback(connection: psycopg.Connection[Any]) -> bool:
    """End an open transaction; whether there was one."""
    was_open = connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
    if was_open:
        connection.execute("ROLLBACK")
    return was_open


@contextmanager
def player(dsn: str, case: Case) -> Generator[Player]:
    """A player with its sessions; the runtime's statements have a time limit."""
    with (
        psycopg.connect(dsn, autocommit=True) as writer,
        psycopg.connect(dsn, autocommit=True) as other,
        connect(dsn) as session,
    ):
        for connection in (writer, other):
            connection.execute(_SETTINGS)
        session.connection.execute("SET statement_timeout = '20s'")
        runtime = Runtime(session)
        runtime.set_setting("statement_timeout", "20s")
        yield Player(runtime, writer, other, case)
