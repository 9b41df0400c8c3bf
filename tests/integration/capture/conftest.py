"""A consumer without the refresh engine: a copy of a source, kept by its change buffer.

The copy holds the text of each column, which is stricter than ``=`` and works for all types.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from trickle_runtime.capture import buffer, fingerprint, install, pending
from trickle_runtime.catalog.models import Dependency
from trickle_runtime.catalog.store import Store
from trickle_runtime.config import Schemas
from trickle_runtime.db import sql
from trickle_runtime.db.connection import PsycopgSession, connect

S = Schemas()
_numbers = itertools.count(1)

_CHANGES = """
SELECT {columns}, CASE WHEN op IN ('I', 'A') THEN 1 ELSE -1 END AS w
FROM {view} WHERE NOT pg_visible_in_snapshot(xid, %(frontier)s::pg_snapshot)
"""
_VERIFY = """
WITH changes AS MATERIALIZED ({changes}),
    source AS MATERIALIZED (SELECT {texts} FROM {source} t),
    expected AS (SELECT * FROM source UNION ALL SELECT {names} FROM changes WHERE w < 0),
    actual AS (SELECT {names} FROM {copy} UNION ALL SELECT {names} FROM changes WHERE w > 0)
SELECT * FROM (
    SELECT 'missing' AS problem, m.* FROM (TABLE expected EXCEPT ALL TABLE actual) m
    UNION ALL
    SELECT 'unexpected', u.* FROM (TABLE actual EXCEPT ALL TABLE expected) u
) d
"""


@dataclass
class Consumer:
    """A registered consumer of one source, which checks its deltas against the source."""

    session: PsycopgSession
    source: str
    attnums: tuple[int, ...]
    pgt_id: int = 0
    relid: int = 0
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def copy(self) -> str:
        return f"consumer_{self.number}"

    @property
    def store(self) -> Store:
        return Store(self.session, S)

    def register(self) -> Consumer:
        """Phase 0: catalog rows and a provisional frontier, as the engine writes them."""
        names = ", ".join(f"c{attnum} text" for attnum in self.attnums)
        self.session.execute(
            f"CREATE TABLE {self.copy} ({names}); ALTER TABLE {self.copy} REPLICA IDENTITY FULL"
        )
        relid = self.store.resolve(self.source)
        assert relid is not None
        self.relid = relid
        own = self.store.resolve(self.copy)
        assert own is not None
        self.pgt_id = self.store.insert(
            pgt_relid=own, pgt_schema="x", pgt_name=self.copy, query="", canonical_query=""
        )
        name = self.session.execute(
            "SELECT format('%%I.%%I', relnamespace::regnamespace::name, relname) AS name"
            " FROM pg_class WHERE oid = %(relid)s",
            {"relid": relid},
        )[0]["name"]
        self.store.set_dependencies(
            self.pgt_id,
            [Dependency(self.pgt_id, relid, name, "table", None, self.attnums)],
        )
        self.store.register_frontier(self.pgt_id)
        self.session.commit()
        return self

    def capture(self) -> install.CaptureResult:
        return install.ensure_capture(self.session, S, self.relid, self.attnums)

    def begin(self) -> str:
        """Open a pass: lock, then the snapshot."""
        self.session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self.session.execute(f"LOCK TABLE {self.source} IN ACCESS SHARE MODE")
        return self.session.execute("SELECT pg_current_snapshot()::text AS s")[0]["s"]

    def fill(self, snapshot: str | None = None) -> Consumer:
        """Copy the source and record the frontier."""
        snapshot = snapshot or self.begin()
        self.session.execute(
            f"DELETE FROM {self.copy}; INSERT INTO {self.copy} SELECT {self._texts()}"
            f" FROM {self.source} t"
        )
        self._advance(snapshot)
        self.session.commit()
        return self

    def pending(self) -> pending.Pending | None:
        """What is pending now, in a transaction of its own."""
        found = self._pending()
        self.session.commit()
        return found

    def _pending(self) -> pending.Pending | None:
        return pending.count(self.session, S, [self.pgt_id])[self.pgt_id].get(self.relid)

    def changes(self) -> list[tuple[object, ...]]:
        """Pending signed rows, as text, in order."""
        rows = self.session.execute(self._changes(), {"frontier": self.frontier()})
        self.session.commit()
        return sorted((tuple(row.values()) for row in rows), key=str)

    def frontier(self) -> str:
        return self.store.frontiers([self.pgt_id])[self.pgt_id].snapshot

    def refresh(self) -> str:
        """Check the delta at a new snapshot, then take the source's rows; says what it did."""
        snapshot = self.begin()
        found = self._pending()
        if found is not None and found.difference:
            self.fill(snapshot)
            return "difference"
        wrong = self.session.execute(
            _VERIFY.format(
                changes=self._changes(),
                texts=self._texts().replace("%", "%%"),
                names=", ".join(f"c{a}" for a in self.attnums),
                source=self.source.replace("%", "%%"),
                copy=self.copy,
            ),
            {"frontier": self.frontier()},
        )
        assert not wrong, f"copy + delta is not the source: {wrong}"
        self.fill(snapshot)
        return "differential" if found else "nothing"

    def _advance(self, snapshot: str) -> None:
        frontier = self.store.frontiers([self.pgt_id])[self.pgt_id]
        assert self.store.advance_frontier(self.pgt_id, frontier.version, snapshot, {}, 0)

    def _texts(self) -> str:
        rows = self.session.execute(
            "SELECT attnum, attname::text AS name FROM pg_attribute WHERE attrelid = %(r)s"
            " AND attnum > 0",
            {"r": self.relid},
        )
        names = {row["attnum"]: row["name"] for row in rows}
        return ", ".join(f"t.{sql.quote_ident(names[a])}::text AS c{a}" for a in self.attnums)

    def _changes(self) -> str:
        union = buffer.delta_relation(self.session, S, self.relid, self.attnums)
        columns = ", ".join(f"c{attnum}::text" for attnum in self.attnums)
        return _CHANGES.format(columns=columns, view=union.relation)


def attnums(session: PsycopgSession, source: str, *names: str) -> tuple[int, ...]:
    rows = session.execute(
        "SELECT attnum FROM pg_attribute WHERE attrelid = %(s)s::regclass AND attnum > 0"
        " AND NOT attisdropped AND (%(n)s::text[] = '{}' OR attname = ANY (%(n)s::text[]))"
        " ORDER BY attnum",
        {"s": source, "n": list(names)},
    )
    return tuple(row["attnum"] for row in rows)


@pytest.fixture
def consumer(session: PsycopgSession) -> Callable[..., Consumer]:
    """``consumer(source, *columns)``: captured and filled; no columns means all."""

    def make(source: str, *columns: str) -> Consumer:
        made = Consumer(session, source, attnums(session, source, *columns)).register()
        made.capture()
        return made.fill()

    return make


@pytest.fixture
def issues(session: PsycopgSession) -> Callable[[], list[str]]:
    """``issues()``: the kinds of all issues there are now."""

    def check() -> list[str]:
        found = fingerprint.check(session, S)
        session.commit()
        return [issue.kind for issue in found]

    return check


@pytest.fixture
def other(database: str) -> Iterator[Callable[[], PsycopgSession]]:
    """``other()``: one more session in the test's database."""
    sessions: list[PsycopgSession] = []

    def open_session() -> PsycopgSession:
        sessions.append(connect(database))
        return sessions[-1]

    yield open_session
    for session in sessions:
        session.close()


@pytest.fixture
def write(database: str) -> Iterator[Callable[[str], None]]:
    """``write(sql)``: an application's statements, committed, on a connection of their own."""
    with connect(database) as session:

        def run(statements: str) -> None:
            try:
                session.execute(statements)
                session.commit()
            finally:
                session.rollback()

        yield run


@pytest.fixture
def until_blocked(session, other, wait_until) -> Iterator[Callable[..., Future[object]]]:
    """``until_blocked(session, action)``: start ``action``; return when it waits for a lock."""
    watcher = other()

    def waits(pid: int) -> bool:
        rows = watcher.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = %(pid)s AND NOT granted) AS waits",
            {"pid": pid},
        )
        watcher.commit()
        return rows[0]["waits"]

    with ThreadPoolExecutor() as pool:

        def start(blocked: PsycopgSession, action: Callable[[], object]) -> Future[object]:
            future = pool.submit(action)
            pid = blocked.connection.info.backend_pid
            wait_until(lambda: future.done() or waits(pid))
            assert not future.done(), "it did not have to wait"
            return future

        yield start
