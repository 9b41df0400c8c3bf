"""One method for each named statement of ``queries.sql``.

Invariant: nothing here commits or rolls back; the caller owns the transaction. A stream table's
name is resolved by PostgreSQL (``to_regclass``), so renaming it changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, TypeAlias

from trickle_runtime import errors
from trickle_runtime.catalog.models import (
    Buffer,
    Dependency,
    Frontier,
    HistoryEntry,
    Source,
    StreamTable,
    Worker,
    from_row,
)
from trickle_runtime.config import Schemas
from trickle_runtime.db import sql
from trickle_runtime.db.session import Row, Session

Name: TypeAlias = str | tuple[str, str]

_FIXED = {"pgt_id", "created_at", "updated_at"}
_COLUMNS = {field.name for field in fields(StreamTable)} - _FIXED
_REQUIRED = ("pgt_relid", "pgt_schema", "pgt_name", "query", "canonical_query")


class Store:
    """The catalog, through a session."""

    def __init__(self, session: Session, schemas: Schemas) -> None:
        self._session: Session = session
        self._queries: dict[str, str] = sql.load_queries("catalog/queries.sql", schemas)

    def resolve(self, name: Name) -> int | None:
        """Return the oid of the relation that a name means on this search path."""
        text = name if isinstance(name, str) else sql.qualified(*name)
        return self._run("resolve", name=text)[0]["relid"]

    def find(self, name_or_relid: Name | int) -> StreamTable | None:
        """Return a stream table by name or oid, if there is one."""
        relid = name_or_relid if isinstance(name_or_relid, int) else self.resolve(name_or_relid)
        rows = self._run("by_relid", relid=relid) if relid is not None else []
        return from_row(StreamTable, rows[0]) if rows else None

    def get(self, name_or_relid: Name | int) -> StreamTable:
        """Return a stream table by name or oid; ``StreamTableNotFound`` where there is none."""
        found = self.find(name_or_relid)
        if found is None:
            raise errors.StreamTableNotFound(
                f"there is no stream table {name_or_relid}",
                hint="List them by trickle-runtime status.",
            )
        return found

    def by_id(self, pgt_id: int) -> StreamTable:
        """Return a stream table by its number; ``StreamTableNotFound`` where there is none."""
        rows = self._run("by_ids", pgt_ids=[pgt_id])
        if not rows:
            raise errors.StreamTableNotFound(f"there is no stream table with id {pgt_id}")
        return from_row(StreamTable, rows[0])

    def all(self, pgt_ids: Sequence[int] | None = None) -> list[StreamTable]:
        """Return all stream tables, or those of the given numbers, in order of creation."""
        ids = None if pgt_ids is None else list(pgt_ids)
        return [from_row(StreamTable, row) for row in self._run("by_ids", pgt_ids=ids)]

    def insert(
        self,
        *,
        pgt_relid: int,
        pgt_schema: str,
        pgt_name: str,
        query: str,
        canonical_query: str,
        **columns: object,
    ) -> int:
        """Add a stream table; further columns as in ``update``. Returns its number."""
        values = (pgt_relid, pgt_schema, pgt_name, query, canonical_query)
        row = self._run("insert", **dict(zip(_REQUIRED, values, strict=True)))[0]
        if columns:
            self.update(row["pgt_id"], **columns)
        return row["pgt_id"]

    def update(self, pgt_id: int, **columns: object) -> None:
        """Set columns of a stream table; those not given keep their values."""
        if unknown := columns.keys() - _COLUMNS:
            raise errors.InternalError(f"not columns that may be set: {sorted(unknown)}")
        if not self._run("update", pgt_id=pgt_id, values=_json(columns)):
            raise errors.StreamTableNotFound(f"there is no stream table with id {pgt_id}")

    def delete(self, pgt_id: int) -> None:
        """Remove a stream table with its dependencies, frontier and compiled statements."""
        self._run("delete", pgt_id=pgt_id)

    def dependencies(self, pgt_id: int) -> list[Dependency]:
        """Return what a stream table reads."""
        return self.all_dependencies([pgt_id])

    def all_dependencies(self, pgt_ids: Sequence[int] | None = None) -> list[Dependency]:
        """Return what all stream tables, or those of the given numbers, read."""
        ids = None if pgt_ids is None else list(pgt_ids)
        return [from_row(Dependency, row) for row in self._run("dependencies", pgt_ids=ids)]

    def dependants(self, source_relid: int) -> list[int]:
        """Return the numbers of the stream tables that read a relation."""
        rows = self._run("dependants", source_relid=source_relid)
        return [row["pgt_id"] for row in rows]

    def set_dependencies(self, pgt_id: int, dependencies: Iterable[Dependency]) -> None:
        """Replace what a stream table reads."""
        rows = _json([asdict(dependency) for dependency in dependencies])
        self._run("set_dependencies", pgt_id=pgt_id, rows=rows)

    def frontiers(self, pgt_ids: Sequence[int]) -> dict[int, Frontier]:
        """Return the frontiers of stream tables by number."""
        rows = self._run("frontiers", pgt_ids=list(pgt_ids))
        return {row["pgt_id"]: from_row(Frontier, row) for row in rows}

    def register_frontier(self, pgt_id: int) -> None:
        """Record a provisional frontier at the current snapshot; an existing one stays."""
        self._run("register_frontier", pgt_id=pgt_id)

    def advance_frontier(
        self,
        pgt_id: int,
        version: int,
        snapshot: str,
        upstream: Mapping[str, int],
        refresh_no: int,
    ) -> bool:
        """Move a frontier if it still has the version that was read; whether it had."""
        return bool(
            self._run(
                "advance_frontier",
                pgt_id=pgt_id,
                version=version,
                snapshot=snapshot,
                upstream=_json(upstream),
                refresh_no=refresh_no,
            )
        )

    def insert_history(self, entry: HistoryEntry) -> int:
        """Record a refresh; returns its number."""
        return self._run("insert_history", **asdict(entry))[0]["refresh_id"]

    def history(self, pgt_id: int | None, limit: int) -> list[HistoryEntry]:
        """Return the latest refreshes of a stream table, or of all, newest first."""
        rows = self._run("history", pgt_id=pgt_id, limit=limit)
        return [from_row(HistoryEntry, row) for row in rows]

    def prune_history(self) -> None:
        """Delete history that is older than the setting ``history_retention``."""
        self._run("prune_history")

    def get_compiled(
        self, pgt_id: int, changed: str, definition_version: int, compiler_version: str
    ) -> Any | None:
        """Return the stored steps for a set of changed sources, if they are of these versions."""
        rows = self._run(
            "get_compiled",
            pgt_id=pgt_id,
            changed=changed,
            definition_version=definition_version,
            compiler_version=compiler_version,
        )
        return rows[0]["steps"] if rows else None

    def set_compiled(
        self,
        pgt_id: int,
        changed: str,
        definition_version: int,
        compiler_version: str,
        steps: object,
    ) -> None:
        """Store the steps for a set of changed sources."""
        self._run(
            "set_compiled",
            pgt_id=pgt_id,
            changed=changed,
            definition_version=definition_version,
            compiler_version=compiler_version,
            steps=_json(steps),
        )

    def clear_compiled(self, pgt_id: int) -> None:
        """Forget all stored steps of a stream table."""
        self._run("clear_compiled", pgt_id=pgt_id)

    def setting(self, name: str) -> str:
        """Return a setting; ``InvalidConfig`` where there is none of that name."""
        rows = self._run("setting", name=name)
        if not rows:
            raise errors.InvalidConfig(f"there is no setting {name!r}")
        return rows[0]["value"]

    def settings(self) -> dict[str, str]:
        """Return all settings."""
        return {row["name"]: row["value"] for row in self._run("settings")}

    def set_setting(self, name: str, value: str) -> None:
        """Change a setting; ``InvalidConfig`` where there is none of that name."""
        if not self._run("set_setting", name=name, value=value):
            raise errors.InvalidConfig(f"there is no setting {name!r}")

    def source(self, source_relid: int) -> Source | None:
        """Return a captured table, if it is one."""
        rows = self._run("source", source_relid=source_relid)
        return from_row(Source, rows[0]) if rows else None

    def sources(self) -> list[Source]:
        """Return all captured tables."""
        return [from_row(Source, row) for row in self._run("sources")]

    def buffers(self, source_relid: int | None = None) -> list[Buffer]:
        """Return the change buffers of a source, or all, oldest first."""
        return [from_row(Buffer, row) for row in self._run("buffers", source_relid=source_relid)]

    def heartbeat(self, worker_id: str, host: str, pid: int, version: str) -> None:
        """Register a worker, or say that it is alive."""
        self._run("heartbeat", worker_id=worker_id, host=host, pid=pid, version=version)

    def workers(self) -> list[Worker]:
        """Return the registered workers."""
        return [from_row(Worker, row) for row in self._run("workers")]

    def remove_workers(self, worker_id: str | None, silent_for: str = "1 hour") -> None:
        """Remove a worker, and those that have been silent for an interval."""
        self._run("remove_workers", worker_id=worker_id, silent_for=silent_for)

    def _run(self, statement: str, /, **params: object) -> list[Row]:
        return self._session.execute(self._queries[statement], params)


def _json(value: object) -> str:
    return json.dumps(value, default=_plain)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise errors.InternalError(f"can't be stored as JSON: {value!r}")
