"""Aggregate (and DISTINCT: an aggregate without functions).

    ΔΓ = -old rows, +new rows of the groups that the child's delta touches

The state table keeps one row per group: its keys, ``__pgt_count`` and what the functions need. A
group exists iff its count is positive; the one group of a query without GROUP BY always exists.
The new row is old state plus contributions; groups that addition can't tell are recomputed from
the child's current rows, restricted inside the child's own flat join (amendment B7).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from sqlglot import exp

from trickle_runtime.compiler.aggregates import Maintained, Slot, over
from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.groups import GroupSql
from trickle_runtime.compiler.operators.base import Column, Node, Operator, Pairs
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.compiler.template import column, fill, ident
from trickle_runtime.compiler.term import FromItem, Relation, Term, bind, raw, union

_NOT_A_NUMBER = "coalesce($sum = 'NaN'::numeric, false)"
_COUNT = "SELECT count(*) FROM $d AS d WHERE $test"
_ANY = "EXISTS (SELECT 1 FROM $d AS d WHERE $test)"


@dataclass(frozen=True)
class Key:
    """A group key: ``identity`` has its name in the state table and the facts on its type."""

    column: Column
    value: exp.Expr
    identity: OutputColumn


@dataclass(frozen=True)
class Input:
    """A column of the rows to aggregate; ``value`` is None where a feed supplies it."""

    name: str
    type: str
    value: exp.Expr | None
    exact: bool
    equality: bool


@dataclass(frozen=True)
class Output:
    """An aggregate call: ``call`` over the inputs, how it is kept, and the inputs it reads."""

    column: Column
    call: str
    maintained: Maintained
    reads: frozenset[str]


@dataclass(frozen=True)
class Feed:
    """The distinct values of one input per group, as rows of their own."""

    child: Operator
    input: str
    key_names: tuple[str, ...]
    value_name: str


@dataclass(frozen=True)
class Aggregate(Operator):
    """Groups of the rows of ``child``."""

    stateful: ClassVar[bool] = True

    alias: str
    child: Operator
    group: tuple[Key, ...]
    rows: tuple[Input, ...]
    outputs: tuple[Output, ...]
    feeds: tuple[Feed, ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        """The group keys, then the aggregates."""
        return (*(k.column for k in self.group), *(o.column for o in self.outputs))

    @property
    def keys(self) -> tuple[frozenset[str], ...]:
        """The group keys."""
        return (frozenset(k.column.name for k in self.group),)

    @property
    def inputs(self) -> tuple[Operator, ...]:
        """The child and the feeds."""
        return (self.child, *(feed.child for feed in self.feeds))

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Columns of the state table besides the keys and the count."""
        found: dict[str, Slot] = {}
        for output in self.outputs:
            for slot in output.maintained.slots:
                found.setdefault(slot.name, slot)
        return tuple(found.values())

    @property
    def identity(self) -> list[OutputColumn]:
        """The key columns as the state table names them."""
        return [key.identity for key in self.group]

    def expressions(self) -> Iterator[exp.Expr]:
        """Key and input expressions over the child."""
        yield from (key.value for key in self.group)
        yield from (row.value for row in self.rows if row.value is not None)

    def current(self, out: Context) -> Relation:
        """The state (or, for describing, the plain GROUP BY)."""
        columns: dict[str, exp.Expr]
        if out.stateless or self.alias in out.plain:
            item = FromItem(f"({self._plain(out)})", self.alias)
            columns = {c.name: raw(column(self.alias, c.name)) for c in self.columns}
            return (Term((item,), columns),)
        out.states_read.add(self.alias)
        access = self._access(out, self.alias)
        return (Term((FromItem(self._state(out), self.alias),), self._columns(access)),)

    def delta(self, out: Context) -> Relation:
        """Minus the old, plus the new row of every group that differs."""
        if not self.changed(out):
            return ()
        name = self._changes(out)
        return tuple(
            Term(
                (FromItem(name, self.alias),),
                self._columns(self._guarded(prefix, self.alias)),
                (raw(f"{column(self.alias, flag)} AND {column(self.alias, '__pgt_diff')}"),),
                sign=sign,
            )
            for prefix, flag, sign in (("o_", "__pgt_old", -1), ("n_", "__pgt_new", 1))
        )

    def pairs(self, out: Context) -> Pairs | None:
        """The changed groups' old and new rows."""
        if not self.changed(out):
            return None
        shared = out.shared.get(self.alias)
        name = self._changes(out, checked=shared is None)
        negative, not_numbers = self._faults(name)
        return Pairs(
            name,
            frozenset(key.column.name for key in self.group),
            raw(column(name, "__pgt_old")),
            raw(column(name, "__pgt_new")),
            self._columns(self._side("o_", name)),
            self._columns(self._side("n_", name)),
            negative if shared else "false",
            not_numbers if shared else "false",
            raw(column(name, "__pgt_place")) if shared and not shared.partitioned else None,
            self._sql(out).differing(name) if shared else None,
        )

    def nodes(self, out: Context) -> Iterator[Node]:
        """The state table, unless the stream table is it."""
        if self.alias in out.shared:
            return
        sql = self._sql(out)
        rows = self._rows(
            out, [self.child.current(out)], [f.child.current(out) for f in self.feeds]
        )
        yield Node(self.alias, sql.fill(rows), sql.indexes(), "state of GROUP BY or DISTINCT")

    def needs(self, needed: frozenset[str]) -> dict[str, frozenset[str]]:
        """What the keys, which decide the groups, and the needed aggregates read."""
        kept = self._without(needed)
        found = {self.child.alias: kept.used(self.child.alias)}
        for feed in kept.feeds:
            found[feed.child.alias] = frozenset((*feed.key_names, feed.value_name))
        return found

    def keep(self, needed: frozenset[str], inputs: Mapping[str, Operator]) -> Operator:
        """Drop aggregates that nobody reads."""
        kept = self._without(needed)
        feeds = tuple(replace(f, child=inputs[f.child.alias]) for f in kept.feeds)
        return replace(kept, child=inputs[self.child.alias], feeds=feeds)

    def _without(self, needed: frozenset[str]) -> Aggregate:
        outputs = tuple(o for o in self.outputs if o.column.name in needed)
        reads = {name for output in outputs for name in output.reads}
        return replace(
            self,
            outputs=outputs,
            rows=tuple(r for r in self.rows if r.name in reads),
            feeds=tuple(f for f in self.feeds if f.input in reads),
        )

    def _faults(self, name: str) -> tuple[str, str]:
        """Conditions on a changed group: its count is negative, a sum is not a number."""
        sums = [column(name, f"n_{slot.name}") for slot in self.slots if not slot.finite]
        odd = " OR ".join(fill(_NOT_A_NUMBER, sum=value) for value in sums) or "false"
        return f"{column(name, 'n___pgt_count')} < 0", odd

    def _changes(self, out: Context, *, checked: bool = True) -> str:
        """Name the changed groups, and maintain the state; once per statement."""
        if self.alias in out.deltas:
            return out.deltas[self.alias]
        deltas = [self.child.delta(out)]
        feeds = [feed.child.delta(out) for feed in self.feeds]
        rows = self._rows(out, deltas, feeds)
        sql = self._sql(out)
        named = sql.changes(out, rows, lambda touched: self._touched(out, touched))
        name = out.keep(self.alias, named)
        out.deltas[self.alias] = name
        if checked:
            negative, odd = self._faults("d")
            out.checks.append(fill(_COUNT, d=name, test=negative))
            if odd != "false":
                out.not_numbers.append(fill(_ANY, d=name, test=odd))
        if self.alias not in out.shared:
            out.maintain(self.alias, sql.maintain(name))
        return name

    def _rows(self, out: Context, main: list[Relation], feeds: list[Relation]) -> str:
        """Rows to aggregate (keys, inputs, weight), from the child and the feeds."""
        names = [k.identity.name for k in self.group] + [r.name for r in self.rows]
        if self.feeds:
            names.append("__pgt_m")
        terms = [self._row(term) for relation in main for term in relation]
        for feed, relation in zip(self.feeds, feeds, strict=True):
            terms += [self._feed_row(feed, term) for term in relation]
        if not terms:
            terms = [replace(self._row(Term((), self._nulls())), where=(raw("false"),))]
        return union(tuple(terms), names, weighted=True)

    def _nulls(self) -> Mapping[str, exp.Expr]:
        return {column.name: exp.null() for column in self.child.columns}

    def _row(self, term: Term) -> Term:
        binding = bind(self.child.alias, term)
        columns = {key.identity.name: binding.apply(key.value) for key in self.group}
        for row in self.rows:
            missing = raw(f"NULL::{row.type}")
            columns[row.name] = missing if row.value is None else binding.apply(row.value)
        return replace(term, columns={**columns, "__pgt_m": exp.Literal.number(1)})

    def _feed_row(self, feed: Feed, term: Term) -> Term:
        names = zip(self.group, feed.key_names, strict=True)
        columns = {key.identity.name: term.columns[name] for key, name in names}
        for row in self.rows:
            supplied = row.name == feed.input
            value = term.columns[feed.value_name] if supplied else raw(f"NULL::{row.type}")
            columns[row.name] = value
        return replace(term, columns={**columns, "__pgt_m": exp.Literal.number(0)})

    def _touched(self, out: Context, touched: str) -> str:
        """Current rows of the child in the touched groups."""
        terms: list[Term] = []
        for term in self.child.current(out):
            row = self._row(term)
            terms += [replace(row, where=(*row.where, c)) for c in self._in_groups(row, touched)]
        names = [k.identity.name for k in self.group] + [r.name for r in self.rows]
        return union(tuple(terms), names, weighted=False)

    def _in_groups(self, row: Term, touched: str) -> list[exp.Expr]:
        keys = {k.identity.name: row.columns[k.identity.name] for k in self.group}
        nullable = [k.identity.name for k in self.group if not k.identity.not_null]
        return [raw(text) for text in GroupSql.restriction(keys, nullable, touched)]

    def _plain(self, out: Context) -> str:
        rows = self._rows(out, [self.child.current(out)], [() for _ in self.feeds])
        keys = {k.identity.name: k.column.name for k in self.group}
        calls = {output.column.name: output.call for output in self.outputs}
        return GroupSql.plain(rows, keys, calls)

    def _sql(self, out: Context) -> GroupSql:
        return GroupSql(
            alias=self.alias,
            state=self._state(out),
            key=self.identity,
            stored_key=out.shared[self.alias].key if self.alias in out.shared else self.identity,
            slots=self.slots,
            access=self._access(out, "st"),
            inputs=tuple((r.name, r.exact, r.equality) for r in self.rows),
            weighted_by_feed=bool(self.feeds),
            compared=self.alias not in out.shared,
        )

    def _state(self, out: Context) -> str:
        shared = out.shared.get(self.alias)
        return shared.relation if shared else out.state_table(self.alias)

    def _access(self, out: Context, alias: str) -> dict[str, str]:
        """How the state's keys, count and slots are read under ``alias``."""
        shared = out.shared.get(self.alias)
        if shared:
            return {n: over(sql, {"alias": ident(alias)}) for n, sql in shared.slots.items()}
        names = [k.identity.name for k in self.group] + [s.name for s in self.slots]
        return {name: column(alias, name) for name in (*names, "__pgt_count")}

    def _guarded(self, prefix: str, alias: str) -> dict[str, str]:
        """A side whose slots are NULL where there is no row, so that nothing divides by 0."""
        there = column(alias, "__pgt_old" if prefix == "o_" else "__pgt_new")
        keys = {key.identity.name for key in self.group}
        return {
            name: value if name in keys else f"CASE WHEN {there} THEN {value} END"
            for name, value in self._side(prefix, alias).items()
        }

    def _side(self, prefix: str, alias: str) -> dict[str, str]:
        """Keys, count and slots of the old or the new row."""
        names = ("__pgt_count", *(slot.name for slot in self.slots))
        access = {name: column(alias, prefix + name) for name in names}
        for key in (k.identity for k in self.group):
            changes = prefix == "n_" and not key.exact
            access[key.name] = column(alias, ("n_" if changes else "") + key.name)
        return access

    def _columns(self, access: dict[str, str]) -> dict[str, exp.Expr]:
        columns: dict[str, exp.Expr] = {
            key.column.name: raw(access[key.identity.name]) for key in self.group
        }
        for output in self.outputs:
            columns[output.column.name] = raw(over(output.maintained.result, access))
        return columns
