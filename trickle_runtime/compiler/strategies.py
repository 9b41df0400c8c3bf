"""How each part of a plan is maintained, in words: what ``validate_query`` and ``explain`` show.

Invariant: one line for every operator whose rule a user may want to know before creation; plain
scans, projections and filters are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from trickle_runtime.compiler.joining import equality
from trickle_runtime.compiler.operators.aggregate import Aggregate
from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.operators.clock import Clock
from trickle_runtime.compiler.operators.inner_join import InnerJoin
from trickle_runtime.compiler.operators.left_join import LeftJoin
from trickle_runtime.compiler.operators.parameter_filter import ParameterFilter
from trickle_runtime.compiler.operators.partition import Partition
from trickle_runtime.compiler.operators.recompute import Recompute
from trickle_runtime.compiler.operators.recursive import Recursive
from trickle_runtime.compiler.operators.reference import Reference
from trickle_runtime.compiler.operators.scan import Scan
from trickle_runtime.compiler.operators.semi_join import SemiJoin
from trickle_runtime.compiler.operators.table_function import TableFunction
from trickle_runtime.compiler.operators.top_k import TopK
from trickle_runtime.compiler.operators.union_all import UnionAll

_AGGREGATES = {
    "addition": "kept by addition",
    "three-case": "kept by three cases; a group that loses its extreme is computed again",
    "recompute": "computed again for the groups that changed",
}


@dataclass(frozen=True)
class Strategy:
    """One line: ``construct`` is a word for the kind of operator, ``warning`` asks for a look."""

    construct: str
    text: str
    warning: bool = False


def strategies(root: Operator) -> list[Strategy]:
    """Say how the operators of a plan are maintained, inputs first."""
    found = [one for operator in root.walk() for one in _of(operator)]
    return [*found, *_repeated(root)]


def _of(operator: Operator) -> Iterator[Strategy]:
    describe = _KINDS.get(type(operator))
    if describe is not None:
        yield from describe(operator)


def _aggregate(operator: Aggregate) -> Iterator[Strategy]:
    if not operator.outputs:
        yield Strategy("distinct", "groups are counted; a row goes when its count is 0")
    for output in operator.outputs:
        how = _AGGREGATES.get(output.maintained.strategy, output.maintained.strategy)
        recomputed = output.maintained.strategy == "recompute"
        kind = "group_recompute" if recomputed else "aggregate"
        yield Strategy(kind, f"{_named(operator, output.call)}: {how}")


def _named(operator: Aggregate, call: str) -> str:
    """The call with the query's own expressions in the places of the inputs' short names."""
    for row in sorted(operator.rows, key=lambda one: -len(one.name)):
        if row.value is not None:
            call = call.replace(f'"{row.name}"', row.value.sql("postgres"))
    return call


def _inner_join(operator: InnerJoin) -> Iterator[Strategy]:
    inputs = len(operator.parts)
    yield Strategy("join", f"inner join of {inputs} inputs: one term per set of changed ones")
    joined = {c.table for p in operator.predicates for c in equality(p)}
    if len(joined) < inputs:
        what = "without an equality: each change is compared with all rows of the other side"
        yield Strategy("non_equi_join", f"a join {what}", warning=True)


def _left_join(operator: LeftJoin) -> Iterator[Strategy]:
    yield from _matched("outer_join", "the rows without a partner", bool(operator.match))


def _semi_join(operator: SemiJoin) -> Iterator[Strategy]:
    kind = "anti_join" if operator.negated else "semi_join"
    yield from _matched(kind, "the rows whose partners come or go", bool(operator.match))


def _matched(kind: str, what: str, equal: bool) -> Iterator[Strategy]:
    how = "by the values that changed" if equal else "by a join of all rows with what changed"
    yield Strategy(kind, f"matches are counted before and after, for {what}, {how}", not equal)


def _partition(operator: Partition) -> Iterator[Strategy]:
    what = "partitions that changed" if operator.by else "all rows, for there is no PARTITION BY,"
    yield Strategy("window", f"{what} are computed again", warning=not operator.by)


def _top_k(operator: TopK) -> Iterator[Strategy]:
    per = " per key" if operator.by else ""
    kept = operator.limit + operator.offset
    text = f"the first {kept} rows{per} are kept; computed again where more of them go than come"
    yield Strategy("top_k", text)


def _recursive(operator: Recursive) -> Iterator[Strategy]:
    yield Strategy(
        "recursion", "insertions go on from new rows; deletions delete and derive again"
    )


def _recompute(operator: Recompute) -> Iterator[Strategy]:
    text = f"this part is computed again when what it reads has changed ({operator.reason})"
    yield Strategy("recomputed_node", text, warning=True)


def _clock(operator: Clock) -> Iterator[Strategy]:
    yield Strategy("time", "the time is a source that always changes; stored with the frontier")


def _parameter_filter(operator: ParameterFilter) -> Iterator[Strategy]:
    ranged = operator.range() is not None
    how = "the rows between the old and the new value" if ranged else "all rows, with both values"
    text = f"a filter by values that change: reads {how}"
    yield Strategy("parameter_filter", text, warning=not ranged)


def _table_function(operator: TableFunction) -> Iterator[Strategy]:
    yield Strategy("table_function", "the function is called for the rows that changed")


def _union_all(operator: UnionAll) -> Iterator[Strategy]:
    yield Strategy("union_all", f"the differences of {len(operator.branches)} branches together")


def _reference(operator: Reference) -> Iterator[Strategy]:
    if operator.shared:
        yield Strategy("shared_subquery", "used several times: its difference is computed once")


def _repeated(root: Operator) -> Iterator[Strategy]:
    tables = Counter(node.table for node in root.walk() if isinstance(node, Scan))
    for table, times in sorted(tables.items()):
        if times > 1:
            text = f"{table} is read {times} times: each is an input of its own in the terms"
            yield Strategy("multi_scan", text)


_KINDS: dict[type[Operator], Callable[[Any], Iterator[Strategy]]] = {
    Aggregate: _aggregate,
    InnerJoin: _inner_join,
    LeftJoin: _left_join,
    SemiJoin: _semi_join,
    Partition: _partition,
    TopK: _top_k,
    Recursive: _recursive,
    Recompute: _recompute,
    Clock: _clock,
    ParameterFilter: _parameter_filter,
    TableFunction: _table_function,
    UnionAll: _union_all,
    Reference: _reference,
}
