"""Errors of the runtime, in PostgreSQL's shape: message, detail, hint, code.

Invariant: every error a user can meet is one of these classes; ``psycopg.Error`` is translated
in ``trickle_runtime.db`` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class TrickleError(Exception):
    """Base of all errors of the runtime."""

    code = "TR000"

    def __init__(self, message: str, detail: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        parts = [self.message]
        if self.detail:
            parts.append(f"DETAIL: {self.detail}")
        if self.hint:
            parts.append(f"HINT: {self.hint}")
        return "\n".join(parts)


class CompileError(TrickleError):
    """The query of a stream table could not be compiled."""

    code = "TR100"


class InvalidQuery(CompileError):
    """PostgreSQL rejects the query: fix the SQL."""

    code = "TR101"


class UnsupportedQuery(CompileError):
    """The query can't be maintained the requested way; the hint names the alternative."""

    code = "TR102"


class QueryTooComplex(CompileError):
    """The query is nested deeper, or is larger, than the limits in ``pgt_settings`` allow."""

    code = "TR103"


class InvalidConfig(TrickleError):
    """An option has a value that is not allowed; the message names the option and the values."""

    code = "TR110"


class CatalogError(TrickleError):
    """The catalog does not allow what was asked."""

    code = "TR200"


class NotInstalled(CatalogError):
    """The catalog is missing: run ``trickle-runtime install``."""

    code = "TR201"


class VersionMismatch(CatalogError):
    """The catalog is older or newer than this program: run ``trickle-runtime upgrade``."""

    code = "TR202"


class StreamTableNotFound(CatalogError):
    """There is no stream table of that name."""

    code = "TR203"


class AlreadyExists(CatalogError):
    """A relation of that name exists already."""

    code = "TR204"


class DependencyCycle(CatalogError):
    """The query would make a stream table depend on itself."""

    code = "TR205"


@dataclass(frozen=True)
class View:
    """A view that holds a table or some of its columns in place."""

    schema: str
    name: str
    materialized: bool


class HasDependants(CatalogError):
    """Other stream tables read this one: drop them first, or pass ``cascade``.

    ``views``: without them it would be possible; none: something else is in the way.
    """

    code = "TR206"

    def __init__(
        self,
        message: str,
        detail: str | None = None,
        hint: str | None = None,
        views: Sequence[View] = (),
    ) -> None:
        super().__init__(message, detail, hint)
        self.views = tuple(views)


class CaptureError(TrickleError):
    """Changes of a source could not be captured."""

    code = "TR300"


class SourceNotFound(CaptureError):
    """A source table of the query does not exist any more."""

    code = "TR301"


class SourceChanged(CaptureError):
    """A source changed in a way that the stream table can't follow (a used column is gone)."""

    code = "TR302"


class RowSecurity(CaptureError):
    """Row security policies of a source apply to our role: grant BYPASSRLS or drop them."""

    code = "TR303"


class RefreshError(TrickleError):
    """A refresh failed; nothing of it was applied."""

    code = "TR400"


class FuseBlown(RefreshError):
    """The fuse of the stream table is blown: look at the backlog, then reset the fuse."""

    code = "TR401"


class Diverged(RefreshError):
    """The stored rows do not match the delta: something else wrote to the stream table."""

    code = "TR402"


class NotActive(RefreshError):
    """The stream table is paused or suspended."""

    code = "TR403"


class WaitTimeout(RefreshError):
    """The awaited state was not reached in the given time."""

    code = "TR404"


class GateFailed(RefreshError):
    """A test of the stream table's gate fails on the new content; nothing was applied."""

    code = "TR405"

    def __init__(self, name: str, failures: Mapping[int, float], tests: Sequence[str]) -> None:
        super().__init__(
            f"the gate of {name} does not let its new content through",
            detail="; ".join(tests),
            hint=f"Correct the data, then run: trickle-runtime fuse reset {name}"
            " --action reinitialize (or apply, which accepts these failures; skip_changes).",
        )
        self.failures = failures  # by the positions of the tests


class ConstraintViolated(RefreshError):
    """New rows violate the key or a constraint of the stream table; nothing was applied."""

    code = "TR406"


class FuseNotBlown(CatalogError):
    """``reset_fuse`` was called for a fuse that is not blown."""

    code = "TR207"


class DatabaseError(TrickleError):
    """PostgreSQL answered with an error; ``sqlstate`` has its code."""

    code = "TR500"

    def __init__(
        self,
        message: str,
        detail: str | None = None,
        hint: str | None = None,
        sqlstate: str | None = None,
    ) -> None:
        super().__init__(message, detail, hint)
        self.sqlstate = sqlstate

    @property
    def transient(self) -> bool:
        """Whether a retry may succeed: serialization, deadlock, lock, connection, resources.

        Classes 08, 40, 53, 57 and code 55P03 (PostgreSQL manual, appendix A).
        """
        state = self.sqlstate
        return state is None or state[:2] in {"08", "40", "53", "57"} or state == "55P03"


class ConnectionFailed(DatabaseError):
    """No connection to the database could be made."""

    code = "TR501"


class EmbeddedServerError(TrickleError):
    """No private PostgreSQL was found, or it did not start; the detail has what was tried."""

    code = "TR600"


class InternalError(TrickleError):
    """A bug of ours; please report the message and the query."""

    code = "TR900"
