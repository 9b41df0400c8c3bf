"""Constraints that the author of a stream table asks for: not null, check, unique, primary key.

Invariant: they are PostgreSQL's own, on the table, so no refresh can commit a row that violates
one; the catalog knows them, so a table that is built beside has them before it is swapped in.
Nothing here commits.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from uuid import uuid4

from trickle_runtime.config import Constraint, Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.db.sql import load_queries, quote_ident, quote_literal, render
from trickle_runtime.errors import ConstraintViolated, DatabaseError, InvalidConfig

LOCK_TIMEOUT = "400ms"
VIOLATIONS = frozenset({"23502", "23503", "23505", "23514", "23P01"})  # not null … exclusion


@dataclass(frozen=True)
class Stored:
    """A constraint with the name that it has on the table."""

    wanted: Constraint
    actual: str | None


def stored(session: Session, schemas: Schemas, pgt_id: int) -> tuple[Stored, ...]:
    """Return the constraints of a stream table."""
    rows = session.execute(_sql(schemas)["stored"], {"pgt_id": pgt_id})
    return tuple(_stored(**row) for row in rows)


def check(constraints: Sequence[Constraint], columns: Sequence[str]) -> None:
    """See that constraints fit the columns of a query.

    Raises:
        InvalidConfig: when not.
    """
    for one in constraints:
        for name in one.columns:
            if name not in columns:
                raise InvalidConfig(
                    f"constraint {one.kind} is on {name!r}, which is no column of the query",
                    hint=f"Columns: {', '.join(columns)}.",
                )


def unique(constraints: Sequence[Constraint]) -> bool:
    """Whether one of them is a unique index besides the identity."""
    return any(one.kind in {"unique", "primary_key"} for one in constraints)


def add(
    session: Session,
    schemas: Schemas,
    pgt_id: int,
    relation: str,
    constraints: Sequence[Constraint],
    *,
    final: bool = True,
) -> None:
    """Put all constraints on a table that has none yet, its rows being there already.

    With ``final=False`` they have names that no other table of the schema has, until ``name_all``.

    Raises:
        ConstraintViolated: a row violates one.
    """
    with violations(relation):
        _not_null(session, schemas, relation, "set_not_null", not_nulls(constraints))
        found = [_add(session, schemas, relation, one, final=final) for one in constraints]
    _put(session, schemas, pgt_id, found)


def name_all(session: Session, schemas: Schemas, pgt_id: int, relation: str) -> None:
    """Give constraints the names that their author wants."""
    before = stored(session, schemas, pgt_id)
    if all(one.actual in {None, one.wanted.name} or not one.wanted.name for one in before):
        return
    after: list[Stored] = []
    for one in before:
        if one.actual is None or one.wanted.name is None:
            after.append(one)
            continue
        names = {"name": quote_ident(one.actual), "wanted": quote_ident(one.wanted.name)}
        session.execute(render(_sql(schemas)["rename"], relation=relation, **names))
        after.append(Stored(one.wanted, one.wanted.name))
    _put(session, schemas, pgt_id, after)


def drop_others(
    session: Session,
    schemas: Schemas,
    pgt_id: int,
    relation: str,
    constraints: Sequence[Constraint],
) -> None:
    """Take away the constraints that are not wanted any more."""
    before = stored(session, schemas, pgt_id)
    for one in before:
        if one.wanted not in constraints and one.actual is not None:
            name = quote_ident(one.actual)
            session.execute(render(_sql(schemas)["drop"], relation=relation, name=name))
    gone = not_nulls([one.wanted for one in before]) - not_nulls(constraints)
    rows = session.execute(_sql(schemas)["kept_columns"], {"relation": relation})
    _not_null(session, schemas, relation, "drop_not_null", gone & {row["name"] for row in rows})
    _put(session, schemas, pgt_id, [one for one in before if one.wanted in constraints])


def add_missing(
    session: Session,
    schemas: Schemas,
    pgt_id: int,
    relation: str,
    constraints: Sequence[Constraint],
) -> None:
    """Add the constraints that are not there yet.

    Raises:
        ConstraintViolated: a row violates one.
    """
    before = {one.wanted: one for one in stored(session, schemas, pgt_id)}
    with violations(relation):
        missing = not_nulls(constraints) - not_nulls(list(before))
        _not_null(session, schemas, relation, "set_not_null", missing)
        found = [
            before[one] if one in before else _add(session, schemas, relation, one, final=True)
            for one in constraints
        ]
    _put(session, schemas, pgt_id, found)


def see_kept(session: Session, schemas: Schemas, pgt_id: int, relation: str) -> None:
    """See that a new definition has taken no constraint along.

    Raises:
        InvalidConfig: it has.
    """
    values = {"pgt_id": pgt_id, "relation": relation}
    lost = [row["name"] for row in session.execute(_sql(schemas)["lost"], values)]
    if lost:
        raise InvalidConfig(
            f"the new query of {relation} lacks a column of constraint {', '.join(lost)}",
            hint="Alter the constraints together with the query.",
        )


def set_all(
    session: Session,
    schemas: Schemas,
    pgt_id: int,
    relation: str,
    constraints: Sequence[Constraint],
) -> bool:
    """Make ``constraints`` those of a table that stays as it is; whether anything changed."""
    if [one.wanted for one in stored(session, schemas, pgt_id)] == list(constraints):
        return False
    timeout = quote_literal(LOCK_TIMEOUT)
    session.execute(render(_sql(schemas)["patience"], timeout=timeout))
    drop_others(session, schemas, pgt_id, relation, constraints)
    add_missing(session, schemas, pgt_id, relation, constraints)
    return True


@contextmanager
def violations(relation: str) -> Generator[None]:
    """Say of which table it is that rows violate a constraint."""
    try:
        yield
    except DatabaseError as error:
        if error.sqlstate not in VIOLATIONS:
            raise
        raise ConstraintViolated(
            f"rows of {relation} violate its key or a constraint: {error.message}",
            detail=error.detail,
        ) from error


def _add(
    session: Session, schemas: Schemas, relation: str, constraint: Constraint, *, final: bool
) -> Stored:
    if constraint.kind == "not_null":
        return Stored(constraint, None)
    name = constraint.name if final and constraint.name else f"pgt_constraint_{uuid4().hex[:8]}"
    text = render(
        _sql(schemas)[f"add_{constraint.kind}"],
        relation=relation,
        name=quote_ident(name),
        columns=", ".join(quote_ident(column) for column in constraint.columns),
        expression=constraint.expression or "",
    )
    try:
        session.execute(text)
    except DatabaseError as error:
        if error.transient or error.sqlstate in VIOLATIONS:
            raise
        raise InvalidConfig(
            f"constraint {constraint.kind} of {relation} is not valid: {error.message}",
            detail=error.detail,
            hint=error.hint,
        ) from error
    return Stored(constraint, name)


def _not_null(
    session: Session, schemas: Schemas, relation: str, statement: str, columns: set[str]
) -> None:
    text = _sql(schemas)[statement]
    for column in sorted(columns):
        session.execute(render(text, relation=relation, column=quote_ident(column)))


def not_nulls(constraints: Sequence[Constraint]) -> set[str]:
    """Return the columns that constraints keep from being NULL."""
    kinds = {"not_null", "primary_key"}
    return {column for one in constraints if one.kind in kinds for column in one.columns}


def _put(session: Session, schemas: Schemas, pgt_id: int, found: Sequence[Stored]) -> None:
    rows = [
        {"position": number, "actual": one.actual, **asdict(one.wanted)}
        for number, one in enumerate(found, start=1)
    ]
    values = {"pgt_id": pgt_id, "constraints": json.dumps(rows)}
    session.execute(_sql(schemas)["put"], values)


def _stored(
    kind: str,
    columns: Sequence[str],
    expression: str | None,
    name: str | None,
    actual: str | None,
) -> Stored:
    return Stored(Constraint(kind, tuple(columns), expression, name), actual)


def _sql(schemas: Schemas) -> dict[str, str]:
    return load_queries("refresh/constraints.sql", schemas)
