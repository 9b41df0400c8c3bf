"""What a query would become, and by which statements a stream table is maintained.

Invariant: nothing is created or changed; a query that PostgreSQL rejects is an answer, not an
exception.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trickle_runtime.analysis import Analysis, analyse
from trickle_runtime.catalog.models import StreamTable
from trickle_runtime.compiler.result import Step
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.errors import CompileError, InvalidConfig
from trickle_runtime.refresh import compiled, dry_run, meaning
from trickle_runtime.refresh.members import Member, observe, queries
from trickle_runtime.refresh.result import Check, ExplainedStep, RewritePass


def validate_query(session: Session, schemas: Schemas, query: str) -> list[Check]:
    """Return how a query would be maintained: first ``resolved_refresh_mode``, then why."""
    try:
        analysis = analyse(session, query, schemas=schemas)
    except CompileError as error:
        return [
            Check("resolved_refresh_mode", "none", "ERROR"),
            Check(error.code, str(error), "ERROR"),
        ]
    return list(_checks(analysis))


def explain(session: Session, schemas: Schemas, row: StreamTable) -> list[Check]:
    """Return the mode of a stream table, and how each part of its query is maintained, and why."""
    member = observe(session, schemas, [row.pgt_id]).members[row.pgt_id]
    meaning.apply(session, schemas, member.session_settings)
    analysis = compiled.analysis_of(session, schemas, member)
    why = [Check(one["code"], one["message"], one["severity"]) for one in row.mode_reasons]
    severity = "INFO" if row.effective_mode == "differential" else "WARNING"
    first = Check("effective_mode", row.effective_mode.upper(), severity)
    return [first, *why, *_strategies(analysis)]


def explain_delta(
    session: Session,
    schemas: Schemas,
    row: StreamTable,
    changed: Sequence[str] | None = None,
    *,
    plan: bool = False,
) -> list[ExplainedStep]:
    """Return the statements of a refresh after changes in the named sources (default: in all).

    Those of a table whose mode is full are those of its full refresh. With ``plan`` PostgreSQL
    explains each for what is pending now; nothing is run.
    """
    seen = observe(session, schemas, [row.pgt_id])
    member = seen.members[row.pgt_id]
    meaning.apply(session, schemas, member.session_settings)
    analysis = compiled.analysis_of(session, schemas, member)
    steps = _steps(session, schemas, row, member, analysis, changed)
    if not plan:
        return [ExplainedStep(step.kind, step.sql) for step in steps]
    plans = dry_run.plans(session, schemas, steps, seen.places(schemas, member))
    return [ExplainedStep(s.kind, s.sql, p) for s, p in zip(steps, plans, strict=True)]


def _steps(
    session: Session,
    schemas: Schemas,
    row: StreamTable,
    member: Member,
    analysis: Analysis,
    changed: Sequence[str] | None,
) -> tuple[Step, ...]:
    if analysis.mode == "full":
        return analysis.full_steps()
    read = {source.relid: source.recorded for source in member.sources}
    found = {name: _relid(session, schemas, name) for name in changed or ()}
    unknown = [name for name, relid in found.items() if relid not in read]
    if unknown:
        raise InvalidConfig(
            f"{row.relation} does not read {', '.join(unknown)}",
            hint=f"It reads: {', '.join(read.values())}.",
        )
    return analysis.delta_steps(frozenset(found.values() if found else read) | analysis.always)


def _relid(session: Session, schemas: Schemas, name: str) -> int:
    rows = session.execute(queries(schemas)["relation_of"], {"name": name})
    return int(rows[0]["relid"]) if rows else 0


def _checks(analysis: Analysis) -> Iterator[Check]:
    severity = "INFO" if analysis.mode == "differential" else "WARNING"
    yield Check("resolved_refresh_mode", analysis.mode.upper(), severity)
    for reason in analysis.reasons:
        text = reason.message + (f" ({reason.hint})" if reason.hint else "")
        yield Check(reason.code, text, reason.severity)
    yield from _strategies(analysis)
    key = "none: rows are found by their hash" if analysis.key is None else _names(analysis.key)
    yield Check("row_identity", key, "INFO")
    for source in analysis.sources:
        yield Check("source", f"{source.name} ({source.kind})", "INFO")
    for view in analysis.views:
        yield Check("view", view.name, "INFO")
    for state in analysis.states:
        yield Check("state_table", state.purpose, "INFO")
    for advice in analysis.advice:
        yield Check("missing_index", advice.ddl, "WARNING")


def _strategies(analysis: Analysis) -> Iterator[Check]:
    for one in analysis.strategies:
        yield Check(one.construct, one.text, "WARNING" if one.warning else "INFO")


def _names(key: Sequence[str]) -> str:
    return ", ".join(key) or "at most one row"


def explain_query_rewrite(session: Session, schemas: Schemas, query: str) -> list[RewritePass]:
    """Return what becomes of a query, step by step, then how its parts are maintained."""
    analysis = analyse(session, query, schemas=schemas)
    changed = analysis.canonical.strip() != query.strip()
    passes = [RewritePass("canonicalise", changed, analysis.canonical)]
    passes += [RewritePass(f"view {one.name}", True, one.definition) for one in analysis.views]
    passes += [RewritePass(f"state: {one.purpose}", True, one.query) for one in analysis.states]
    if analysis.mode == "differential":
        steps = analysis.delta_steps(frozenset(source.relid for source in analysis.sources))
        passes += [
            RewritePass(f"{step.kind} {number}", True, step.sql)
            for number, step in enumerate(steps, 1)
        ]
    passes += [RewritePass(one.code, False, one.message) for one in analysis.reasons]
    passes += [RewritePass(one.construct, False, one.text) for one in analysis.strategies]
    key = "none" if analysis.key is None else _names(analysis.key)
    passes.append(RewritePass("delta_key", False, key))
    return passes
