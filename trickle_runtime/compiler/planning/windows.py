"""Planning of window functions, DISTINCT ON and ORDER BY … LIMIT.

Windows with different PARTITION BY become one operator each, one above the other. Invariant: what
is ordered by is a column of the rows below, so the kept output can be computed from them alone. In
a correlated query everything is partitioned by the carried values as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from trickle_runtime.compiler import nullability
from trickle_runtime.compiler.dialect import render
from trickle_runtime.compiler.keys import PartitionKey
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.operators.filter import Filter
from trickle_runtime.compiler.operators.partition import Partition
from trickle_runtime.compiler.operators.top_k import TopK
from trickle_runtime.compiler.planning.tools import Tools
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.compiler.template import comma, fill, ident
from trickle_runtime.compiler.term import ref

_WINDOWS = "SELECT r.*, $windows FROM ($rows) r"
_ALL_ROWS = 2**62  # more than there are
_LIMITED = "SELECT r.* FROM ($rows) r ORDER BY $order $limits"
_ROWS = "$rows"
_COUNTING = frozenset({"row_number", "rank", "dense_rank", "count", "ntile"})


def inline_windows(select: exp.Select) -> exp.Select:
    """Write named windows where they are used."""
    definitions: list[exp.Window] = select.args.get("windows") or []
    if not definitions:
        return select
    named = {definition.this.name: definition for definition in definitions}
    copied = select.copy()
    copied.set("windows", None)
    for window in list(copied.find_all(exp.Window)):
        _inline(window, named)
    return copied


def _inline(window: exp.Window, named: dict[str, exp.Window]) -> None:
    """Take the parts that a window has from a named one, which may have them from another."""
    while True:
        name = window.args.get("alias")
        if not isinstance(name, exp.Identifier) or name.name not in named:
            return
        definition = named[name.name].copy()
        for part in ("partition_by", "order", "spec"):
            if not window.args.get(part):
                window.set(part, definition.args.get(part))
        window.set("alias", definition.args.get("alias"))


@dataclass(frozen=True)
class Values:
    """Expressions over an operator: those that are wanted, and the carried ones."""

    operator: Operator
    wanted: tuple[exp.Expr, ...]
    carried: tuple[exp.Expr, ...] = ()

    def moved(self, operator: Operator, wanted: Sequence[exp.Expr] | None = None) -> Values:
        """The same over an operator that passes its child's columns on."""
        values = self.wanted if wanted is None else wanted
        old, new = self.operator.alias, operator.alias
        return Values(
            operator,
            tuple(move(value, old, new) for value in values),
            tuple(move(value, old, new) for value in self.carried),
        )


def plan_windows(values: Values, tools: Tools) -> Values:
    """Compute the window functions in ``wanted`` and put columns in their places."""
    while True:
        holders = [exp.Paren(this=value.copy()) for value in values.wanted]
        windows = [w for holder in holders for w in holder.find_all(exp.Window)]
        windows = [w for w in windows if w.find_ancestor(exp.Query) is None]
        if not windows:
            return values
        first = _partition_text(windows[0])
        group = [w for w in windows if _partition_text(w) == first]
        partition = _window_partition(group, values, tools)
        for number, window in enumerate(group):
            window.replace(ref(values.operator.alias, f"w{number}.{partition.alias}"))
        values = values.moved(partition, [holder.this for holder in holders])


def plan_distinct_on(
    keys: Sequence[exp.Expr], order: Sequence[exp.Ordered], values: Values, tools: Tools
) -> TopK:
    """One row per value of ``keys``, the first in ``order``; all over the values' operator."""
    texts = {text(key) for key in keys}
    rest = [o for o in order if text(o.this) not in texts]
    by = _keys([*keys, *values.carried], values.operator, tools)
    plain = [k.value.name for k in by if isinstance(k.value, exp.Column)]
    unique = (frozenset(plain),) if len(plain) == len(by) else ()
    identity = tools.identity(values.operator)
    first = [_ordered(o, values.operator) for o in rest] or ["1"]
    return TopK(
        tools.alias("k"),
        values.operator,
        by,
        identity,
        comma(first),
        _read(rest, values.operator),
        1,
        key=unique,
    )


@dataclass(frozen=True)
class Limits:
    """LIMIT and OFFSET as numbers, where they are constants; None: all rows."""

    limit: int | None
    offset: int
    ties: bool
    constant: bool
    text: str


def limits_of(tree: exp.Expr) -> Limits:
    """Read LIMIT, OFFSET and FETCH.

    Raises:
        NotIncremental: they depend on something.
    """
    parts: list[str] = []
    numbers: dict[str, int | None] = {"limit": None, "offset": 0}
    constant, ties = True, False
    for name in ("offset", "limit"):
        clause = tree.args.get(name)
        if clause is None:
            continue
        if clause.find(exp.Column, exp.Query) is not None:
            raise NotIncremental("LIMIT", "a LIMIT that is no constant")
        parts.append(render(clause).strip())
        value = clause.args.get("count") or clause.args.get("expression")
        options = clause.args.get("limit_options")
        ties = ties or bool(options is not None and options.args.get("with_ties"))
        known, number = _number(value)
        constant = constant and known
        numbers[name] = number
    limit, offset = numbers["limit"], numbers["offset"] or 0
    return Limits(limit, offset, ties, constant, " ".join(parts))


def _number(value: exp.Expr | None) -> tuple[bool, int | None]:
    """Whether a bound is a constant, and which; ALL and NULL are no bound."""
    while isinstance(value, (exp.Paren, exp.Cast)):
        value = value.this
    if value is None:
        return True, 1  # FETCH FIRST ROW
    if isinstance(value, exp.Null) or value.name.upper() == "ALL":
        return True, None
    if isinstance(value, exp.Literal) and value.name.isdecimal():
        return True, int(value.name)
    return False, None


def plan_limit(
    order: Sequence[exp.Ordered], limits: Limits, values: Values, tools: Tools
) -> Operator:
    """The first rows of the values' operator in ``order``, per carried value."""
    operator = values.operator
    by = _keys(list(values.carried), operator, tools)
    if limits.constant and limits.limit is None and not limits.offset:
        return operator
    if limits.constant and limits.limit == 0:
        return Filter(tools.alias("f"), operator, exp.false())
    ordered = comma([_ordered(o, operator) for o in order])
    limit = limits.limit
    if limits.constant and limit is None and by:
        limit = _ALL_ROWS  # OFFSET alone; of each value the rows are kept
    if not limits.constant or limit is None:
        if by:
            raise NotIncremental("LIMIT", "a LIMIT that is no constant in a correlated query")
        body = fill(_LIMITED, rows=_ROWS, order=ordered, limits=limits.text)
        reads = _read(order, operator)
        unique = _unique(operator, tools)
        return Partition(tools.alias("w"), operator, (), (), body, reads, operator.keys, unique)
    plain = [k.value.name for k in by if isinstance(k.value, exp.Column)]
    single = limit == 1 and not limits.ties and len(plain) == len(by)
    return TopK(
        tools.alias("k"),
        operator,
        by,
        tools.identity(operator),
        ordered,
        _read(order, operator),
        limit,
        limits.offset,
        limits.ties,
        (frozenset(plain),) if single else (),
    )


def _window_partition(group: Sequence[exp.Window], values: Values, tools: Tools) -> Partition:
    source = values.operator
    alias = tools.alias("w")
    given = partition_by(group[0])
    by = _keys([*given, *values.carried], source, tools)
    added = tuple(Column(f"w{n}.{alias}", _never_null(window)) for n, window in enumerate(group))
    texts: list[str] = []
    for window, shown in zip(group, added, strict=True):
        over = move(window, source.alias, "r")
        if values.carried:
            carried = [move(value, source.alias, "r") for value in values.carried]
            over.set("partition_by", [*partition_by(over), *carried])
        texts.append(f"{render(over)} AS {ident(shown.name)}")
    body = fill(_WINDOWS, windows=comma(texts), rows=_ROWS)
    found = [*group, *values.carried]
    reads = frozenset(
        node.name
        for expression in found
        for node in expression.find_all(exp.Column)
        if node.table == source.alias
    )
    return Partition(alias, source, by, added, body, reads, source.keys, _unique(source, tools))


def _unique(operator: Operator, tools: Tools) -> tuple[OutputColumn, ...] | None:
    """The facts on the columns of the shortest key; None where there is no key."""
    if not operator.keys:
        return None
    key = min(operator.keys, key=len)
    return tuple(item for item in tools.identity(operator) if item.name in key)


def partition_by(window: exp.Expr) -> list[exp.Expr]:
    """The expressions of PARTITION BY."""
    return window.args.get("partition_by") or []


def _never_null(window: exp.Window) -> bool:
    call = window.this
    name = call.this if isinstance(call, exp.Anonymous) else ""
    return name in _COUNTING


def _keys(values: list[exp.Expr], source: Operator, tools: Tools) -> tuple[PartitionKey, ...]:
    keys: list[PartitionKey] = []
    for number, (value, facts) in enumerate(
        zip(values, tools.types_of(values, source), strict=True)
    ):
        if not facts.equality:
            raise NotIncremental("KEY_TYPE", f"{render(value)} is of type {facts.type}")
        never = nullability.never_null(value, [source])
        shown = facts.identity(f"__pgt_p{number}", not_null=never)
        keys.append(PartitionKey(value.copy(), shown))
    return tuple(keys)


def _ordered(ordered: exp.Ordered, source: Operator) -> str:
    return render(move(ordered.this, source.alias, "r")) + _direction(ordered)


def _direction(ordered: exp.Ordered) -> str:
    words = " DESC" if ordered.args.get("desc") else ""
    first = ordered.args.get("nulls_first")
    return f"{words} NULLS {'FIRST' if first else 'LAST'}"


def _read(order: Sequence[exp.Ordered], source: Operator) -> frozenset[str]:
    return frozenset(
        node.name
        for ordered in order
        for node in ordered.find_all(exp.Column)
        if node.table == source.alias
    )


def _partition_text(window: exp.Window) -> str:
    return "|".join(sorted(text(part) for part in partition_by(window)))


def text(node: exp.Expr) -> str:
    """Text by which expressions are compared."""
    while isinstance(node, exp.Paren):
        node = node.this
    return render(node)


def move(expression: exp.Expr, old: str, new: str) -> exp.Expr:
    """The same expression over an operator that passes its child's columns on."""

    def moved(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and node.table == old:
            return ref(new, node.name)
        return node

    return expression.copy().transform(moved, copy=False)
