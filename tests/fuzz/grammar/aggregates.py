"""Aggregate calls."""

from __future__ import annotations

from tests.fuzz.grammar import conditions, templates, values
from tests.fuzz.grammar.gen import Env, Expr, Gen
from tests.fuzz.sqltypes import SqlType


def call(g: Gen, rows: Env, type_: SqlType) -> Expr | None:
    """An aggregate of the type over the rows; None where there is none.

    Its arguments use no columns of queries around: a call that uses nothing else belongs to them.
    """
    known = templates.AGGREGATE.get(type_.name)
    if known is None or not rows.leaves:
        return None
    template = values.fitting(g, rows, known)
    env = Env(rows.leaves)
    text = values.filled(g, env, template, g.pick((0, 0, 0, 1)))
    wrapped = text.startswith(("round(", "(array_agg")) or text.endswith(("::text", "::char(3)"))
    if not wrapped and g.chance("aggregate.filter", 0.2):
        text += f" FILTER (WHERE {conditions.condition(g, env, 0)})"
    exact = type_.exact or template in templates.EXACT or template.startswith("round(")
    return Expr(text, type_, exact)
