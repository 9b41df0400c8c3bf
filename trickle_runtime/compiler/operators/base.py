"""The contract of an operator.

For every operator X: ``current(X)`` is its rows now, ``delta(X)`` signed rows such that
``current(X)`` now minus before equals ``delta(X)`` as bags (differentiation rules, head). The old
state can't be read, except an operator's own state table.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from sqlglot import exp

from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.compiler.term import Relation


@dataclass(frozen=True)
class Column:
    """An output column of an operator.

    ``scales`` are the display scales that values of a numeric or integer column can have; None
    where they are unknown or the column is no exact number.
    """

    name: str
    not_null: bool = False
    scales: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Pairs:
    """A delta in pairs: one row per key with the old and the new row.

    ``query`` is the named query to read; the expressions are over it. ``old`` and ``new`` tell
    whether the row existed before and exists now; the columns of the key have its value on both
    sides even then. ``place`` is the ctid of the old row in the stream table, where that is known.
    ``bad`` that the state contradicts the delta,
    ``odd`` that addition met a NaN, unless the operator has left these checks with the context.
    ``differ`` whether the rows of a pair differ, where that can be told without computing them.

    The expressions of a side are evaluated only where its row exists.
    """

    query: str
    key: frozenset[str]
    old: exp.Expr
    new: exp.Expr
    old_columns: dict[str, exp.Expr]
    new_columns: dict[str, exp.Expr]
    bad: str = "false"
    odd: str = "false"
    place: exp.Expr | None = None
    differ: str | None = None


@dataclass(frozen=True)
class Node:
    """A state table that an operator keeps."""

    alias: str
    fill: str
    indexes: tuple[str, ...]
    purpose: str


class Operator(ABC):
    """A node of the plan. Frozen; ``alias`` is unique in the plan."""

    alias: str
    stateful: ClassVar[bool] = False  # it keeps a table

    @property
    @abstractmethod
    def columns(self) -> tuple[Column, ...]:
        """Output columns, in order."""

    @property
    @abstractmethod
    def keys(self) -> tuple[frozenset[str], ...]:
        """Sets of columns that no two rows share (NULLs count as equal)."""

    @property
    def inputs(self) -> tuple[Operator, ...]:
        """The operators this one reads."""
        return ()

    @abstractmethod
    def current(self, out: Context) -> Relation:
        """The rows now: a query over new states only."""

    @abstractmethod
    def delta(self, out: Context) -> Relation:
        """Signed rows; no term where nothing below changed."""

    @abstractmethod
    def needs(self, needed: frozenset[str]) -> dict[str, frozenset[str]]:
        """Columns of each input, by its alias, that the ``needed`` ones of this operator take."""

    @abstractmethod
    def keep(self, needed: frozenset[str], inputs: Mapping[str, Operator]) -> Operator:
        """The same operator over pruned ``inputs``, without columns that nobody above uses."""

    def pairs(self, out: Context) -> Pairs | None:
        """The delta in pairs per key, where the operator has it so."""
        return None

    def identified(self, names: Sequence[str]) -> tuple[OutputColumn, ...] | None:
        """These columns with what it takes to net rows of them.

        None where the plan does not know their types, or where equal values may differ: netting
        such columns takes their texts, which is dear.
        """
        return None

    def nodes(self, out: Context) -> Iterator[Node]:
        """State tables of this operator alone."""
        return iter(())

    def tables(self) -> Mapping[int, frozenset[int]]:
        """Tables that this operator itself reads: relid and attribute numbers."""
        return {}

    def changed(self, out: Context) -> bool:
        """Whether a source below has pending changes."""
        return any(child.changed(out) for child in self.inputs)

    def walk(self) -> Iterator[Operator]:
        """All operators below and this one, inputs first, each once."""
        seen: set[str] = set()
        for child in self.inputs:
            for node in child.walk():
                if node.alias not in seen:
                    seen.add(node.alias)
                    yield node
        yield self

    def column(self, name: str) -> Column:
        """The output column of that name."""
        return next(column for column in self.columns if column.name == name)

    def expressions(self) -> Iterator[exp.Expr]:
        """Expressions of this operator over its inputs' columns."""
        return iter(())

    def used(self, alias: str) -> frozenset[str]:
        """Names of the columns of input ``alias`` that the expressions use."""
        found = (
            node.name
            for expression in self.expressions()
            for node in expression.find_all(exp.Column)
            if node.table == alias
        )
        return frozenset(found)


@dataclass(frozen=True)
class PassThrough(Operator):
    """An operator that shows the columns of one input and decides on its rows alone."""

    alias: str
    child: Operator

    @property
    def columns(self) -> tuple[Column, ...]:
        """The child's."""
        return self.child.columns

    @property
    def keys(self) -> tuple[frozenset[str], ...]:
        """The child's."""
        return self.child.keys

    @property
    def inputs(self) -> tuple[Operator, ...]:
        """The child."""
        return (self.child,)

    def identified(self, names: Sequence[str]) -> tuple[OutputColumn, ...] | None:
        """As the child has them."""
        return self.child.identified(names)

    def needs(self, needed: frozenset[str]) -> dict[str, frozenset[str]]:
        """What is needed above, and what the expressions read."""
        return {self.child.alias: needed | self.used(self.child.alias)}

    def keep(self, needed: frozenset[str], inputs: Mapping[str, Operator]) -> Operator:
        """The same over the pruned child."""
        return replace(self, child=inputs[self.child.alias])
