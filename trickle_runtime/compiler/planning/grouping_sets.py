"""GROUPING SETS, ROLLUP and CUBE as a union of one GROUP BY per set.

In the branch of a set the grouping expressions outside of it are NULL, ``GROUPING()`` a constant.
Everything above the groups, HAVING as well, is a query over the united branches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations, product

from sqlglot import exp

from trickle_runtime.compiler.dialect import render
from trickle_runtime.compiler.planning.scope import Scope, free_columns
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.term import raw

MOST_SETS = 64
UNITED = "grouping sets"


def has_sets(select: exp.Select) -> bool:
    """Whether a GROUP BY is more than a list of expressions, or GROUPING() asks for its set."""
    group = select.args.get("group")
    if group is None:
        return False
    outputs = [*select.expressions, *(select.args.get(n) for n in ("having", "order"))]
    return any(
        isinstance(item, (exp.GroupingSets, exp.Cube, exp.Rollup, exp.Tuple))
        for item in group.expressions
    ) or any(_groupings(part) for part in outputs if part is not None)


def _groupings(part: exp.Expr) -> list[exp.Anonymous]:
    """Calls of ``GROUPING`` for the sets of the query that a part is of, not of one inside."""
    free = {id(column) for column in free_columns(part)}
    return [
        call
        for call in part.find_all(exp.Anonymous)
        if isinstance(call.this, str)
        and call.this.upper() == "GROUPING"
        and all(id(column) in free for column in call.find_all(exp.Column))
    ]


def expand(select: exp.Select, most: int) -> list[list[exp.Expr]]:
    """The sets of a GROUP BY, each a list of expressions.

    Raises:
        NotIncremental: there are more than ``most``.
    """
    group = select.args["group"]
    choices = [_sets(item) for item in group.expressions]
    found = [[e for part in chosen for e in part] for chosen in product(*choices)]
    if group.args.get("all") is False:  # GROUP BY DISTINCT: each set of expressions once
        found = list({frozenset(map(text, chosen)): chosen for chosen in found}.values())
    if len(found) > most:
        raise NotIncremental("GROUPING_SETS", f"{len(found)} grouping sets")
    return found


def qualified(select: exp.Select, scope: Scope) -> exp.Select:
    """The same query with every column's table: PostgreSQL prints it in some clauses only."""
    copied = select.copy()
    clauses = (copied.args.get(name) for name in ("group", "having", "order", "distinct"))
    for part in (*copied.expressions, *(clause for clause in clauses if clause is not None)):
        for column in list(free_columns(part)):
            if column.table or column.name in scope.merged:
                continue
            owner = next((item for item in scope.items if column.name in item.columns), None)
            if owner is not None:
                column.set("table", exp.to_identifier(owner.name))
    return copied


@dataclass(frozen=True)
class Split:
    """A query over grouping sets, taken apart.

    Attributes:
        united: name of the united groups; one inside of another must not hide it.
        above: the query over the united groups, whose columns stand for what was replaced.
        keys: grouping expressions by text; ``names`` are those of their columns, likewise.
        others: aggregate calls, and columns that the groups determine, by name.
        groupings: calls of ``GROUPING`` by name.
    """

    united: str
    above: exp.Select
    keys: Mapping[str, exp.Expr]
    names: Mapping[str, str]
    others: Mapping[str, exp.Expr]
    groupings: Mapping[str, exp.Expr]


def split(
    select: exp.Select,
    sets: Sequence[Sequence[exp.Expr]],
    calls: Callable[[exp.Expr], Iterable[exp.Expr]],
    united: str,
) -> Split:
    """Separate what is computed per group from what is computed of the groups.

    Args:
        select: the whole query.
        sets: its grouping sets.
        calls: gives the aggregate calls in an expression.
        united: a new name.
    """
    keys = {text(e): e for chosen in sets for e in chosen}
    names = {key: f"g{number}" for number, key in enumerate(keys)}
    found = _Replaced(keys, names, united)
    above = exp.Select(
        expressions=[
            exp.alias_(found.replace(o.unalias(), calls), o.alias_or_name, quoted=True)
            for o in select.expressions
        ],
        from_=exp.From(this=exp.Table(this=exp.to_identifier(united, quoted=True))),
    )
    having = select.args.get("having")
    if having is not None:
        above.set("where", exp.Where(this=found.replace(having.this, calls)))
    for clause in ("order", "distinct"):
        if select.args.get(clause) is not None:
            above.set(clause, found.replace(select.args[clause], calls))
    for clause in ("limit", "offset"):
        above.set(clause, select.args.get(clause))
    return Split(united, above, keys, names, found.others, found.groupings)


class _Replaced:
    """Replaces what the groups supply by columns, and remembers it."""

    def __init__(
        self, keys: Mapping[str, exp.Expr], names: Mapping[str, str], united: str
    ) -> None:
        self.keys, self.names, self.united = keys, names, united
        self.others: dict[str, exp.Expr] = {}
        self.groupings: dict[str, exp.Expr] = {}

    def replace(
        self, expression: exp.Expr, calls: Callable[[exp.Expr], Iterable[exp.Expr]]
    ) -> exp.Expr:
        holder = exp.Paren(this=expression.copy())
        for call in list(calls(holder)):
            call.replace(self._column(self.others, "a", call))
        for call in _groupings(holder):
            call.replace(self._column(self.groupings, "p", call))
        holder.set("this", holder.this.transform(self._key))
        for column in list(free_columns(holder)):
            if column.table != self.united:
                column.replace(self._column(self.others, "x", column))
        return holder.this

    def _key(self, node: exp.Expr) -> exp.Expr:
        name = self.names.get(text(node)) if isinstance(node, exp.Condition) else None
        return node if name is None else self._united(name)

    def _column(self, known: dict[str, exp.Expr], prefix: str, node: exp.Expr) -> exp.Column:
        wanted = text(node)
        for name, other in known.items():
            if text(other) == wanted:
                return self._united(name)
        name = f"{prefix}{len(known)}"
        known[name] = node.copy()
        return self._united(name)

    def _united(self, name: str) -> exp.Column:
        return exp.column(name, table=exp.to_identifier(self.united, quoted=True))


def branch(
    select: exp.Select,
    found: Split,
    chosen: Sequence[exp.Expr],
    types: Mapping[str, str],
    meaning: Callable[[exp.Expr], str],
) -> exp.Select:
    """The groups of one set, with NULL for the grouping expressions outside of it.

    Args:
        select: the whole query.
        found: see ``split``.
        chosen: the expressions of the set.
        types: type per text of every grouping expression.
        meaning: text of an expression over the plan's columns; PostgreSQL prints a merged column
            of USING in two ways.
    """
    inside = {text(e) for e in chosen}
    meant = {meaning(e) for e in chosen}
    outputs: dict[str, exp.Expr] = {
        found.names[key]: value if key in inside else raw(f"NULL::{types[key]}")
        for key, value in found.keys.items()
    }
    outputs |= found.others
    for name, call in found.groupings.items():
        bits = "".join("0" if meaning(a) in meant else "1" for a in call.expressions)
        outputs[name] = exp.Literal.number(int(bits, 2))
    return exp.Select(
        expressions=[exp.alias_(value.copy(), name) for name, value in outputs.items()],
        group=exp.Group(expressions=[e.copy() for e in chosen]),
        **{name: select.args.get(name) for name in ("from_", "joins", "laterals", "where")},
    )


def over_union(found: Split, branches: Sequence[exp.Select]) -> exp.Select:
    """The whole query with the united branches in FROM, as one of a correlated query is."""

    def both(one: exp.Expr, other: exp.Expr) -> exp.Expr:
        return exp.Union(this=one, expression=other, distinct=False)

    above = found.above.copy()
    alias = exp.TableAlias(this=exp.to_identifier(found.united, quoted=True))
    rows = exp.Subquery(this=reduce(both, branches), alias=alias)
    above.set("from_", exp.From(this=rows))
    return above


def text(node: exp.Expr) -> str:
    """Text by which expressions are compared."""
    while isinstance(node, exp.Paren):
        node = node.this
    return render(node)


def _sets(item: exp.Expr) -> list[list[exp.Expr]]:
    if isinstance(item, exp.Rollup):
        parts = [_members(e) for e in item.expressions]
        return [[e for p in parts[:n] for e in p] for n in range(len(parts), -1, -1)]
    if isinstance(item, exp.Cube):
        parts = [_members(e) for e in item.expressions]
        return [
            [e for p in chosen for e in p]
            for n in range(len(parts), -1, -1)
            for chosen in combinations(parts, n)
        ]
    if isinstance(item, exp.GroupingSets):
        return [found for e in item.expressions for found in _sets(e)]
    return [_members(item)]


def _members(item: exp.Expr) -> list[exp.Expr]:
    if isinstance(item, exp.Tuple):
        return list(item.expressions)
    if isinstance(item, exp.Paren) and isinstance(item.this, exp.Tuple):
        return list(item.this.expressions)
    return [item]
