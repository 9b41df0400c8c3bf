"""What a query reads was made anew and means what it meant: new oids, no new rows.

Invariant: content is left alone only where the expanded query, the definitions of the views
between, the sources and everything else that the rows depend on are those of the stored
definition. dbt replaces every view on every run; a full difference each time would be the price.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trickle_runtime.catalog.models import Dependency, StreamTable
from trickle_runtime.catalog.store import Store
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.refresh import definition
from trickle_runtime.refresh.definition import Definition
from trickle_runtime.refresh.settings import parse

# What no row depends on: stamps of views, the order of writing, advice.
IRRELEVANT = frozenset({"views", "sequential", "advice"})


def renew(session: Session, schemas: Schemas, row: StreamTable, defined: Definition) -> bool:
    """Take over what was made anew, where that changes no row; whether it did. Commits then."""
    store = Store(session, schemas)
    plan = definition.plan(session, schemas, defined)
    after = definition.dependencies(row.pgt_id, defined.analysis)
    if not (_same(row, plan, defined) and _alike(store.dependencies(row.pgt_id), after)):
        return False
    columns: dict[str, Any] = {"plan": plan}
    if plan["sequential"] != row.plan.get("sequential"):
        columns["definition_version"] = row.definition_version + 1
        store.clear_compiled(row.pgt_id)
    store.update(row.pgt_id, **columns)
    store.set_dependencies(row.pgt_id, after)
    settings = parse(store.settings())
    definition.guard(session, schemas, settings, row.pgt_id, defined.analysis.canonical)
    session.commit()
    return True


def _same(row: StreamTable, plan: dict[str, Any], defined: Definition) -> bool:
    before = {name: value for name, value in row.plan.items() if name not in IRRELEVANT}
    after = {name: value for name, value in plan.items() if name not in IRRELEVANT}
    return (
        before == _as_json(after)
        and defined.analysis.canonical == row.canonical_query
        and defined.mode == row.effective_mode
    )


def _as_json(value: Any) -> Any:
    """Return plain data as it comes back from a jsonb column."""
    if isinstance(value, dict):
        return {str(name): _as_json(one) for name, one in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, (list, tuple)):
        return [_as_json(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _alike(before: Sequence[Dependency], after: Sequence[Dependency]) -> bool:
    return sorted(map(_meaning, before)) == sorted(map(_meaning, after))


def _meaning(one: Dependency) -> tuple[str, str, str, str]:
    """Return what a dependency means: a source is one relation, a view is its text."""
    if one.source_kind == "view":
        return one.source_kind, one.source_name, one.definition or "", ""
    return one.source_kind, str(one.source_relid), str(one.columns), str(one.source_pgt_id)
