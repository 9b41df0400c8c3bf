"""Compiled statements per set of changed sources: in memory, in the catalog, or compiled anew.

Invariant: a statement is found again only for the same definition, the same compiler, the same
names of relations and the same live buffers as it was compiled for; whatever differs is part of
the key. The caller has given the transaction the table's session settings.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from importlib import resources
from threading import Lock

from trickle_runtime.analysis import Analysis, analyse
from trickle_runtime.compiler.apply import Target
from trickle_runtime.compiler.result import Step
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.errors import InternalError, UnsupportedQuery
from trickle_runtime.refresh import definition
from trickle_runtime.refresh.members import Member, Observation, queries
from trickle_runtime.storage import partitioning

FULL = "full"
STAGED_FROM_MS = 100.0  # of the last time the query was computed
_Key = tuple[object, ...]


@cache
def compiler_version() -> str:
    """Return a digest of the compiler: statements of another one are not used."""
    digest = hashlib.sha256()
    folders = [resources.files("trickle_runtime").joinpath("compiler")]
    while folders:
        for entry in sorted(folders.pop().iterdir(), key=lambda one: one.name):
            if entry.is_dir():
                folders.append(entry)
            elif entry.name.endswith(".py"):
                digest.update(entry.read_bytes())
    return digest.hexdigest()[:16]


class Memory:
    """Statements of many tables, the longest unused forgotten first."""

    def __init__(self, size: int = 2_000) -> None:
        self._size = size
        self._lock = Lock()  # workers of one daemon share it
        self._entries: OrderedDict[_Key, tuple[Step, ...]] = OrderedDict()

    def get(self, key: _Key) -> tuple[Step, ...] | None:
        """Return the statements of ``key``, if they are still known."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
            return self._entries.get(key)

    def put(self, key: _Key, steps: tuple[Step, ...]) -> None:
        """Remember statements."""
        with self._lock:
            self._entries[key] = steps
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)


MEMORY = Memory()


class Statements:
    """The compiled statements that one pass uses."""

    def __init__(self, session: Session, schemas: Schemas, seen: Observation) -> None:
        self._session = session
        self._schemas = schemas
        self._database = (seen.system_identifier, seen.database, schemas.prefix)
        self._fresh: list[tuple[Member, str, tuple[Step, ...]]] = []

    def get(
        self,
        member: Member,
        changed: frozenset[int] | None,
        *,
        materialise: bool = False,
        staged: bool = False,
    ) -> tuple[Step, ...]:
        """Return the steps for a set of changed sources, or for a full difference (None).

        Args:
            member: the stream table.
            changed: relids of the sources with pending changes.
            materialise: see ``Plan.delta_steps``.
            staged: see ``Apply.replaced``; that of a long query is staged in any case.
        """
        staged = changed is None and (staged or _is_long(member))
        variant = _variant(member, changed, materialise, staged)
        key = (
            *self._database,
            member.pgt_id,
            member.created_at,
            member.definition_version,
            compiler_version(),
            variant,
        )
        found = MEMORY.get(key)
        if found is None:
            found = _stored(self._session, self._schemas, member, variant)
        if found is None:
            found = _compile(self._session, self._schemas, member, changed, materialise, staged)
            self._fresh.append((member, variant, found))
        MEMORY.put(key, found)
        return found

    def store(self) -> None:
        """Keep what was compiled; after the pass, since rows written in it can conflict."""
        for member, variant, found in self._fresh:
            _store(self._session, self._schemas, member, variant, found)
        self._fresh.clear()


def target(member: Member) -> Target:
    """Return what the compiler must know of the table that it writes."""
    spec = partitioning.parse(member.partition_by, member.columns)
    return Target(
        pgt_id=member.pgt_id,
        relation=member.relation or "",
        log=member.logged,
        partition_columns=() if spec is None else tuple(spec.columns),
        sequential=bool(member.plan.get("sequential")),
    )


def analysis_of(session: Session, schemas: Schemas, member: Member) -> Analysis:
    """Analyse the stored query again: its columns were fixed when it was created."""
    unique_key = member.plan.get("unique_key")
    analysis = analyse(
        session,
        member.canonical_query,
        schemas=schemas,
        target=target(member),
        unique_key=unique_key,
        force_full=member.effective_mode == "full",
        polled=[one.recorded for one in member.sources if one.mode == "poll"],
        limited=False,
    )
    return definition.with_views(analysis, schemas)


def _is_long(member: Member) -> bool:
    """Whether computing the query is worth a temporary table, for parallel workers."""
    return member.full is not None and member.full.duration_ms > STAGED_FROM_MS


def _variant(
    member: Member, changed: frozenset[int] | None, materialise: bool, staged: bool
) -> str:
    sources = FULL if changed is None else ",".join(map(str, sorted(changed)))
    facts = (
        target(member),
        (materialise, staged),
        [(one.relid, one.name) for one in member.sources],
        member.states,
    )
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
    return f"{sources}/{digest}"


def _compile(
    session: Session,
    schemas: Schemas,
    member: Member,
    changed: frozenset[int] | None,
    materialise: bool,
    staged: bool,
) -> tuple[Step, ...]:
    analysis = analysis_of(session, schemas, member)
    if changed is None:
        return analysis.full_steps(materialise=materialise, staged=staged)
    if analysis.mode == "full":
        raise UnsupportedQuery(
            f"{member.name} can't be maintained differentially any more",
            detail="; ".join(f"{one.code}: {one.message}" for one in analysis.reasons) or None,
        )
    try:
        return analysis.delta_steps(changed, materialise=materialise)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, ValueError) as error:
        raise InternalError(
            f"no delta could be compiled for {member.name}", detail=repr(error)
        ) from error


def _stored(
    session: Session, schemas: Schemas, member: Member, variant: str
) -> tuple[Step, ...] | None:
    rows = session.execute(queries(schemas)["get_compiled"], _identity(member, variant))
    return tuple(Step(kind, sql) for kind, sql in rows[0]["steps"]) if rows else None


def _store(
    session: Session, schemas: Schemas, member: Member, variant: str, found: Sequence[Step]
) -> None:
    text = json.dumps([[step.kind, step.sql] for step in found])
    values = {**_identity(member, variant), "steps": text}
    session.execute(queries(schemas)["put_compiled"], values)


def _identity(member: Member, variant: str) -> dict[str, object]:
    return {
        "pgt_id": member.pgt_id,
        "changed": variant,
        "definition_version": member.definition_version,
        "compiler_version": compiler_version(),
    }
