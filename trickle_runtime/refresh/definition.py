"""What the catalog keeps of an analysed query, and the relations that go with it.

Invariant: ``plan`` holds everything that a pass needs, so that analysing again is only necessary
to compile. Nothing here commits: definition, states and the view that guards the sources' columns
change together, in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trickle_runtime.analysis import Analysis, analyse
from trickle_runtime.capture.buffer import view_name
from trickle_runtime.catalog.models import Dependency
from trickle_runtime.catalog.store import Store
from trickle_runtime.compiler.apply import Target
from trickle_runtime.compiler.result import OutputColumn, Reason
from trickle_runtime.config import Schemas, StreamTableOptions
from trickle_runtime.db.session import Session
from trickle_runtime.db.sql import qualified, render
from trickle_runtime.errors import UnsupportedQuery
from trickle_runtime.refresh import dry_run
from trickle_runtime.refresh.members import queries
from trickle_runtime.refresh.settings import Settings
from trickle_runtime.storage import partitioning

# Reasons by which the rows of a query may change although no source does.
RESTLESS = frozenset({"VOLATILE_FUNCTION", "STABLE_FUNCTION"})


@dataclass(frozen=True)
class Definition:
    """A query with what was found out about it."""

    query: str  # as the user wrote it
    analysis: Analysis
    mode: str  # effective: differential, full
    reasons: tuple[Reason, ...]
    settings: dict[str, str]  # of the session that created it

    @property
    def columns(self) -> tuple[OutputColumn, ...]:
        """The columns of the stream table."""
        return self.analysis.columns

    @property
    def always(self) -> bool:
        """Whether its rows may change although no source is known to."""
        restless = any(reason.code in RESTLESS for reason in self.reasons)
        return bool(self.analysis.always) or (self.mode == "full" and restless)


def define(
    session: Session,
    schemas: Schemas,
    query: str,
    options: StreamTableOptions,
    settings: dict[str, str],
    target: Target | None = None,
    *,
    polled: Sequence[str] = (),
) -> Definition:
    """Analyse a query and resolve its mode; ``polled`` names sources that can't be captured.

    Raises:
        UnsupportedQuery: the mode was asked for and is impossible.
    """
    analysis = analyse(
        session,
        query,
        schemas=schemas,
        search_path=settings["search_path"],
        target=target,
        unique_key=options.unique_key,
        force_full=options.refresh_mode == "full",
        polled=polled,
    )
    analysis = tried(session, schemas, analysis)
    reasons = (*analysis.reasons, *(_poll_reason(name) for name in polled))
    analysis = with_views(analysis, schemas)
    mode = analysis.mode
    if options.refresh_mode == "differential" and mode != "differential":
        raise UnsupportedQuery(
            "the query can't be maintained differentially",
            detail="\n".join(_text(one) for one in reasons if one.severity == "WARNING"),
            hint="Use refresh_mode 'auto' or 'full', or change the query.",
        )
    return Definition(query, analysis, mode, reasons, settings)


def tried(session: Session, schemas: Schemas, analysis: Analysis) -> Analysis:
    """Let PostgreSQL explain every statement; the query is computed if it rejects one."""
    problem = None
    if analysis.mode == "differential":
        problem = dry_run.check(session, schemas, analysis)
    return analysis if problem is None else analysis.computed(problem)


def with_views(analysis: Analysis, schemas: Schemas) -> Analysis:
    """Let the deltas read each source through the view over its live buffers."""
    return analysis.with_buffers(
        {source.relid: view_name(schemas, source.relid) for source in analysis.sources}
    )


def target_of(
    pgt_id: int,
    relation: str,
    options: StreamTableOptions,
    columns: Sequence[OutputColumn],
    *,
    log: bool,
    sequential: bool,
) -> Target:
    """Return what the compiler must know of the table."""
    spec = partitioning.parse(options.partition_by, columns)
    return Target(
        pgt_id=pgt_id,
        relation=relation,
        log=log,
        partition_columns=() if spec is None else tuple(spec.columns),
        sequential=sequential,
    )


def register(
    session: Session, schemas: Schemas, pgt_id: int, definition: Definition, version: int
) -> None:
    """Write the definition to the catalog; compiled statements of others are forgotten."""
    store = Store(session, schemas)
    analysis = definition.analysis
    store.update(
        pgt_id,
        query=definition.query,
        canonical_query=analysis.canonical,
        definition_version=version,
        plan=plan(session, schemas, definition),
        session_settings=definition.settings,
        effective_mode=definition.mode,
        mode_reasons=[asdict(reason) for reason in definition.reasons],
    )
    store.set_dependencies(pgt_id, dependencies(pgt_id, analysis))
    store.clear_compiled(pgt_id)


def plan(session: Session, schemas: Schemas, definition: Definition) -> dict[str, Any]:
    """Return what a pass needs of the analysis, as JSON."""
    analysis = definition.analysis
    relids = [view.relid for view in analysis.views]
    stamps = session.execute(queries(schemas)["view_stamps"], {"relids": relids})
    return {
        "columns": [asdict(column) for column in analysis.columns],
        "key": analysis.key,
        "unique_key": analysis.plan.declared_key,
        "states": [asdict(state) for state in analysis.states],
        "advice": [asdict(advice) for advice in analysis.advice],
        "views": {str(row["relid"]): row["stamp"] for row in stamps},
        "functions": {str(oid): stamp for oid, stamp in analysis.functions.items()},
        "always": definition.always,
        "restless": sorted(analysis.always),
        "volatile": any(one.code == "VOLATILE_FUNCTION" for one in definition.reasons),
        "sequential": analysis.target.sequential,
    }


def dependencies(pgt_id: int, analysis: Analysis) -> list[Dependency]:
    """Return what a stream table reads: sources below all views, and those views."""
    sources = [
        Dependency(pgt_id, one.relid, one.name, one.kind, one.pgt_id, tuple(one.attnums))
        for one in analysis.sources
    ]
    views = [
        Dependency(pgt_id, one.relid, one.name, "view", definition=one.definition)
        for one in analysis.views
    ]
    return sources + views


def guard(
    session: Session, schemas: Schemas, settings: Settings, pgt_id: int, canonical: str
) -> None:
    """Put a view over the query, by which PostgreSQL protects the columns that it uses."""
    unguard(session, schemas, pgt_id)
    if settings.block_source_ddl:
        text = queries(schemas)["block_ddl"]
        name = guard_name(schemas, pgt_id)
        session.execute(render(text, view=name, query=f"\n{canonical}"))


def unguard(session: Session, schemas: Schemas, pgt_id: int) -> None:
    """Drop the view over the query."""
    name = guard_name(schemas, pgt_id)
    session.execute(render(queries(schemas)["unblock_ddl"], view=name))


def guard_name(schemas: Schemas, pgt_id: int) -> str:
    """Return the name of the view over the query."""
    return qualified(schemas.state, f"query_{pgt_id}")


def _poll_reason(name: str) -> Reason:
    return Reason(
        "SOURCE_NOT_CAPTURED",
        f"changes of {name} can't be captured",
        "Grant TRIGGER on it to the runtime's role; else the query is computed at each refresh.",
        "WARNING",
    )


def _text(reason: Reason) -> str:
    return f"{reason.code}: {reason.message}" + (f" ({reason.hint})" if reason.hint else "")
