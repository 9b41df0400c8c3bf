"""What there is to do: one statement, one round trip, however many stream tables there are.

Invariant: a hint that errs on the side of work; what counts is what the pass sees after its locks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trickle_runtime import dag
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Row, Session, run_alone
from trickle_runtime.refresh.members import queries

FEW = 8


@dataclass(frozen=True)
class Surveyed:
    """A stream table as far as one must know it to leave it alone, or to lock what it reads."""

    pgt_id: int
    relid: int
    relation: str | None
    status: str
    fuse_state: str
    blow_reason: str | None
    reads: tuple[int, ...]
    stale: bool  # has something to do itself
    moved: bool  # its sources, views or functions are not what they were
    pending: int
    lock_timeout: str | None  # the setting
    locks: Mapping[str, int]  # what a refresh of it reads
    gate_reads: tuple[int, ...] = ()  # stream tables that its gate reads

    @property
    def name(self) -> str:
        """The name for people."""
        return self.relation or f"stream table {self.pgt_id} (dropped)"

    @property
    def writes(self) -> dict[str, int]:
        """What a refresh of it writes."""
        return {} if self.relation is None else {self.relation: self.relid}


def survey(
    session: Session,
    schemas: Schemas,
    pgt_ids: Iterable[int] | None,
    *,
    alone: bool = False,
) -> dict[int, Surveyed]:
    """Return the given stream tables (None: all) and those below them.

    What to lock is known for few only; ask ``with_locks`` for it. ``alone`` says that no
    transaction is open and none is wanted: one round trip then.
    """
    ids = None if pgt_ids is None else sorted(pgt_ids)
    return _survey(session, schemas, ids, locks=ids is not None and len(ids) <= FEW, alone=alone)


def with_locks(
    session: Session, schemas: Schemas, found: Mapping[int, Surveyed], pgt_ids: Iterable[int]
) -> Mapping[int, Surveyed]:
    """Return what was found with the relations that a refresh of ``pgt_ids`` has to lock."""
    missing = [one for one in pgt_ids if found[one].relation and not found[one].locks]
    if not missing:
        return found
    return {**found, **_survey(session, schemas, sorted(missing), locks=True)}


def _survey(
    session: Session,
    schemas: Schemas,
    ids: list[int] | None,
    *,
    locks: bool,
    alone: bool = False,
) -> dict[int, Surveyed]:
    text, parameters = queries(schemas)["survey"], {"pgt_ids": ids, "locks": locks}
    rows = run_alone(session, text, parameters) if alone else session.execute(text, parameters)
    return {row["pgt_id"]: _surveyed(row) for row in rows}


def reach(found: Mapping[int, Surveyed], start: Iterable[int]) -> set[int]:
    """Return ``start`` and what reads it, directly or not: it will have something to do, too."""
    above = dag.readers({one.pgt_id: one.reads for one in found.values()})
    reached = set[int]()
    for pgt_id in start:
        reached |= dag.reachable(above, pgt_id)
    return reached


def gathered(found: Mapping[int, Surveyed], start: Iterable[int]) -> set[int]:
    """Return ``start`` and what their gates have to see at the same snapshot: all that is below
    a table with a gate that reads others, and below those.
    """
    reached = set(start)
    edges = {one.pgt_id: (*one.reads, *one.gate_reads) for one in found.values()}
    for pgt_id in start:
        if pgt_id in found and found[pgt_id].gate_reads:
            reached |= dag.reachable(edges, pgt_id) & found.keys()
    return reached


def _surveyed(row: Row) -> Surveyed:
    return Surveyed(
        pgt_id=row["pgt_id"],
        relid=row["relid"],
        relation=row["relation"],
        status=row["status"],
        fuse_state=row["fuse_state"],
        blow_reason=row["blow_reason"],
        reads=tuple(row["reads"]),
        stale=row["stale"],
        moved=row["moved"],
        pending=row["pending"],
        lock_timeout=row["lock_timeout"],
        locks=dict(zip(row["lock_names"], row["lock_relids"], strict=True)),
        gate_reads=tuple(row["gate_reads"]),
    )
