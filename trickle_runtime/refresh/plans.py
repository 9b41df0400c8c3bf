"""Plans that the server keeps for a session: the statements of small refreshes, prepared.

Invariant: only parsing and planning are saved. What runs is the compiler's text, under the
settings it was parsed under; a plan is kept for changes of the size it was made for, and thrown
away when it takes much longer than it did at first. PostgreSQL itself plans again what an ANALYZE
or a DDL command has touched (manual, PREPARE).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from trickle_runtime.compiler.result import Step
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Row, Session, is_direct
from trickle_runtime.db.sql import render
from trickle_runtime.errors import DatabaseError
from trickle_runtime.refresh.members import queries

MOST = 128  # prepared statements of a session: each holds memory of its backend
SIZES = (32, 1024, 8192)  # changes; one plan serves up to each, more are planned every time
LOST = "26000"  # there is no such prepared statement
PATIENCE = 4.0  # times as long as a plan took at first
PATIENCE_MS = 20.0

_Key = tuple[str, int, tuple[tuple[str, str], ...]]


@dataclass
class _Plan:
    """A prepared statement."""

    name: str
    first_ms: float | None = None  # what the first execution took


class Plans:
    """The prepared statements of one session."""

    def __init__(self) -> None:
        self._plans: OrderedDict[_Key, _Plan] = OrderedDict()
        self._number = 0

    def execute(
        self,
        session: Session,
        schemas: Schemas,
        batch: Sequence[Step],
        changes: int,
        settings: Mapping[str, str],
        *,
        around: tuple[Sequence[str], Sequence[str]] = ((), ()),
    ) -> list[Row]:
        """Run a batch of steps for ``changes`` changes; return the rows of the last.

        Args:
            changes: number of changes that the batch brings in.
            settings: what the texts are parsed under.
            around: statements to send along, before and behind.
        """
        before, behind = around
        size = next((size for size in SIZES if changes <= size), None)
        if size is None:
            return session.execute(";\n".join([*before, *(step.sql for step in batch), *behind]))
        parsed_under = tuple(sorted(settings.items()))
        keys = [(step.sql, size, parsed_under) for step in batch]
        plans = [self._prepared(session, schemas, key) for key in keys]
        text = queries(schemas)["execute_prepared"]
        runs = [render(text, name=plan.name) for plan in plans]
        started = time.perf_counter()
        rows = self._run(session, ";\n".join([*before, *runs, *behind]))
        spent_ms = (time.perf_counter() - started) * 1000
        for key, plan in zip(keys, plans, strict=True):
            if plan.first_ms is None:
                plan.first_ms = spent_ms
            elif spent_ms > max(PATIENCE_MS, PATIENCE * plan.first_ms):
                self._forget(session, schemas, key)
        return rows

    def query(self, session: Session, schemas: Schemas, text: str) -> list[Row]:
        """Run a query of the catalog, whose plan does not depend on how much has changed."""
        plan = self._prepared(session, schemas, (text, 0, ()))
        return self._run(session, render(queries(schemas)["execute_prepared"], name=plan.name))

    def _run(self, session: Session, text: str) -> list[Row]:
        try:
            return session.execute(text)
        except DatabaseError as error:
            if error.sqlstate == LOST:  # DISCARD ALL, by somebody who has this session as well
                self._plans.clear()
            raise

    def _prepared(self, session: Session, schemas: Schemas, key: _Key) -> _Plan:
        found = self._plans.get(key)
        if found is None:
            while len(self._plans) >= MOST:
                self._forget(session, schemas, next(iter(self._plans)))
            self._number += 1
            found = _Plan(f"pgt_{self._number}")
            text = queries(schemas)["prepare"]
            session.execute(render(text, name=found.name, statement=key[0]))
            self._plans[key] = found
        self._plans.move_to_end(key)
        return found

    def _forget(self, session: Session, schemas: Schemas, key: _Key) -> None:
        """Let go of a plan: what it reads may have grown since, or others need its place."""
        plan = self._plans.pop(key)
        session.execute(render(queries(schemas)["deallocate"], name=plan.name))


_KNOWN: WeakKeyDictionary[Session, Plans] = WeakKeyDictionary()


def of(session: Session, backend_pid: int) -> Plans | None:
    """Return the session's plans; None where it may be another backend's next time.

    A pooler that hands out connections per transaction announces a process of its own.
    """
    if not is_direct(session) or session.announced_pid != backend_pid:
        return None
    return _KNOWN.setdefault(session, Plans())


def keepable(steps: Sequence[Step]) -> bool:
    """Whether a plan for these steps outlives the refresh: none of them makes a table."""
    return all(step.kind != "utility" for step in steps)
