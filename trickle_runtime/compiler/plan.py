"""A compiled query: states to keep, statements per set of changed sources.

Invariant: ``delta_steps`` is a pure function of the plan, the target and the changed sources, so
its result can be cached under these three.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from sqlglot import exp

from trickle_runtime.compiler.apply import Apply, Target
from trickle_runtime.compiler.context import CLOCK, Context, Shared
from trickle_runtime.compiler.joining import equality
from trickle_runtime.compiler.operators.aggregate import Aggregate
from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.operators.clock import Clock
from trickle_runtime.compiler.operators.inner_join import InnerJoin
from trickle_runtime.compiler.operators.project import Project
from trickle_runtime.compiler.operators.recompute import Recompute
from trickle_runtime.compiler.operators.reference import Reference
from trickle_runtime.compiler.operators.scan import Scan
from trickle_runtime.compiler.result import IndexAdvice, OutputColumn, StateTable, Step
from trickle_runtime.compiler.schema import SourceRelation
from trickle_runtime.compiler.strategies import Strategy, strategies
from trickle_runtime.compiler.template import column, fill, ident
from trickle_runtime.compiler.term import union
from trickle_runtime.config import Schemas

_TRUNCATE = "TRUNCATE $state"
_INSERT = "INSERT INTO $state $query"
_ANALYZE = "ANALYZE $state"
_EMPTY = "(SELECT NULL::xid8 AS xid, NULL::text AS op$columns FROM $table t WHERE false)"
_INDEX = "CREATE INDEX ON $table ($columns)"
_SLOT = re.compile(r"(?:CASE WHEN [^{}]*\{\w+\} > 0 THEN )?\{(\w+)\}(?: END)?")


@dataclass(frozen=True)
class Plan:
    """A query as the runtime maintains it; ``root`` is None where only FULL can."""

    canonical: str
    columns: tuple[OutputColumn, ...]
    root: Operator | None
    schemas: Schemas
    buffers: Mapping[int, str] = field(default_factory=dict[int, str])
    declared_key: tuple[str, ...] | None = None

    @cached_property
    def key(self) -> tuple[str, ...] | None:
        """The unique key of the output: declared, else inferred, the shortest first."""
        if self.declared_key is not None:
            return self.declared_key
        if self.root is None or not self.root.keys:
            return None
        order = [c.name for c in self.columns]
        key = min(self.root.keys, key=len)
        return tuple(name for name in order if name in key)

    @cached_property
    def tables(self) -> dict[int, frozenset[int]]:
        """Every table that the plan reads: relid and attribute numbers."""
        found: dict[int, frozenset[int]] = {}
        for operator in self.root.walk() if self.root is not None else ():
            for relid, attnums in operator.tables().items():
                found[relid] = found.get(relid, frozenset()) | attnums
        return found

    @cached_property
    def always(self) -> frozenset[int]:
        """Relids that count as changed at every refresh; ``CLOCK`` stands for the time."""
        found: set[int] = set()
        for operator in self.root.walk() if self.root is not None else ():
            if isinstance(operator, Recompute):
                found |= operator.always
            elif isinstance(operator, Clock):
                found.add(CLOCK)
        return frozenset(found)

    def empty_buffers(self) -> dict[int, str]:
        """For each table a query of the shape of its buffer, without rows."""
        found: dict[int, dict[int, str]] = {}
        tables: dict[int, str] = {}
        for operator in self.root.walk() if self.root is not None else ():
            if isinstance(operator, Scan):
                columns = found.setdefault(operator.relation.relid, {})
                columns |= {s.attnum: s.name for s in operator.sources}
                tables[operator.relation.relid] = operator.table
        return {
            relid: fill(
                _EMPTY,
                columns="".join(f", t.{ident(n)} AS c{a}" for a, n in columns.items()),
                table=tables[relid],
            )
            for relid, columns in found.items()
        }

    def states(self, target: Target) -> tuple[StateTable, ...]:
        """Hidden tables, in the order in which they can be filled."""
        if self.root is None:
            return ()
        found: list[StateTable] = []
        for operator in self.root.walk():
            out = self._context(target)
            for node in operator.nodes(out):
                name = out.state_table(node.alias)
                found.append(StateTable(name, out.complete(node.fill), node.indexes, node.purpose))
        return tuple(found)

    def fill_sql(self, target: Target) -> str:
        """The content now, for the first fill; reads the states where there are any."""
        if self.root is None or not self.states(target):
            return self.canonical
        out = self._context(target)
        out.plain = frozenset(out.shared)
        names = [c.name for c in self.columns]
        return out.complete(union(self.root.current(out), names, weighted=False))

    def delta_steps(
        self, target: Target, changed: frozenset[int], *, materialise: bool = False
    ) -> tuple[Step, ...]:
        """The statements of a differential refresh.

        Args:
            target: the stream table.
            changed: relids of the sources with pending changes, at least one.
            materialise: put the net delta into a temporary table before it is applied.
        """
        if self.root is None:
            raise ValueError("the query has no differential plan")
        stored: frozenset[str] = frozenset()
        if materialise or target.sequential:
            stored = self._below(frozenset({self.root.alias}))
        out, steps = self._delta(target, changed, stored, materialise=materialise)
        needed = self._below(frozenset(out.states_read)) | stored
        if needed != stored:
            out, steps = self._delta(target, changed, needed, materialise=materialise)
        return (*out.steps, *steps)

    def full_steps(
        self, target: Target, *, materialise: bool = False, staged: bool = False
    ) -> tuple[Step, ...]:
        """The statements that bring states and content to the query by difference.

        Args:
            target: the stream table.
            materialise: put the net delta into a temporary table before it is applied.
            staged: see ``Apply.replaced``.
        """
        steps = [step for state in self.states(target) for step in _refill(state)]
        out, query = self._context(target), self.fill_sql(target)
        apply = self._apply(target)
        return (*steps, *apply.replaced(query, out, materialise=materialise, staged=staged))

    def strategies(self) -> tuple[Strategy, ...]:
        """How the parts of the query are maintained."""
        return () if self.root is None else tuple(strategies(self.root))

    def advice(self) -> tuple[IndexAdvice, ...]:
        """Indexes on join keys that deltas of the other inputs would use."""
        if self.root is None:
            return ()
        found: dict[tuple[int, str], IndexAdvice] = {}
        for join in self.root.walk():
            if isinstance(join, InnerJoin):
                for predicate in join.predicates:
                    for side in equality(predicate):
                        _advise(join, side, found)
        return tuple(found.values())

    def _delta(
        self, target: Target, changed: frozenset[int], stored: frozenset[str], *, materialise: bool
    ) -> tuple[Context, list[Step]]:
        assert self.root is not None
        out = self._context(target, changed, stored)
        apply = self._apply(target)
        pairs = None if materialise or target.sequential else self.root.pairs(out)
        if pairs is not None and pairs.key == frozenset(self.key or ()) and self.key is not None:
            return out, apply.paired(pairs, out)
        out = self._context(target, changed, stored)  # what was named for pairs is not needed
        relation = self.root.delta(out)
        return out, apply.signed(relation, out, materialise=materialise)

    def _below(self, aliases: frozenset[str]) -> frozenset[str]:
        """All stateful operators among the named ones and below them."""
        assert self.root is not None
        found: set[str] = set()
        for operator in self.root.walk():
            if operator.alias in aliases:
                found |= {o.alias for o in operator.walk() if o.stateful}
        return frozenset(found)

    def _apply(self, target: Target) -> Apply:
        key = None if self.key is None else self._named(self.key)
        return Apply(target, self.columns, key)

    def _named(self, names: Sequence[str]) -> list[OutputColumn]:
        by_name = {c.name: c for c in self.columns}
        return [by_name[name] for name in names]

    def _context(
        self,
        target: Target,
        changed: frozenset[int] = frozenset(),
        stored: frozenset[str] = frozenset(),
    ) -> Context:
        shared = self._shared(target)
        return Context(
            self.schemas,
            target.pgt_id,
            changed=changed,
            stored=stored,
            shared=shared,
            buffers=self.buffers,
        )

    def _shared(self, target: Target) -> dict[str, Shared]:
        """The stream table as the state of its root, where it shows all that is kept."""
        root = self.root
        if not isinstance(root, Project) or target.sequential:
            return {}
        chain: list[Project] = []
        operator: Operator = root
        while isinstance(operator, Project) or _sole(operator):
            if isinstance(operator, Project):
                chain.append(operator)
            operator = operator.inputs[0]
        if not isinstance(operator, Aggregate):
            return {}
        shown = _shown(chain)
        slots = _slots(operator, shown)
        if slots is None:
            return {}
        key = tuple(self._named([shown[k.column.name] for k in operator.group]))
        shared = Shared(target.relation, slots, key, bool(target.partition_columns))
        return {operator.alias: shared}


def _refill(state: StateTable) -> tuple[Step, ...]:
    return (
        Step("utility", fill(_TRUNCATE, state=state.name)),
        Step("state", fill(_INSERT, state=state.name, query=state.query)),
        Step("utility", fill(_ANALYZE, state=state.name)),
    )


def _sole(operator: Operator) -> bool:
    """Whether an operator reads another that nobody else reads, and changes nothing."""
    return isinstance(operator, Reference) and not operator.shared


def _shown(chain: Sequence[Project]) -> dict[str, str]:
    """Columns below a chain of projections and the names under which the topmost shows them."""
    names = {item.column.name: item.column.name for item in chain[0].items}
    for project in chain:
        below: dict[str, str] = {}
        for item in project.items:
            plain = isinstance(item.value, exp.Column)
            if plain and item.column.name in names:
                below.setdefault(item.value.name, names[item.column.name])
        names = below
    return names


def _slots(aggregate: Aggregate, shown: Mapping[str, str]) -> dict[str, str] | None:
    """How keys, count and slots are read from the shown columns; None if one is not there."""
    found: dict[str, str] = {}
    for key in aggregate.group:
        if key.column.name not in shown:
            return None
        found[key.identity.name] = f"{{alias}}.{ident(shown[key.column.name])}"
    for output in aggregate.outputs:
        match = _SLOT.fullmatch(output.maintained.result)
        if match and output.column.name in shown:
            text = f"{{alias}}.{ident(shown[output.column.name])}"
            guarded = output.maintained.result.startswith("CASE")
            found.setdefault(match[1], f"coalesce({text}, 0)" if guarded else text)
    wanted = {"__pgt_count", *(slot.name for slot in aggregate.slots)}
    return found if wanted <= found.keys() else None


def _advise(join: InnerJoin, side: exp.Column, found: dict[tuple[int, str], IndexAdvice]) -> None:
    part = next((p for p in join.parts if p.alias == side.table), None)
    name: str | None = side.name
    while part is not None and not isinstance(part, Scan):
        part, name = _carried(part, name)
    if part is None or name is None:
        return
    relation = part.relation
    if any(index[:1] == (name,) for index in relation.indexes):
        return
    found.setdefault((relation.relid, name), _index(relation, name))


def _carried(operator: Operator, name: str | None) -> tuple[Operator | None, str | None]:
    """The input's column that an operator passes through unchanged."""
    if name is None or len(operator.inputs) != 1 or operator.stateful:
        return None, None
    if isinstance(operator, Project):
        item = next(i for i in operator.items if i.column.name == name)
        plain = isinstance(item.value, exp.Column)
        return (operator.child, item.value.name) if plain else (None, None)
    below = operator.inputs[0]
    return (below, name) if any(c.name == name for c in below.columns) else (None, None)


def _index(relation: SourceRelation, name: str) -> IndexAdvice:
    table = column(relation.schema, relation.name)
    return IndexAdvice(table, (name,), fill(_INDEX, table=table, columns=ident(name)))
