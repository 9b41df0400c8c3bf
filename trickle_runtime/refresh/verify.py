"""Comparison of stream tables with their queries.

Invariant: both sides are read at one snapshot, to which the table was brought in the same
transaction; so a difference is a defect or a foreign write, never a change in flight. Rows are
compared by image: 1.0 and 1.00 differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from trickle_runtime.compiler import identity
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.db.sql import quote_ident, render
from trickle_runtime.errors import StreamTableNotFound, TrickleError
from trickle_runtime.refresh import engine, meaning, sources
from trickle_runtime.refresh.members import Member, Observation, observe, queries
from trickle_runtime.refresh.result import VerifyResult


def verify(session: Session, schemas: Schemas, pgt_ids: Sequence[int]) -> list[VerifyResult]:
    """Refresh stream tables and compare each with its query at the same snapshot; commits.

    A table that is paused, blown or failing is compared as it is, and a note says so.
    """
    found: dict[int, VerifyResult] = {}

    def compare(seen: Observation) -> None:
        for pgt_id in seen.members.keys() & set(pgt_ids):
            member = seen.members[pgt_id]
            if sources.fatal(seen, member) is None:  # else the query can't be computed
                found[pgt_id] = _compare(session, schemas, member)

    outcome = engine.run_pass(
        session,
        schemas,
        pgt_ids,
        initiated_by="verify",
        ancestors=True,
        wait=True,
        before_commit=compare,
    )
    for pgt_id in pgt_ids:
        result = outcome.results.get(pgt_id)
        if pgt_id not in found:
            gone = StreamTableNotFound(f"stream table {pgt_id} was dropped meanwhile")
            raise (result.error if result and result.error else gone)
        if result is not None and result.status != "completed":
            found[pgt_id] = found[pgt_id].noted(f"not refreshed: {result.reason}")
    return [found[pgt_id] for pgt_id in pgt_ids]


def verify_each(
    session: Session, schemas: Schemas, pgt_ids: Sequence[int]
) -> Iterator[VerifyResult]:
    """Verify stream tables one after the other; commits.

    One that can't be compared is not equal, and a note says why; it does not stop the others. One
    that somebody dropped, of which the next cleanup removes the rest, is left out.
    """
    for pgt_id in pgt_ids:
        try:
            yield from verify(session, schemas, [pgt_id])
        except TrickleError as error:
            session.rollback()
            member = observe(session, schemas, [pgt_id]).members.get(pgt_id)
            session.rollback()
            if member is not None and member.relation is not None:
                note = f"not compared: {error.message}"
                yield VerifyResult(member.name, equal=False, missing=0, extra=0, note=note)


def _compare(session: Session, schemas: Schemas, member: Member) -> VerifyResult:
    note = _why_not(member)
    if note is not None:
        return VerifyResult(member.name, equal=True, missing=0, extra=0, note=note)
    meaning.apply(session, schemas, member.session_settings)
    statement = render(
        queries(schemas)["compare"],
        columns=", ".join(image(column) for column in member.columns),
        query=member.canonical_query,
        relation=member.name,
    )
    row: dict[str, Any] = session.execute(statement)[0]
    return VerifyResult(
        name=member.name,
        equal=row["missing"] == row["extra"] == 0,
        missing=row["missing"],
        extra=row["extra"],
        sample_missing=tuple(row["sample_missing"] or ()),
        sample_extra=tuple(row["sample_extra"] or ()),
        note="changes were skipped by reset_fuse" if member.diverged else None,
    )


def _why_not(member: Member) -> str | None:
    """Say why there is nothing to compare, if so."""
    if member.status == "initializing":
        return "not compared: it is being created"
    if member.plan.get("volatile"):
        return "not compared: its query gives other rows each time"
    return None


def image(column: OutputColumn) -> str:
    """Return an expression that is equal exactly where two values are identical."""
    name = quote_ident(column.name)
    exact = column.equality and column.exact
    return name if exact else render("{image} AS {name}", image=identity.image(name), name=name)
