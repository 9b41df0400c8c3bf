"""Expressions of a given type over what an environment offers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.fuzz import sqltypes
from tests.fuzz.grammar import conditions, subqueries, templates
from tests.fuzz.grammar.gen import Env, Expr, Gen, constant, exact
from tests.fuzz.sqltypes import BY_NAME, SqlType

_HOLE = re.compile(r"\{(=?)(\w+)(?::(\w+))?\}")
_READABLE = {
    "int": ("small",),
    "bigint": ("int",),
    "num": ("num2", "bigint"),
    "text": ("char3",),
}
# What aggregates and window calls make, mostly.
_SUMMARIES = (
    *(sqltypes.BIGINT,) * 5,
    *(sqltypes.NUM,) * 4,
    *(sqltypes.INT,) * 2,
    sqltypes.NUM2,
    sqltypes.FLOAT,
    sqltypes.TEXT,
    sqltypes.BOOL,
    sqltypes.DATE,
    sqltypes.INTS,
    sqltypes.JSONB,
)
# How a value of a type is made from one of any type.
_FROM_ANY = {
    "text": "({})::text",
    "int": "length(({})::text)",
    "bool": "({} IS NULL)",
    "jsonb": "to_jsonb({})",
    "json": "to_json({})",
    "bigint": "length(({})::text)::bigint",
}


def value(g: Gen, env: Env, type_: SqlType, size: int = 2) -> Expr:
    """An expression of the type, composed ``size`` deep at most."""
    how = g.choose(
        "value",
        leaf=6.0,
        constant=0.6,
        outer=1.0 if env.outer else 0.0,
        special=5.0 if env.special else 0.0,
        composed=4.0 if size > 0 else 0.0,
        row=0.25 if env.rows and type_.name in templates.WHOLE_ROW else 0.0,
        choice=0.9 if size > 0 else 0.0,
        subquery=0.5 if env.depth > 0 and size > 0 else 0.0,
    )
    if how == "special" and env.special is not None:
        found = env.special(type_, size)
        if found is not None:
            return found
    if how == "row":
        text = templates.WHOLE_ROW[type_.name].format(g.pick(env.rows))
        return Expr(text, type_, type_.exact)
    if how == "composed":
        return composed(g, env, type_, size)
    if how == "choice":
        return _choice(g, env, type_, size)
    if how == "subquery" and g.spend():
        return subqueries.scalar(g, env, type_)
    if how == "constant":
        return constant(g, type_)
    return leaf(g, env, type_, outer=how == "outer")


def leaf(g: Gen, env: Env, type_: SqlType, *, outer: bool = False) -> Expr:
    """A column of the type, or one made from another column."""
    offered = env.outer if outer and env.outer else env.leaves
    fitting = [
        e for e in offered if e.type is type_ or e.type.name in _READABLE.get(type_.name, ())
    ]
    if fitting:
        chosen = g.pick(fitting)
        return chosen if chosen.type is type_ else _cast(chosen, type_)
    if env.special is not None and g.chance("value.special", 0.7):
        found = env.special(type_, 1)
        if found is not None:
            return found
    if offered and type_.name in _FROM_ANY and g.chance("value.from_any", 0.7):
        text = _FROM_ANY[type_.name].format(g.pick(offered).sql)
        return Expr(text, type_, type_.exact)
    return constant(g, type_)


def anything(g: Gen, env: Env, size: int = 1) -> Expr:
    """An expression of a type that the environment has, or that its special calls make."""
    types = [one.type for one in env.leaves] or [sqltypes.INT, sqltypes.TEXT]
    if env.special is not None and g.chance("value.summary", 0.55):
        types = list(_SUMMARIES)
    return value(g, env, g.pick(types), size)


def composed(g: Gen, env: Env, type_: SqlType, size: int) -> Expr:
    """A function or operator over smaller expressions."""
    if type_ is sqltypes.BOOL:
        return Expr(conditions.condition(g, env, size), type_, True)
    template = fitting(g, env, templates.SCALAR[type_.name])
    text = filled(g, env, template, size - 1)
    return Expr(text, type_, type_.exact or template in templates.EXACT)


def fitting(g: Gen, env: Env, known: Sequence[str]) -> str:
    """A template whose holes the environment can fill without constants, if one comes up."""
    offered = {one.type.name for one in (*env.leaves, *env.outer)}
    offered |= {"any", "key", "bool"}
    offered |= {name for name, others in _READABLE.items() if offered.intersection(others)}
    template = g.pick(known)
    for _ in range(3):
        holes = {match[2] for match in _HOLE.finditer(template) if not match[1]}
        if holes <= offered:
            break
        template = g.pick(known)
    return template


def filled(g: Gen, env: Env, template: str, size: int) -> str:
    """A template with expressions in its holes."""
    named: dict[str, str] = {}

    def hole(match: re.Match[str]) -> str:
        again, name, label = match.groups()
        if again:
            return named[name]
        if name == "any":
            text = anything(g, env, size).sql
        elif name == "key":
            text = exact(anything(g, env, size)).sql
        else:
            text = value(g, env, BY_NAME[name], size).sql
        if label:
            named[label] = text
        return text

    return _HOLE.sub(hole, template)


def _cast(expr: Expr, type_: SqlType) -> Expr:
    return Expr(f"({expr.sql})::{type_.ddl}", type_, type_.exact or expr.exact)


def _choice(g: Gen, env: Env, type_: SqlType, size: int) -> Expr:
    """CASE, COALESCE, NULLIF."""
    first = value(g, env, type_, size - 1)
    second = value(g, env, type_, size - 1)
    test = value(g, env, sqltypes.BOOL, size - 1).sql
    how = g.choose("choice", case=3, simple=1, coalesce=3, nullif=1.0 if type_.ordered else 0.0)
    text = {
        "case": f"CASE WHEN {test} THEN {first.sql} ELSE {second.sql} END",
        "simple": f"CASE {test} WHEN true THEN {first.sql} WHEN false THEN {second.sql} END",
        "coalesce": f"coalesce({first.sql}, {second.sql})",
        "nullif": f"nullif({first.sql}, {second.sql})",
    }[how]
    known = type_.exact or (first.exact and second.exact and how != "nullif")
    if type_.name in {"num", "float"}:
        known = False  # two exact forms side by side: 1 and 1.00
    return Expr(f"({text})" if how in {"case", "simple"} else text, type_, known)
