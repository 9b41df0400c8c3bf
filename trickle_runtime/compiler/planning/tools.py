"""What planning needs besides the tree: names, facts on types, notes.

Invariant: the types that decide between rules come from PostgreSQL, never from guesses on the
text. PostgreSQL is asked only where the plan does not know already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count

from sqlglot import exp

from trickle_runtime.compiler import nullability, scales
from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.joining import output_name
from trickle_runtime.compiler.operators.aggregate import Aggregate
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.operators.filter import Filter
from trickle_runtime.compiler.operators.inner_join import InnerJoin
from trickle_runtime.compiler.operators.left_join import LeftJoin
from trickle_runtime.compiler.operators.net import Net
from trickle_runtime.compiler.operators.parameter_filter import ParameterFilter
from trickle_runtime.compiler.operators.project import Item, Project
from trickle_runtime.compiler.operators.recursion_scan import RecursionScan
from trickle_runtime.compiler.operators.reference import Reference
from trickle_runtime.compiler.operators.repeat import Repeat
from trickle_runtime.compiler.operators.scan import Scan
from trickle_runtime.compiler.operators.semi_join import SemiJoin
from trickle_runtime.compiler.operators.top_k import TopK
from trickle_runtime.compiler.operators.union_all import UnionAll
from trickle_runtime.compiler.planning.scope import is_planned
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.result import OutputColumn, Reason
from trickle_runtime.compiler.schema import Described, Describer, Functions, Schema
from trickle_runtime.compiler.template import comma, fill, ident
from trickle_runtime.compiler.term import ref, union
from trickle_runtime.config import Schemas

_NO_ROWS = "(SELECT $columns WHERE false)"
_TRANSPARENT = (Filter, Repeat, Net, Reference, ParameterFilter, TopK)


class Tools:
    """Serves the planning of one query."""

    def __init__(self, schema: Schema, describer: Describer) -> None:
        self.schema = schema
        self.notes: list[Reason] = []
        self._describer = describer
        self._numbers = count(1)
        self._facts: dict[str, tuple[Described, ...]] = {}
        self._made: dict[tuple[str, ...], Aggregate] = {}
        self._recursions: dict[str, str] = {}

    @property
    def functions(self) -> Functions:
        """Facts on the functions that the query calls."""
        return self.schema.functions

    def side_by_side(self, rows: Sequence[Operator], over: exp.Expr) -> tuple[exp.Expr, Operator]:
        """Join operators of one row each; an expression over them becomes one over the join.

        What it reads of other operators stays.
        """
        if len(rows) == 1:
            return over, rows[0]
        joined = InnerJoin(self.alias("j"), tuple(rows), ())
        names = {row.alias for row in rows}

        def moved(node: exp.Expr) -> exp.Expr:
            if isinstance(node, exp.Column) and is_planned(node) and node.table in names:
                return ref(joined.alias, output_name(node.table, node.name))
            return node

        return over.copy().transform(moved, copy=False), joined

    def alias(self, prefix: str) -> str:
        """A new name for an operator; ``scope.is_planned`` knows such names."""
        return f"_{prefix}{next(self._numbers)}"

    def once(self, what: tuple[str, ...], make: Callable[[], Aggregate]) -> Aggregate:
        """The operator for ``what``, made once: its parents share it, and its state."""
        if what not in self._made:
            self._made[what] = make()
        return self._made[what]

    def note(self, code: str, message: str) -> None:
        """Remember what is worth telling about a node."""
        self.notes.append(Reason(code, message))

    def note_refusal(self, refusal: NotIncremental) -> None:
        """Remember that a node is recomputed, and why."""
        reason = refusal.reason
        self.notes.append(Reason(reason.code, f"recomputed: {reason.message}", reason.hint))

    def facts(self, operator: Operator) -> tuple[Described, ...]:
        """The types of an operator's columns, in their order."""
        if operator.alias not in self._facts:
            found = self._known(operator)
            if found is None:
                found = self.describe(self._text(operator))
            named = zip(operator.columns, found, strict=True)
            self._facts[operator.alias] = tuple(_sharpened(d, c) for c, d in named)
        return self._facts[operator.alias]

    def assume(self, operator: Operator, facts: Sequence[Described]) -> None:
        """Say what types an operator's columns have that PostgreSQL can't be asked for."""
        named = zip(operator.columns, facts, strict=True)
        self._facts[operator.alias] = tuple(replace(d, name=c.name) for c, d in named)

    def assume_rows(self, scan: RecursionScan, facts: Sequence[Described]) -> None:
        """Say what types the rows have that a recursion reads; it has no relation to ask about."""
        self.assume(scan, facts)
        columns = [f"NULL::{d.type} AS {ident(d.name)}" for d in self._facts[scan.alias]]
        self._recursions[scan.of] = fill(_NO_ROWS, columns=comma(columns))

    def stateless(self) -> Context:
        """A context in which operators show their rows as plain queries, for describing."""
        return Context(Schemas(), 0, stateless=True, recursions=dict(self._recursions))

    def fact(self, operator: Operator, name: str) -> Described:
        """The type of one column."""
        return next(d for d in self.facts(operator) if d.name == name)

    def identity(self, operator: Operator) -> tuple[OutputColumn, ...]:
        """An operator's columns with what is needed to match and net its rows."""
        pairs = zip(operator.columns, self.facts(operator), strict=True)
        return tuple(d.identity(c.name, not_null=c.not_null) for c, d in pairs)

    def types_of(self, values: Sequence[exp.Expr], source: Operator) -> Sequence[Described]:
        """The types of expressions over an operator's columns."""
        if not values:
            return []
        return self.facts(self._probe(values, source))

    def describe(self, query: str) -> Sequence[Described]:
        """The columns of a query."""
        return self._describer.describe(query)

    def tables(self, query: str) -> Mapping[int, frozenset[int]]:
        """The tables that a query reads, below views as well."""
        return self._describer.tables(query)

    def item(self, name: str, value: exp.Expr, source: Operator) -> Item:
        """A projected expression with what can be told from its text."""

        def resolve(column: exp.Column) -> tuple[int, ...] | None:
            return source.column(column.name).scales

        never = nullability.never_null(value, [source])
        return Item(Column(name, never, scales.scales_of(value, resolve)), value)

    def project(self, source: Operator, named: Sequence[tuple[str, exp.Expr]]) -> Project:
        """Expressions under names, over ``source``."""
        items = tuple(self.item(name, value, source) for name, value in named)
        return Project(self.alias("p"), source, items)

    def net(self, operator: Operator) -> Net:
        """The same rows with a netted delta."""
        return Net(self.alias("n"), operator, self.identity(operator))

    def _text(self, operator: Operator) -> str:
        names = [column.name for column in operator.columns]
        return union(operator.current(self.stateless()), names, weighted=False)

    def _probe(self, values: Sequence[exp.Expr], source: Operator) -> Project:
        items = tuple(Item(Column(f"v{i}"), value.copy()) for i, value in enumerate(values))
        return Project(self.alias("probe"), source, items)

    def _known(self, operator: Operator) -> Sequence[Described] | None:
        """What follows from the inputs; None where only PostgreSQL knows."""
        if isinstance(operator, Scan):
            return [column.described for column in operator.sources]
        if isinstance(operator, _TRANSPARENT):
            return self.facts(operator.inputs[0])
        if isinstance(operator, SemiJoin):
            return self.facts(operator.left)
        if isinstance(operator, (InnerJoin, LeftJoin)):
            return [d for part in operator.inputs for d in self.facts(part)]
        if isinstance(operator, Project):
            return self._projected(operator)
        if isinstance(operator, UnionAll):
            return self._united(operator)
        if isinstance(operator, Aggregate) and not operator.outputs:
            values = [_column_of(key.value, operator.child) for key in operator.group]
            plain = [value for value in values if value is not None]
            if len(plain) == len(values):
                return [self.fact(operator.child, value.name) for value in plain]
        return None

    def _united(self, operator: UnionAll) -> Sequence[Described] | None:
        """Columns of the same types in every branch keep them."""
        branches = [[self.fact(b.operator, n) for n in b.columns] for b in operator.branches]
        columns = zip(*branches, strict=True)
        found: list[Described] = []
        for column in columns:
            kinds = {replace(described, name="") for described in column}
            if len(kinds) > 1:
                return None
            found.append(column[0])
        return found

    def _projected(self, project: Project) -> Sequence[Described] | None:
        """Plain columns are those of the child; only the rest is asked for."""
        child = project.child
        plain = [i for i in project.items if _column_of(i.value, child) is not None]
        rest = tuple(i for i in project.items if _column_of(i.value, child) is None)
        asked: dict[str, Described] = {}
        if rest:
            text = self._text(Project(project.alias, child, rest))
            pairs = zip(rest, self.describe(text), strict=True)
            asked = {item.column.name: described for item, described in pairs}
        known = {i.column.name: self.fact(child, i.value.name) for i in plain}
        return [(known | asked)[item.column.name] for item in project.items]


def _column_of(value: exp.Expr, child: Operator) -> exp.Column | None:
    return value if isinstance(value, exp.Column) and value.table == child.alias else None


def _sharpened(found: Described, column: Column) -> Described:
    """A type's facts under a column's name; numbers of one display scale are exact."""
    one_scale = found.base == "numeric" and column.scales is not None and len(column.scales) == 1
    return replace(found, name=column.name, exact=found.exact or one_scale)
