"""What joins of any kind share: names, conditions taken apart, inputs as single terms."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.template import dotted
from trickle_runtime.compiler.term import WEIGHT, FromItem, Term, ref, union


def output_name(alias: str, name: str) -> str:
    """Name of an input's column in the join's output."""
    return dotted(alias, name)


def equality(predicate: exp.Expr) -> list[exp.Column]:
    """The two columns of ``a = b``, else nothing."""
    while isinstance(predicate, exp.Paren):
        predicate = predicate.this
    if not isinstance(predicate, exp.EQ):
        return []
    sides = [predicate.this, predicate.expression]
    columns = [side for side in sides if isinstance(side, exp.Column)]
    return columns if len(columns) == 2 else []


def aliases(predicate: exp.Expr) -> set[str]:
    """Aliases of the inputs that a condition reads."""
    return {column.table for column in predicate.find_all(exp.Column)}


def current_term(part: Operator, out: Context) -> Term:
    """The rows of an input as one term: a union below a join becomes one FROM item."""
    return _once(part, out.currents, lambda: _current_term(part, out))


def delta_term(part: Operator, out: Context) -> Term:
    """The delta of a changed input as one term."""
    return _once(part, out.changes, lambda: _delta_term(part, out))


def _once(part: Operator, known: dict[str, Term], make: Callable[[], Term]) -> Term:
    """Joins ask for their inputs' terms several times each: nested, that is exponential."""
    if part.alias not in known:
        known[part.alias] = make()
    return known[part.alias]


def _current_term(part: Operator, out: Context) -> Term:
    relation = part.current(out)
    if len(relation) == 1:
        return relation[0]
    names = [column.name for column in part.columns]
    item = FromItem(f"({union(relation, names, weighted=False)})", part.alias)
    return Term((item,), {name: ref(part.alias, name) for name in names})


def _delta_term(part: Operator, out: Context) -> Term:
    relation = part.delta(out)
    if len(relation) == 1:
        return relation[0]
    names = [column.name for column in part.columns]
    name = out.add(f"delta_{part.alias}", f"({union(relation, names, weighted=True)})")
    return Term(
        (FromItem(name, part.alias),),
        {column: ref(part.alias, column) for column in names},
        weights=(ref(part.alias, WEIGHT),),
    )
