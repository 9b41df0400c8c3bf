"""The hidden tables of operators that keep state.

Nothing here commits: they are created and dropped together with the definition that needs them.
"""

from __future__ import annotations

from collections.abc import Sequence

from trickle_runtime.compiler.result import StateTable
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.db.sql import render
from trickle_runtime.refresh.members import queries


def create(
    session: Session, schemas: Schemas, states: Sequence[StateTable], *, fill: bool
) -> None:
    """Create the state tables, in their order, since later ones may read earlier ones."""
    template = queries(schemas)["create_state"]
    for state in states:
        text = render(
            template,
            state=state.name,
            query=f"\n{state.query}\n",
            data="WITH DATA" if fill else "WITH NO DATA",
        )
        session.execute(";\n".join([text, *state.indexes]))


def drop(session: Session, schemas: Schemas, names: Sequence[str]) -> None:
    """Drop state tables; those that are gone already don't matter."""
    template = queries(schemas)["drop_state"]
    for name in names:
        session.execute(render(template, state=name))
