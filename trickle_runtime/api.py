"""The verbs on stream tables: the only door into the runtime.

Invariant: thin. Every verb finds what its name means, calls one function of the layers below, and
leaves no transaction of its own open. It works on any ``Session``; where that has one open,
a verb that changes something commits it first, and one that only reads takes part in it.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from trickle_runtime.capture import cleanup
from trickle_runtime.catalog import migrate
from trickle_runtime.catalog.models import HistoryEntry, StreamTable
from trickle_runtime.catalog.store import Store
from trickle_runtime.config import Constraint, GateTest, Schemas, StreamTableOptions
from trickle_runtime.db.connection import PsycopgSession
from trickle_runtime.db.connection import connect as open_session
from trickle_runtime.db.session import Row, Session
from trickle_runtime.errors import AlreadyExists, InvalidConfig
from trickle_runtime.refresh import (
    alter,
    create,
    doctor,
    drop,
    engine,
    explain,
    filling,
    fuse,
    gate,
    inspect,
    named,
    recapture,
    redefine,
    verify,
)
from trickle_runtime.refresh import status as statuses
from trickle_runtime.refresh.names import Name, text
from trickle_runtime.refresh.result import (
    AlterResult,
    Check,
    ExplainedStep,
    FillProgress,
    Finding,
    RefreshResult,
    RewritePass,
    StreamTableInfo,
    StreamTableStatus,
    VerifyResult,
)

__all__ = [
    "AlterResult",
    "Check",
    "Constraint",
    "FillProgress",
    "Finding",
    "GateTest",
    "RefreshResult",
    "RewritePass",
    "Runtime",
    "StreamTableInfo",
    "StreamTableStatus",
    "VerifyResult",
    "connect",
]


@contextmanager
def connect(dsn: str = "", *, schemas: Schemas | None = None) -> Generator[Runtime]:
    """Open a runtime on a connection of its own; ``dsn`` is anything that libpq takes."""
    session = open_session(dsn)
    try:
        yield Runtime(session, schemas or Schemas())
    finally:
        session.close()


class Runtime:
    """All verbs, on one session.

    Names are texts as PostgreSQL reads them (``marts.revenue``, quoted where needed), or pairs of
    schema and name.
    """

    def __init__(self, session: Session, schemas: Schemas | None = None) -> None:
        self.session: Session = session
        self.schemas: Schemas = schemas or Schemas()

    def __enter__(self) -> Runtime:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(self.session, PsycopgSession):
            self.session.close()

    # The catalog.

    def install(self) -> int:
        """Create the catalog, or bring it to this version; returns the migrations applied."""
        return migrate.install(self.session, self.schemas)

    def upgrade(self) -> int:
        """Bring an installed catalog to this version; returns the migrations applied."""
        return migrate.upgrade(self.session, self.schemas)

    def check(self) -> None:
        """See that the catalog fits this program.

        Raises:
            NotInstalled: there is no catalog.
            VersionMismatch: it is older or newer.
        """
        with self._reading():
            migrate.check(self.session, self.schemas)

    def uninstall(self) -> None:
        """Remove every trace from the sources, then the catalog; stream tables stay as tables."""
        migrate.uninstall(self.session, self.schemas)

    # Definitions.

    def create_stream_table(
        self,
        name: Name,
        query: str,
        *,
        replace_relation: bool = False,
        gate: Sequence[GateTest] = (),
        constraints: Sequence[Constraint] = (),
        initiated_by: str = "manual",
        **options: Any,
    ) -> StreamTableInfo:
        """Create a stream table of a query, and fill it.

        Args:
            name: of a relation that does not exist.
            query: one SELECT.
            replace_relation: take the place of a table or view of that name, which is dropped at
                the end with all that depends on it; a stream table is altered instead.
            gate: tests that all content has to pass, the first included.
            constraints: on the table; what violates one is never committed.
            initiated_by: for the history.
            options: see ``StreamTableOptions``; what is not given has its default.

        Raises:
            AlreadyExists: there is a relation of that name.
            GateFailed, ConstraintViolated: by the first rows; nothing is left of the table.
            InvalidConfig: an option is unknown or has a value that is not allowed.
            InvalidQuery: PostgreSQL rejects the query.
            UnsupportedQuery: the requested mode is impossible.
        """
        with self._ended():
            migrate.check(self.session, self.schemas)
            parsed = StreamTableOptions.parse(options)
            existing = self._store().find(name) if replace_relation else None
            if existing is not None and existing.status != "initializing":
                raise AlreadyExists(
                    f"{existing.relation} is a stream table already", hint="Alter it."
                )
            return create.create(
                self.session,
                self.schemas,
                name,
                query,
                parsed,
                replace_relation=replace_relation,
                initiated_by=initiated_by,
                tests=gate,
                wanted=constraints,
            )

    def alter_stream_table(
        self,
        name: Name,
        *,
        query: str | None = None,
        gate: Sequence[GateTest] | None = None,
        constraints: Sequence[Constraint] | None = None,
        initiated_by: str = "manual",
        **options: Any,
    ) -> AlterResult:
        """Change query, options, gate or constraints; what is not given stays.

        Raises:
            GateFailed, ConstraintViolated: by the rows of the new query; nothing is changed.
        """
        with self._ended():
            return alter.alter(
                self.session,
                self.schemas,
                self._row(name),
                query,
                options,
                initiated_by=initiated_by,
                tests=gate,
                wanted=constraints,
            )

    def drop_stream_table(
        self,
        name: Name,
        *,
        cascade: bool = False,
        if_exists: bool = False,
        detach: bool = False,
    ) -> list[str]:
        """Drop a stream table, with ``cascade`` those above it; returns what was dropped.

        With ``detach`` those above stay and read what has its name at their next refresh.
        """
        with self._ended():
            if if_exists and self._store().find(name) is None:
                return []
            row = self._row(name)
            return drop.drop(self.session, self.schemas, row, cascade=cascade, detach=detach)

    def pause(self, name: Name) -> None:
        """Stop refreshing a stream table."""
        self._call("pause", name)

    def resume(self, name: Name) -> None:
        """Refresh a paused or suspended stream table again."""
        self._call("resume", name)

    def query(self, name: Name) -> str:
        """Return the query of a stream table as its author wrote it."""
        with self._reading():
            return self._row(name).query

    def gate(self, name: Name) -> tuple[GateTest, ...]:
        """Return the tests that new content of a stream table has to pass."""
        with self._reading():
            return gate.stored(self.session, self.schemas, self._id(name))

    def gate_differs(self, name: Name, tests: Sequence[GateTest]) -> bool:
        """Whether ``tests`` are another gate than the one that a stream table has."""
        with self._reading():
            return gate.differs(self.session, self.schemas, self._id(name), tests)

    def options(self, name: Name) -> StreamTableOptions:
        """Return the options of a stream table."""
        with self._reading():
            return redefine.options_of(self._row(name))

    def recapture(self, relation: Name, *, initiated_by: str = "manual") -> list[str]:
        """Capture a table that was put in the place of a source, before anybody refreshes.

        Returns the stream tables that read it; they are computed anew at their next refresh.
        """
        with self._ended():
            by = initiated_by
            return recapture.recapture(self.session, self.schemas, relation, initiated_by=by)

    # Refreshes.

    def refresh(
        self, name: Name, *, mode: str | None = None, initiated_by: str = "manual"
    ) -> RefreshResult:
        """Refresh a stream table, and stale ones below it first, at one snapshot.

        Raises:
            FuseBlown: its fuse is blown, or blows.
            GateFailed: a test of its gate fails on the new rows; its fuse is blown now.
            NotActive: it is paused.
            TrickleError: what made the refresh fail; nothing of it was applied.
        """
        if mode not in {None, "differential", "full"}:
            raise InvalidConfig(f"mode {mode!r} is not valid", hint="Modes: differential, full.")
        with self._ended():
            outcome = named.refresh(
                self.session,
                self.schemas,
                text(name),
                lambda: self._id(name),
                mode=mode,
                initiated_by=initiated_by,
            )
            if outcome.error is not None:
                raise outcome.error
            return outcome

    def refresh_all(
        self, *, within: Collection[str] | None = None, initiated_by: str = "manual"
    ) -> list[RefreshResult]:
        """Refresh every stream table with pending changes, each refresh group at one snapshot.

        Errors are in the results: one bad table does not stop the others. With ``within`` those of
        these schemas, and what they read.
        """
        with self._ended():
            wanted = None if within is None else {one.pgt_id for one in self._rows_in(within)}
            by = initiated_by
            return engine.run_all(self.session, self.schemas, wanted, initiated_by=by)

    def verify(self, name: Name) -> VerifyResult:
        """Refresh a stream table and compare it with its query at the same snapshot."""
        with self._ended():
            pgt_id = self._id(name)
            return verify.verify(self.session, self.schemas, [pgt_id])[0]

    def verify_all(self, *, within: Collection[str] | None = None) -> list[VerifyResult]:
        """Verify every stream table, of these schemas where ``within`` is given.

        One that can't be compared is not equal, with a note; it does not stop the others.
        """
        with self._ended():
            rows = [row for row in self._rows_in(within) if row.status != "initializing"]
            ids = [row.pgt_id for row in rows]
            return list(verify.verify_each(self.session, self.schemas, ids))

    def repair(self, name: Name) -> RefreshResult:
        """Bring a stream table to the exact image of its query, by a full difference."""
        return self.refresh(name, mode="full", initiated_by="repair")

    def wait(self, name: Name, timeout: float = 300) -> None:
        """Return when all that is committed now has arrived in the stream table.

        Raises:
            WaitTimeout: that took longer than ``timeout`` seconds.
        """
        with self._ended():
            statuses.wait(self.session, self.schemas, self._row(name), timeout)

    # The fuse.

    def reset_fuse(self, name: Name, *, action: str = "apply") -> None:
        """Reset a blown fuse: ``apply``, ``reinitialize`` or ``skip_changes``."""
        with self._ended():
            fuse.reset(self.session, self.schemas, name, action)
            self.session.commit()

    def fuse_status(
        self, name: Name | None = None, *, within: Collection[str] | None = None
    ) -> list[Row]:
        """Return the fuses, of one stream table or of some schemas where these are given."""
        with self._reading():
            if name is not None:
                ids = [self._id(name)]
            else:
                ids = [row.pgt_id for row in self._rows_in(within)]
            return inspect.fuse_status(self.session, self.schemas, ids)

    # Questions.

    def status(self, *names: Name) -> list[StreamTableStatus]:
        """Return how stream tables are: all, or the named ones."""
        with self._reading():
            ids = [self._id(name) for name in names] if names else None
            return statuses.status(self.session, self.schemas, ids)

    def fills(self) -> list[FillProgress]:
        """Return how far the creations of stream tables are, those of other sessions included."""
        with self._reading():
            return filling.progress(self.session, self.schemas)

    def history(self, name: Name, *, limit: int = 20) -> list[HistoryEntry]:
        """Return the last refreshes of a stream table, newest first."""
        with self._reading():
            return self._store().history(self._id(name), limit)

    def validate_query(self, query: str) -> list[Check]:
        """Return how a query would be maintained, and why; creates nothing."""
        with self._reading():
            return explain.validate_query(self.session, self.schemas, query)

    def explain_query_rewrite(self, query: str) -> list[RewritePass]:
        """Return what each pass of the compiler makes of a query."""
        with self._reading():
            return explain.explain_query_rewrite(self.session, self.schemas, query)

    def explain(self, name: Name) -> list[Check]:
        """Return the mode of a stream table and how each part of its query is maintained."""
        with self._reading():
            return explain.explain(self.session, self.schemas, self._row(name))

    def explain_delta(
        self, name: Name, changed: Sequence[str] | None = None, *, plan: bool = False
    ) -> list[ExplainedStep]:
        """Return the statements of a refresh after changes in some sources (default: all).

        Args:
            name: of the stream table.
            changed: names of the changed sources.
            plan: with PostgreSQL's plan of each statement for what is pending now.
        """
        with self._reading():
            row = self._row(name)
            return explain.explain_delta(self.session, self.schemas, row, changed, plan=plan)

    def diagnose_errors(self, name: Name) -> list[Row]:
        """Return the last 5 errors of a stream table with remedies."""
        return self._rows("diagnose_errors", name)

    def list_auxiliary_columns(self, name: Name) -> list[Row]:
        """Return everything that is kept for a stream table besides its columns."""
        return self._rows("list_auxiliary_columns", name)

    def doctor(self) -> list[Finding]:
        """Check privileges, triggers, indexes, buffers and workers."""
        with self._reading():
            return doctor.examine(self.session, self.schemas)

    # Upkeep.

    def cleanup(self, batch: int = 10_000) -> int:
        """Delete changes that every consumer has seen, and what is left of vanished sources."""
        with self._ended():
            return cleanup.cleanup(self.session, self.schemas, batch)

    def settings(self) -> Mapping[str, str]:
        """Return the settings of this database."""
        with self._reading():
            return self._store().settings()

    def set_setting(self, name: str, value: str) -> None:
        """Change a setting of this database."""
        with self._ended():
            self._store().set_setting(name, value)
            self.session.commit()

    def _store(self) -> Store:
        return Store(self.session, self.schemas)

    def _id(self, name: Name) -> int:
        """Return a stream table's number without reading all of its row, where there is one."""
        found = inspect.number(self.session, self.schemas, text(name))
        return self._row(name).pgt_id if found is None else found

    def _rows_in(self, within: Collection[str] | None) -> list[StreamTable]:
        return [row for row in self._store().all() if within is None or row.pgt_schema in within]

    def _row(self, name: Name) -> StreamTable:
        """Return a stream table, which may have got another oid by a dump and restore."""
        found = self._store().find(name)
        if found is None and inspect.rehome(self.session, self.schemas):
            self.session.commit()
        return found or self._store().get(name)

    def _call(self, function: str, name: Name) -> None:
        with self._ended():
            row = self._row(name)
            inspect.call(self.session, self.schemas, function, row.relation)
            self.session.commit()

    def _rows(self, function: str, name: Name) -> list[Row]:
        with self._reading():
            row = self._row(name)
            return inspect.call(self.session, self.schemas, function, text(row.relation))

    @contextmanager
    def _ended(self) -> Generator[None]:
        """Leave no transaction open: what failed is undone, what is left was only read."""
        try:
            yield
        finally:
            self.session.rollback()

    @contextmanager
    def _reading(self) -> Generator[None]:
        """Leave the transaction of a caller's own session alone (dbt's has its hooks in it)."""
        try:
            yield
        finally:
            if isinstance(self.session, PsycopgSession):
                self.session.rollback()
