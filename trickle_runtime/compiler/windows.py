"""Planning of window functions, DISTINCT ON and ORDER BY … LIMIT as partitions.

Windows with different PARTITION BY become one operator each, one above the other. Invariant: what
is ordered by is a column of the rows below, so the kept output can be computed from them alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from trickle_runtime.compiler import nullability
from trickle_runtime.compiler.dialect import render
from trickle_runtime.compiler.grouping import Tools
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.operators.partition import Partition, PartitionKey
from trickle_runtime.compiler.operators.project import Item, Project
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.compiler.template import column, comma, fill, ident
from trickle_runtime.compiler.term import ref, union

_WINDOWS = "SELECT r.*, $windows FROM ($rows) r"
_DISTINCT_ON = "SELECT DISTINCT ON ($keys) r.* FROM ($rows) r ORDER BY $order"
_LIMITED = "SELECT r.* FROM ($rows) r ORDER BY $order $limits"
_ROWS = "$rows"


def inline_windows(select: exp.Select) -> exp.Select:
    """Write named windows where they are used."""
    definitions: list[exp.Window] = select.args.get("windows") or []
    if not definitions:
        return select
    named = {definition.this.name: definition for definition in definitions}
    copied = select.copy()
    copied.set("windows", None)
    for window in list(copied.find_all(exp.Window)):
        name = window.args.get("alias")
        if isinstance(name, exp.Identifier) and name.name in named:
            definition = named[name.name].copy()
            for part in ("partition_by", "order", "spec"):
                if window.args.get(part) is None:
                    window.set(part, definition.args.get(part))
            window.set("alias", None)
    return copied


def plan_windows(
    values: Sequence[exp.Expr], source: Operator, tools: Tools
) -> tuple[list[exp.Expr], Operator]:
    """Compute the window functions in ``values`` and put columns in their places.

    Args:
        values: expressions over ``source``.
        source: the rows.
        tools: see ``Tools``.
    """
    found = [value.copy() for value in values]
    while True:
        holders = [exp.Paren(this=value) for value in found]
        windows = [w for holder in holders for w in holder.find_all(exp.Window)]
        if not windows:
            return [holder.this for holder in holders], source
        first = _partition_text(windows[0])
        group = [w for w in windows if _partition_text(w) == first]
        partition = _window_partition(group, source, tools)
        for number, window in enumerate(group):
            window.replace(ref(source.alias, f"w{number}.{partition.alias}"))
        found = [_moved(h.this, source.alias, partition.alias) for h in holders]
        source = partition


def plan_distinct_on(
    keys: Sequence[exp.Expr],
    order: Sequence[exp.Ordered],
    source: Operator,
    tools: Tools,
) -> Partition:
    """One row per value of ``keys``, the first in ``order``; all over ``source``."""
    rest = [o for o in order if _text(o.this) not in {_text(k) for k in keys}]
    by = _keys(list(keys), source, tools)
    names = [column("r", k.identity.name) for k in by]
    body = fill(
        _DISTINCT_ON,
        keys=comma(names),
        rows=_ROWS,
        order=comma([*_leading(order, keys, names), *(_ordered(o, source) for o in rest)]),
    )
    reads = _read(rest, source)
    plain = {k.value.name for k in by if isinstance(k.value, exp.Column)}
    key = (frozenset(plain),) if len(plain) == len(by) else ()
    return Partition(tools.alias("w"), source, by, (), body, reads, key)


def plan_limit(
    order: Sequence[exp.Ordered], limits: str, source: Operator, tools: Tools
) -> Partition:
    """The first rows of ``source`` in ``order``."""
    body = fill(
        _LIMITED, rows=_ROWS, order=comma([_ordered(o, source) for o in order]), limits=limits
    )
    return Partition(tools.alias("w"), source, (), (), body, _read(order, source), source.keys)


def limits_of(tree: exp.Query) -> str:
    """LIMIT, OFFSET and FETCH as text.

    Raises:
        NotIncremental: they are no constants.
    """
    parts: list[str] = []
    for name in ("offset", "limit"):
        clause = tree.args.get(name)
        if clause is None:
            continue
        if clause.find(exp.Column, exp.Query) is not None:
            raise NotIncremental("LIMIT", "a LIMIT that is no constant")
        parts.append(render(clause).strip())
    return " ".join(parts)


def _window_partition(group: Sequence[exp.Window], source: Operator, tools: Tools) -> Partition:
    alias = tools.alias("w")
    by = _keys(list(group[0].args.get("partition_by") or []), source, tools)
    added = tuple(Column(f"w{n}.{alias}", _never_null(window)) for n, window in enumerate(group))
    texts = [
        f"{render(_over_rows(window, source))} AS {ident(c.name)}"
        for window, c in zip(group, added, strict=True)
    ]
    body = fill(_WINDOWS, windows=comma(texts), rows=_ROWS)
    reads = frozenset(
        node.name
        for window in group
        for node in window.find_all(exp.Column)
        if node.table == source.alias
    )
    return Partition(alias, source, by, added, body, reads, source.keys)


def _never_null(window: exp.Window) -> bool:
    call = window.this
    name = call.this if isinstance(call, exp.Anonymous) else ""
    return name in {"row_number", "rank", "dense_rank", "count", "ntile"}


def _keys(values: list[exp.Expr], source: Operator, tools: Tools) -> tuple[PartitionKey, ...]:
    if not values:
        return ()
    names = [f"v{i}" for i in range(len(values))]
    items = tuple(Item(Column(n), v.copy()) for n, v in zip(names, values, strict=True))
    probe = Project(tools.alias("probe"), source, items)
    query = union(probe.current(tools.context()), names, weighted=False)
    keys: list[PartitionKey] = []
    for number, (value, facts) in enumerate(
        zip(values, tools.describer.describe(query), strict=True)
    ):
        if not facts.equality:
            raise NotIncremental("KEY_TYPE", f"{render(value)} is of type {facts.type}")
        never = nullability.never_null(value, [source])
        shown = OutputColumn(
            f"__p{number}",
            facts.type,
            never,
            facts.collation,
            exact=facts.exact,
            bounded=facts.bounded,
        )
        keys.append(PartitionKey(value.copy(), shown))
    return tuple(keys)


def _leading(
    order: Sequence[exp.Ordered], keys: Sequence[exp.Expr], names: list[str]
) -> list[str]:
    """The keys first, in the direction that the query orders them by."""
    by_text = {_text(o.this): o for o in order}
    found: list[str] = []
    for key, name in zip(keys, names, strict=True):
        ordered = by_text.get(_text(key))
        found.append(name + (_direction(ordered) if ordered is not None else ""))
    return found


def _ordered(ordered: exp.Ordered, source: Operator) -> str:
    return render(_over_rows(ordered.this, source)) + _direction(ordered)


def _direction(ordered: exp.Ordered) -> str:
    text = " DESC" if ordered.args.get("desc") else ""
    first = ordered.args.get("nulls_first")
    return f"{text} NULLS {'FIRST' if first else 'LAST'}"


def _over_rows(expression: exp.Expr, source: Operator) -> exp.Expr:
    return _moved(expression, source.alias, "r")


def _read(order: Sequence[exp.Ordered], source: Operator) -> frozenset[str]:
    return frozenset(
        node.name
        for ordered in order
        for node in ordered.find_all(exp.Column)
        if node.table == source.alias
    )


def _partition_text(window: exp.Window) -> str:
    parts: list[exp.Expr] = window.args.get("partition_by") or []
    return "|".join(sorted(_text(p) for p in parts))


def _text(node: exp.Expr) -> str:
    while isinstance(node, exp.Paren):
        node = node.this
    return render(node)


def _moved(expression: exp.Expr, old: str, new: str) -> exp.Expr:
    def move(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and node.table == old:
            return ref(new, node.name)
        return node

    return expression.copy().transform(move)
