"""Planning of GROUP BY and DISTINCT: which rows are grouped, what is kept per group.

Invariant: the types that decide between addition and recomputing come from PostgreSQL
(``Describer``), never from guesses on the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from trickle_runtime.compiler import aggregates, nullability, opaque, scales
from trickle_runtime.compiler.dialect import render
from trickle_runtime.compiler.operators.aggregate import Aggregate, Feed, Input, Key, Output
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.planning.tools import Tools
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.schema import Described, Functions
from trickle_runtime.compiler.term import is_record, ref
from trickle_runtime.compiler.volatility import function_name

_INSENSITIVE = frozenset({"min", "max", "bool_and", "bool_or", "every"})
# Aggregates for which a row with a NULL is as good as no row; array_agg and others show it.
_SKIP_NULLS = _INSENSITIVE | aggregates.ADDITIVE


@dataclass(frozen=True)
class Call:
    """An aggregate call taken apart; expressions are over the child's columns."""

    node: exp.Expr
    name: str
    function: str
    arguments: tuple[exp.Expr, ...]
    star: bool
    distinct: bool
    ordered: bool
    condition: exp.Expr | None

    @property
    def simple(self) -> bool:
        """Whether it is a function of one argument and the rows that pass the condition."""
        plain = not self.ordered and "." not in self.function
        filtered = self.condition is None or self.function in _SKIP_NULLS
        return plain and filtered and (self.star or len(self.arguments) == 1)

    @property
    def argument(self) -> exp.Expr | None:
        """The one argument, NULL for rows that the condition drops; None for ``count(*)``."""
        value = exp.Literal.number(1) if self.star else self.arguments[0]
        if self.condition is None:
            return None if self.star else value
        branch = exp.If(this=self.condition.copy(), true=value.copy())
        return exp.Case(ifs=[branch])


def is_aggregate(node: exp.Expr, functions: Functions) -> bool:
    """Whether a node is a plain call of an aggregate (not as a window)."""
    name = function_name(node)
    if name is None:
        return False
    template = node.expressions[0] if node.expressions else None
    text = template.name if isinstance(template, exp.Literal) else None
    return name in functions.aggregates or opaque.is_aggregate(name, text)


def aggregate_calls(expression: exp.Expr, functions: Functions) -> Iterator[exp.Expr]:
    """Outermost nodes of the aggregate calls in an expression, with FILTER and WITHIN GROUP."""
    for node in expression.find_all(exp.Anonymous):
        if not is_aggregate(node, functions) or _in_subquery(node, expression):
            continue
        outer: exp.Expr = node
        while isinstance(outer.parent, (exp.Filter, exp.WithinGroup, exp.Dot)):
            outer = outer.parent
        if isinstance(outer.parent, exp.Window) and outer.parent.this is outer:
            continue  # a window function; aggregates may stand inside of it
        yield outer


def _in_subquery(node: exp.Expr, expression: exp.Expr) -> bool:
    """Whether a node belongs to a query inside of the expression."""
    above = None if node is expression else node.parent
    while above is not None and above is not expression:
        if isinstance(above, (exp.Select, exp.SetOperation)):
            return True
        above = above.parent
    return False


def take_apart(node: exp.Expr, name: str) -> Call:
    """Read an aggregate call."""
    condition: exp.Expr | None = None
    inner = node
    ordered = False
    while not isinstance(inner, exp.Anonymous):
        if isinstance(inner, exp.Filter):
            condition = inner.expression.this
            inner = inner.this
        elif isinstance(inner, exp.WithinGroup):
            ordered = True
            inner = inner.this
        else:
            inner = inner.expression
    arguments = list(inner.expressions)
    ordered = ordered or any(isinstance(a, exp.Order) for a in arguments)
    distinct = bool(arguments) and isinstance(arguments[0], exp.Distinct)
    if distinct:
        arguments = list(arguments[0].expressions)
        ordered = ordered or any(isinstance(a, exp.Order) for a in arguments)
    star = bool(arguments) and isinstance(arguments[0], exp.Star)
    function = function_name(inner) or ""
    taken = () if star else tuple(arguments)
    return Call(node, name, function, taken, star, distinct, ordered, condition)


def plan_distinct(alias: str, child: Operator, tools: Tools) -> Aggregate:
    """DISTINCT: group by all columns."""
    keys = [(c.name, ref(child.alias, c.name)) for c in child.columns]
    return plan_aggregate(alias, child, keys, [], tools)


def counted(name: str, condition: exp.Expr) -> Call:
    """``count(*) FILTER (WHERE condition)``, not in the query's text."""
    node = exp.Anonymous(this="count", expressions=[exp.Star()])
    return Call(node, name, "count", (), True, False, False, condition)


def counting(value: exp.Expr, type_: str) -> list[Call]:
    """The number of rows, ``n``, and an array of their values, ``value``."""
    shown = value.copy()
    if type_.endswith("[]"):  # an array of arrays has dimensions instead of elements
        shown = exp.Cast(this=shown, to=exp.DataType.build("text", dialect="postgres"))
    node = exp.Anonymous(this="array_agg", expressions=[shown])
    star = exp.Anonymous(this="count", expressions=[exp.Star()])
    return [
        Call(star, "n", "count", (), True, False, False, None),
        Call(node, "value", "array_agg", (shown,), False, False, False, None),
    ]


def plan_aggregate(
    alias: str,
    child: Operator,
    keys: Sequence[tuple[str, exp.Expr]],
    calls: Sequence[Call],
    tools: Tools,
) -> Aggregate:
    """Build the operator.

    Args:
        alias: of the operator.
        child: gives the rows.
        keys: output name and expression of each group key.
        calls: the aggregate calls; their names become output columns.
        tools: see ``Tools``.

    Raises:
        NotIncremental: a key whose type has no hashing.
    """
    return _Builder(child, keys, calls, tools).build(alias)


@dataclass(frozen=True)
class _Planned:
    """A call, how it is kept (None: recomputed), and the fed input it reads."""

    call: Call
    kept: aggregates.Maintained | None
    feed: int | None = None


class _Builder:
    """Collects the inputs of one aggregate."""

    def __init__(
        self,
        child: Operator,
        keys: Sequence[tuple[str, exp.Expr]],
        calls: Sequence[Call],
        tools: Tools,
    ) -> None:
        self.child, self.keys, self.calls, self.tools = child, keys, calls, tools
        self.values: list[exp.Expr] = []
        self.texts: dict[str, int] = {}

    def build(self, alias: str) -> Aggregate:
        for call in self.calls:
            for value in self._parts(call):
                self._number(value)
        described = self._describe()
        group = tuple(self._key(i, described[i]) for i in range(len(self.keys)))
        self.described = described[len(self.keys) :]
        self.inputs = [self._input(i, facts) for i, facts in enumerate(self.described)]
        planned = self._feed_distinct([_Planned(c, self._maintained(c)) for c in self.calls])
        outputs = tuple(self._output(p, bool(group)) for p in planned)
        fed = sorted({p.feed for p in planned if p.feed is not None})
        feeds = tuple(self._feed(number) for number in fed)
        rows = tuple(replace(r, value=None) if i in fed else r for i, r in enumerate(self.inputs))
        return Aggregate(alias, self.child, group, rows, outputs, feeds)

    def _parts(self, call: Call) -> list[exp.Expr]:
        """Expressions over the child that become inputs."""
        if call.simple:
            return [call.argument] if call.argument is not None else []
        return _expressions(call.node)

    def _number(self, value: exp.Expr) -> int:
        text = render(value)
        if text not in self.texts:
            self.texts[text] = len(self.values)
            self.values.append(value)
        return self.texts[text]

    def _describe(self) -> Sequence[Described]:
        return self.tools.types_of([*(value for _, value in self.keys), *self.values], self.child)

    def _key(self, position: int, described: Described) -> Key:
        name, value = self.keys[position]
        if not described.equality:
            raise NotIncremental("KEY_TYPE", f"{render(value)} is of type {described.type}")
        not_null = nullability.never_null(value, [self.child])
        identity = described.identity(f"k{position}", not_null=not_null)
        found = scales.scales_of(value, self._scales)
        return Key(Column(name, not_null, found), value, identity)

    def _input(self, number: int, described: Described) -> Input:
        return Input(
            f"x{number}", described.type, self.values[number], described.exact, described.equality
        )

    def _argument(self, number: int) -> aggregates.Argument:
        value, described = self.values[number], self.described[number]
        return aggregates.Argument(
            f"x{number}",
            described.base,
            described.type,
            nullability.never_null(value, [self.child]),
            (0,)
            if described.base in aggregates.INTEGERS
            else scales.scales_of(value, self._scales),
        )

    def _scales(self, column: exp.Column) -> tuple[int, ...] | None:
        return self.child.column(column.name).scales

    def _maintained(self, call: Call) -> aggregates.Maintained | None:
        """How a call is kept without recomputing, or None."""
        if not call.simple or (call.distinct and call.function not in _INSENSITIVE):
            return None
        if call.argument is None:
            return aggregates.maintain(call.function, None, 0)
        number = self._number(call.argument)
        return aggregates.maintain(call.function, self._argument(number), number)

    def _feed_distinct(self, planned: list[_Planned]) -> list[_Planned]:
        """Give DISTINCT calls inputs of their own, fed by the distinct values.

        Where another call of the same operator must be recomputed anyway, they are as well.
        """
        plain = all(p.kept is not None or self._feedable(p.call) for p in planned)
        return [self._fed(p) if plain and self._feedable(p.call) else p for p in planned]

    def _feedable(self, call: Call) -> bool:
        if not (call.simple and call.distinct) or call.argument is None:
            return False
        facts = self.described[self._number(call.argument)]
        integer = facts.base in aggregates.INTEGERS
        additive = call.function == "count" or (integer and call.function in {"sum", "avg"})
        return additive and facts.equality

    def _fed(self, planned: _Planned) -> _Planned:
        call = planned.call
        source = self._number(call.argument or exp.null())
        text = f"distinct {source}"
        if text not in self.texts:
            self.texts[text] = len(self.inputs)
            self.inputs.append(replace(self.inputs[source], name=f"x{len(self.inputs)}"))
        number, facts = self.texts[text], self.described[source]
        argument = aggregates.Argument(f"x{number}", facts.base, facts.type, False, (0,))
        return _Planned(call, aggregates.maintain(call.function, argument, number), number)

    def _feed(self, number: int) -> Feed:
        keys = [*self.keys, ("value", self.inputs[number].value or exp.null())]
        distinct = plan_aggregate(self.tools.alias("g"), self.child, keys, [], self.tools)
        names = tuple(key.column.name for key in distinct.group)
        return Feed(distinct, f"x{number}", names[:-1], names[-1])

    def _output(self, planned: _Planned, grouped: bool) -> Output:
        call, kept = planned.call, planned.kept
        numbers = {render(v): f"x{self._number(v)}" for v in self._parts(call)}
        text = _rewritten(call, numbers)
        if kept is None:
            slot = self.texts.setdefault(f"slot {text}", len(self.texts))
            kept = aggregates.recompute(text, self._result_type(call), slot)
        reads = set(numbers.values())
        if planned.feed is not None:
            reads.add(f"x{planned.feed}")
        not_null = call.function == "count" or (grouped and self._strict_not_null(call))
        shown = Column(call.name, not_null, self._result_scales(call))
        return Output(shown, text, kept, frozenset(reads))

    def _strict_not_null(self, call: Call) -> bool:
        if call.function not in {"sum", "avg", "min", "max", "bool_and", "bool_or", "every"}:
            return False
        argument = call.argument
        return argument is not None and nullability.never_null(argument, [self.child])

    def _result_scales(self, call: Call) -> tuple[int, ...] | None:
        if call.function == "count":
            return (0,)
        if call.function not in {"sum", "min", "max"} or call.argument is None:
            return None
        number = self._number(call.argument)
        if self.described[number].base not in {*aggregates.INTEGERS, "numeric"}:
            return None
        return self._argument(number).scales

    def _result_type(self, call: Call) -> str:
        return self.tools.types_of([call.node], self.child)[0].type


def _expressions(node: exp.Expr) -> list[exp.Expr]:
    """Maximal parts of a call that are expressions over rows: arguments, sort keys, condition."""
    if isinstance(node, exp.Anonymous):
        return [part for a in node.expressions for part in _arguments(a)]
    if isinstance(node, exp.Filter):
        return [*_expressions(node.this), *_arguments(node.expression.this)]
    if isinstance(node, exp.WithinGroup):
        return [*_expressions(node.this), *_arguments(node.expression)]
    if isinstance(node, exp.Dot):
        return _expressions(node.expression)
    return _arguments(node)


def _arguments(node: exp.Expr) -> list[exp.Expr]:
    """The values among what stands in a call; one in parentheses is the one without."""
    if isinstance(node, (exp.Distinct, exp.Order, exp.Ordered)):
        parts = [node.this, *node.expressions]
        return [p for part in parts if isinstance(part, exp.Expr) for p in _arguments(part)]
    if isinstance(node, exp.Paren):
        return _arguments(node.this)
    if isinstance(node, exp.Tuple) or (isinstance(node, exp.Anonymous) and _is_row(node)):
        return [p for field in node.expressions for p in _arguments(field)]
    if node.find(exp.Column) is None:
        return []  # constants stay where they are: a direct argument may not be a variable
    return [node]


def _is_row(node: exp.Anonymous) -> bool:
    """Whether a call makes a row, which no column of ours can hold."""
    made_here = node.this == opaque.OPAQUE and is_record(node)
    return made_here or str(node.this).upper() == "ROW"


def _rewritten(call: Call, numbers: dict[str, str]) -> str:
    """The call's text over the inputs."""
    if call.simple:
        inside = "*" if call.argument is None else next(iter(numbers.values()))
        return f"{call.function}({'DISTINCT ' if call.distinct else ''}{inside})"
    copied = call.node.copy()
    for original in _expressions(copied):
        original.replace(exp.column(numbers[render(original)]))
    return render(copied)
