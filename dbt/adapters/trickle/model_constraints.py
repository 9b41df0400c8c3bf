"""Constraints of a model's properties, in the runtime's words.

Invariant: every constraint that a model declares is enforced, or the model is refused; dbt's own
rule, that constraints without an enforced contract mean nothing, would ignore them silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from trickle_runtime.config import CONSTRAINTS, Constraint
from trickle_runtime.errors import InvalidConfig

INSTEAD = {
    "foreign_key": "Use a relationships test; with gate: true it is checked in every refresh.",
    "custom": "Write it as a check.",
}


def constraints(model: Any) -> tuple[Constraint, ...]:
    """Return what a model declares, each once, in order.

    Raises:
        InvalidConfig: a constraint can't be enforced.
    """
    found = list(dict.fromkeys(_declared(model)))
    if found and not _enforced(model):
        raise InvalidConfig(
            "constraints are declared, but the contract is not enforced, so that dbt ignores them",
            hint="Set contract: {enforced: true}, or remove the constraints.",
        )
    return tuple(found)


def _declared(model: Any) -> Iterator[Constraint]:
    for column in (getattr(model, "columns", None) or {}).values():
        name = column.name if column.quote else column.name.lower()
        for one in column.constraints:
            yield _constraint(one, (name,))
    for one in getattr(model, "constraints", None) or ():
        yield _constraint(one, tuple(_folded(one.columns)))


def _constraint(declared: Any, columns: tuple[str, ...]) -> Constraint:
    kind = str(declared.type.value)
    if kind not in CONSTRAINTS:
        raise InvalidConfig(
            f"constraint {kind!r} is not possible on a stream table",
            hint=f"{INSTEAD.get(kind, '')} Allowed: {', '.join(CONSTRAINTS)}.".strip(),
        )
    if kind == "check":
        return Constraint(kind, (), declared.expression, declared.name)
    if declared.expression:
        raise InvalidConfig(f"constraint {kind!r} has an expression: {declared.expression!r}")
    return Constraint(kind, columns, None, declared.name)


def _folded(columns: Iterable[str]) -> Iterator[str]:
    """Read names as SQL does: a quoted one as it is, another in lower case."""
    for name in columns:
        quoted = name.startswith('"') and name.endswith('"') and len(name) > 1
        yield name[1:-1].replace('""', '"') if quoted else name.lower()


def _enforced(model: Any) -> bool:
    contract = getattr(model.config, "contract", None)
    return bool(contract and contract.enforced)
