"""FROM: tables, views, queries, sets of values, functions; and their joins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.fuzz.grammar import conditions, queries, selects, set_functions
from tests.fuzz.grammar.gen import Column, Env, Expr, Gen, Relation, Want, ident
from tests.fuzz.sqltypes import comparable


@dataclass(frozen=True)
class From:
    """FROM items: text, what can be named, conditions that belong into WHERE."""

    sql: str
    relations: tuple[Relation, ...]
    merged: tuple[Expr, ...] = ()
    conditions: tuple[str, ...] = ()
    comma: bool = False  # JOIN binds more tightly, and would not see the first items

    @property
    def leaves(self) -> tuple[Expr, ...]:
        """Every column."""
        return (*self.merged, *(e for one in self.relations for e in one.expressions()))

    @property
    def keyed(self) -> bool:
        """Whether no two rows are alike."""
        return all(one.key is not None for one in self.relations)

    @property
    def names(self) -> tuple[str, ...]:
        """What whole rows can be named by."""
        return tuple(one.name for one in self.relations)

    @property
    def ties(self) -> tuple[Expr, ...]:
        """Columns that tell rows apart, or whose values are all there is to see of a row."""
        found: list[Expr] = []
        for one in self.relations:
            shown = one.expressions()
            if one.key is None:
                found += shown
            else:
                found += [e for e, c in zip(shown, one.columns, strict=True) if c.name in one.key]
        return tuple(found)


def from_clause(g: Gen, outer: Sequence[Expr], depth: int) -> From:
    """One to five items, joined."""
    how = g.choose("from", one=5, two=4.5, three=1.6, four=0.6, five=0.25)
    count = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5}[how]
    source = _item(g, outer, (), depth)
    for _ in range(count - 1):
        source = _join(g, source, outer, depth)
    return source


def _join(g: Gen, left: From, outer: Sequence[Expr], depth: int) -> From:
    kind = g.choose(
        "join",
        inner=5,
        left=3,
        right=1.2,
        full=1.4,
        cross=0.8,
        comma=0.8 if len(left.relations) == 1 else 0.0,
        using=1.2,
        natural=0.5,
        lateral=1.2 if depth > 0 else 0.0,
        function=0.8,
    )
    if left.comma:
        kind = "comma"
    if kind == "lateral" and g.chance("from.lateral", 1.0) and g.spend():
        return _lateral(g, left, outer, depth)
    if kind == "function" and g.chance("from.set_function", 1.0):
        return _function(g, left)
    if kind in {"using", "natural"}:
        joined = _merging(g, left, outer, depth, natural=kind == "natural")
        if joined is not None:
            return joined
    right = _item(g, outer, (), depth)
    if g.chance("join.nested", 0.15):
        right = _nested(g, right, outer, depth)
    if kind in {"cross", "comma"}:
        return _cross(g, left, right, comma=kind == "comma")
    side = {"left": "LEFT", "right": "RIGHT", "full": "FULL"}.get(kind, "INNER")
    test = _on(g, left, right, outer, depth, full=side == "FULL")
    return From(
        f"{left.sql} {side} JOIN {right.sql} ON {test}",
        (*left.relations, *right.relations),
        conditions=left.conditions,
    )


def _cross(g: Gen, left: From, right: From, *, comma: bool) -> From:
    relations = (*left.relations, *right.relations)
    if not comma:
        return From(f"{left.sql} CROSS JOIN {right.sql}", relations, conditions=left.conditions)
    test = _equality(g, left.leaves, right.leaves)
    extra = () if test is None else (test,)
    return From(f"{left.sql}, {right.sql}", relations, (), (*left.conditions, *extra), True)


def _nested(g: Gen, first: From, outer: Sequence[Expr], depth: int) -> From:
    """A join in parentheses, as the right side of another."""
    if depth > 0 and g.chance("nested.lateral", 0.25) and g.spend():
        lateral = _lateral(g, first, outer, depth)
        return From(f"({lateral.sql})", lateral.relations)
    second = _item(g, outer, (), depth)
    side = g.choose("join", inner=1, left=2, full=1).upper()
    test = _on(g, first, second, outer, depth, full=side == "FULL")
    text = f"({first.sql} {side} JOIN {second.sql} ON {test})"
    return From(text, (*first.relations, *second.relations))


def _on(g: Gen, left: From, right: From, outer: Sequence[Expr], depth: int, *, full: bool) -> str:
    """A join condition."""
    test = _equality(g, left.leaves, right.leaves)
    env = Env((*left.leaves, *right.leaves), depth=0 if full else min(depth, 1))
    how = g.choose(
        "on",
        equal=6,
        several=1.5,
        residual=2.5,
        range=1.5,
        null_safe=0.8,
        constant=0.7,
        one_side=0.6,
        condition=1,
    )
    if full and how not in {"equal", "several", "residual", "constant"}:
        how = "equal"
    if test is None or how == "constant":
        return g.pick(("true", "true", "true", "1 = 1", "false"))
    if how == "several":
        return f"{test} AND {_equality(g, left.leaves, right.leaves)}"
    if how == "residual":
        return f"{test} AND {conditions.condition(g, env, 1)}"
    if how == "one_side":
        side = g.pick((left, right))
        return conditions.condition(g, Env(side.leaves), 1)
    if how == "condition":
        return conditions.condition(g, env, 1)
    if how == "range":
        return _range(g, left.leaves, right.leaves)
    return test.replace(" = ", " IS NOT DISTINCT FROM ") if how == "null_safe" else test


def _equality(g: Gen, left: Sequence[Expr], right: Sequence[Expr]) -> str | None:
    """Two columns that are equal, of one type for choice."""
    pairs = [(a, b) for a in left for b in right if comparable(a.type, b.type)]
    same = [(a, b) for a, b in pairs if a.type is b.type]
    if not pairs:
        return None
    one, other = g.pick(same if same and g.chance("on.same_type", 0.8) else pairs)
    return f"{one.sql} = {other.sql}"


def _range(g: Gen, left: Sequence[Expr], right: Sequence[Expr]) -> str:
    one, other = g.pick([(a, b) for a in left for b in right if comparable(a.type, b.type)])
    if one.type.name in {"int", "bigint", "date"} and one.type is other.type:
        return f"{one.sql} BETWEEN {other.sql} AND {other.sql} + 1"
    return f"{one.sql} {g.pick(('<', '<=', '>', '>=', '<>'))} {other.sql}"


def _merging(
    g: Gen, left: From, outer: Sequence[Expr], depth: int, *, natural: bool
) -> From | None:
    """USING and NATURAL, over columns that both sides have under one name."""
    if len(left.relations) != 1:
        return None
    (one,) = left.relations
    right = _item(g, outer, (), depth)
    (other,) = right.relations
    theirs = {c.name: c for c in other.columns}
    shared = [c for c in one.columns if c.name in theirs]
    fitting = [c for c in shared if comparable(c.type, theirs[c.name].type)]
    if not fitting or (natural and len(fitting) < len(shared)):
        return None
    side = g.choose("join", inner=1, left=1, right=1, full=1).upper() + " "
    names = shared if natural else g.few(fitting, 1, 2)
    condition = "" if natural else f" USING ({', '.join(ident(c.name) for c in names)})"
    text = f"{left.sql} {'NATURAL ' if natural else ''}{side}JOIN {right.sql}{condition}"
    merged = tuple(
        # Not for subqueries: a table inside may have a column of that name.
        Expr(ident(c.name), c.type, c.exact and theirs[c.name].exact)
        for c in names
        if c.type is theirs[c.name].type
    )
    return From(text, (*left.relations, *right.relations), merged, left.conditions)


def _lateral(g: Gen, left: From, outer: Sequence[Expr], depth: int) -> From:
    visible = (*left.leaves, *outer)
    if g.chance("lateral.lone", 0.35):
        query = selects.lone(g, Want(), visible, depth - 1)
    else:
        query = queries.query(g, [Want() for _ in range(g.pick((1, 2)))], visible, depth - 1)
    relation = Relation(g.alias("l"), query.columns)
    text = f"LATERAL ({query.sql}) AS {relation.name}"
    return _attached(g, left, relation, text)


def _function(g: Gen, left: From) -> From:
    text, relation = set_functions.item(g, Env(left.leaves))
    return _attached(g, left, relation, text)


def _attached(g: Gen, left: From, relation: Relation, text: str) -> From:
    """Join something that reads the left side."""
    relations = (*left.relations, relation)
    how = g.choose("attached", cross=3, left=3, inner=1, condition=1)
    if how == "cross":
        return From(f"{left.sql} CROSS JOIN {text}", relations, conditions=left.conditions)
    test = "true"
    if how == "condition":
        test = conditions.condition(g, Env((*left.leaves, *relation.expressions())), 1)
    side = "INNER" if how == "inner" else "LEFT"
    return From(f"{left.sql} {side} JOIN {text} ON {test}", relations, conditions=left.conditions)


def _item(g: Gen, outer: Sequence[Expr], left: Sequence[Expr], depth: int) -> From:
    how = g.choose(
        "from",
        relation=6,
        derived=2.4 if depth > 0 else 0.0,
        values=0.3,
        set_function=0.25,
    )
    if how == "derived" and g.spend():
        return derived(g, depth)
    if how == "values":
        return _values(g)
    if how == "set_function":
        text, relation = set_functions.item(g, Env(()))
        return From(text, (relation,))
    return named(g)


def named(g: Gen) -> From:
    """A table, a view, a stream table, a query of WITH."""
    locals_ = [one for one in g.relations if one.kind == "cte"]
    found = g.pick(locals_ if locals_ and g.chance("from.cte", 0.75) else g.relations)
    return aliased(g, found)


def aliased(g: Gen, relation: Relation) -> From:
    """A relation under a new name, sometimes with other names for its columns."""
    name = g.alias("r")
    if g.chance("from.column_alias", 0.06):
        columns = tuple(
            Column(f"k{i}", c.type, c.exact) for i, c in enumerate(relation.columns, 1)
        )
        names = {c.name: n.name for c, n in zip(relation.columns, columns, strict=True)}
        key = None if relation.key is None else tuple(names[k] for k in relation.key)
        listed = ", ".join(c.name for c in columns)
        return From(f"{relation.name} AS {name}({listed})", (Relation(name, columns, key),))
    return From(f"{relation.name} AS {name}", (Relation(name, relation.columns, relation.key),))


def derived(g: Gen, depth: int) -> From:
    """A query in FROM."""
    want = [Want() for _ in range(g.pick((1, 2, 2, 3)))]
    query = queries.query(g, want, (), depth - 1)
    name = g.alias("q")
    return From(f"({query.sql}) AS {name}", (Relation(name, query.columns),))


def _values(g: Gen) -> From:
    query = queries.values(g, [Want(), Want()])
    name = g.alias("v")
    columns = tuple(Column(f"c{i}", c.type, c.exact) for i, c in enumerate(query.columns, 1))
    listed = ", ".join(c.name for c in columns)
    return From(f"({query.sql}) AS {name}({listed})", (Relation(name, columns),))
