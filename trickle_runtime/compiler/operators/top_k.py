"""Top k: ORDER BY … LIMIT, per partition where there is one; DISTINCT ON is the first of each.

    Δ = new visible rows - old visible rows

Kept are the first k + m rows of each partition (m: OFFSET; WITH TIES: all rows of rank up to
k + m) with their positions. If none of them is deleted, the new ones are the first of the kept and
the inserted rows, kept rows before new ones among equals; else the partition's are computed again
from the child (amendment A8). A partition with fewer than k + m kept rows holds all of its rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from sqlglot import exp

from trickle_runtime.compiler import bags
from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.groups import GroupSql
from trickle_runtime.compiler.identity import hash_expression, identical, match_key, needs_hash
from trickle_runtime.compiler.keys import PartitionKey
from trickle_runtime.compiler.operators.base import Column, Node, Operator
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.compiler.template import column, comma, fill, ident
from trickle_runtime.compiler.term import WEIGHT, FromItem, Relation, Term, bind, raw, ref, union

_NUMBERED = "SELECT $names, row_number() OVER (ORDER BY $order) AS __pgt_pos FROM ($limited) r"
_LIMITED = "SELECT * FROM ($rows) r ORDER BY $order FETCH FIRST $last ROWS $ties"
_FIRST = """SELECT $shown, __pgt_pos FROM (
 SELECT $names, row_number() OVER ($keys ORDER BY $order) AS __pgt_pos,
 $number OVER ($keys ORDER BY $ranked) AS __pgt_last FROM ($rows) r) r WHERE __pgt_last <= $last"""
_TOUCHED = "MATERIALIZED (SELECT DISTINCT $names FROM $net d)"
_AGAIN = """MATERIALIZED (SELECT DISTINCT $names FROM $net d WHERE d.__pgt_w < 0
 AND EXISTS (SELECT 1 FROM $state st WHERE $match AND $same))"""
_BODY = "MATERIALIZED ($body)"
_CANDIDATES = """SELECT $kept, st.__pgt_pos FROM $state st, $touched t WHERE $match AND NOT $lost
 UNION ALL
 SELECT $new, NULL FROM $net d, generate_series(1, d.__pgt_w) WHERE d.__pgt_w > 0 AND NOT $hit"""
_KEPT = """MATERIALIZED (SELECT $kept, st.__pgt_pos, st.ctid AS __pgt_place
 FROM $state st, $touched t WHERE $match)"""
_NOW = """MATERIALIZED (SELECT $names, __pgt_pos FROM $merged
 UNION ALL SELECT $names, __pgt_pos FROM $fresh)"""
_CHANGES = """MATERIALIZED (
 SELECT $names, __pgt_pos, __pgt_place, -1 AS __pgt_w FROM $before o
 WHERE NOT EXISTS (SELECT 1 FROM $now n WHERE $same)
 UNION ALL SELECT $names, __pgt_pos, NULL, 1 FROM $now n
 WHERE NOT EXISTS (SELECT 1 FROM $before o WHERE $same))"""
_SAME = "o.__pgt_pos = n.__pgt_pos AND $identical"
_VISIBLE = "SELECT $names, __pgt_w FROM $changes c WHERE c.__pgt_pos > $skipped"
_AMONG = "EXISTS (SELECT 1 FROM $keys k WHERE $match)"
# By place and not by a join, which could read the whole state.
_DELETE = """DELETE FROM $state AS st
 WHERE st.ctid = ANY (ARRAY(SELECT c.__pgt_place FROM $changes c WHERE c.__pgt_w < 0))"""
_INSERT = "INSERT INTO $state ($names) SELECT $names FROM $changes c WHERE c.__pgt_w > 0"
_INDEX = "CREATE INDEX ON $state ($columns)"


@dataclass(frozen=True)
class TopK(Operator):
    """The first rows of ``child`` in ``order``, per value of the keys ``by``.

    Attributes:
        identity: the child's columns, with the facts on their types.
        order: ORDER BY over the child's columns, as ``r``.
        limit: number of rows shown; ``offset``: number of rows skipped before.
        ties: rows that are equal to the last one are shown as well.
        key: keys of the result besides the child's.
    """

    stateful: ClassVar[bool] = True

    alias: str
    child: Operator
    by: tuple[PartitionKey, ...]
    identity: tuple[OutputColumn, ...]
    order: str
    reads: frozenset[str]
    limit: int
    offset: int = 0
    ties: bool = False
    key: tuple[frozenset[str], ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        """The child's."""
        return self.child.columns

    @property
    def keys(self) -> tuple[frozenset[str], ...]:
        """The child's, and the partition key where each partition shows one row."""
        names = {c.name for c in self.columns}
        return (*(key for key in self.key if key <= names), *self.child.keys)

    @property
    def inputs(self) -> tuple[Operator, ...]:
        """The child."""
        return (self.child,)

    def expressions(self) -> Iterator[exp.Expr]:
        """The partition keys."""
        return (key.value for key in self.by)

    def current(self, out: Context) -> Relation:
        """The kept rows behind the skipped ones; for describing, the query itself."""
        if out.stateless:
            body = self._first(self._rows(self.child.current(out)), self.order)
            return (self._term(f"({body})"),)
        out.states_read.add(self.alias)
        term = self._term(out.state_table(self.alias))
        shown = raw(f"{column(self.alias, '__pgt_pos')} > {self.offset}")
        return (replace(term, where=(shown,)),)

    def delta(self, out: Context) -> Relation:
        """Old visible rows out, new ones in; what stays cancels."""
        if not self.changed(out):
            return ()
        if self.alias not in out.deltas:
            out.deltas[self.alias] = self._changes(out)
        changes = out.deltas[self.alias]
        names = [item.name for item in self.identity]
        rows = fill(
            _VISIBLE,
            names=comma([ident(n) for n in names] or ["1 AS __pgt_none"]),
            changes=changes,
            skipped=str(self.offset),
        )
        name = out.add(f"visible_{self.alias}", bags.net(self.identity, rows))
        term = self._term(name)
        return (replace(term, weights=(ref(self.alias, WEIGHT),)),)

    def nodes(self, out: Context) -> Iterator[Node]:
        """The kept rows with their positions."""
        body = self._first(self._rows(self.child.current(out)), self.order)
        indexes: tuple[str, ...] = ()
        if self.by:
            keys = [key.identity for key in self.by]
            text = comma([ident(k.name) for k in keys])
            hashed = hash_expression(keys) if needs_hash(keys) else None
            columns = f"({hashed})" if hashed else text
            indexes = (fill(_INDEX, state=out.state_table(self.alias), columns=columns),)
        yield Node(self.alias, body, indexes, "the first rows of DISTINCT ON or LIMIT")

    def needs(self, needed: frozenset[str]) -> dict[str, frozenset[str]]:
        """What is needed above, and what keys and order read."""
        wanted = needed | self.reads | self.used(self.child.alias)
        for key in self.keys:
            wanted |= key
        return {self.child.alias: wanted}

    def keep(self, needed: frozenset[str], inputs: Mapping[str, Operator]) -> Operator:
        """The columns that the pruned child has."""
        child = inputs[self.child.alias]
        names = {c.name for c in child.columns}
        identity = tuple(item for item in self.identity if item.name in names)
        return replace(self, child=child, identity=identity)

    @property
    def _keys(self) -> list[OutputColumn]:
        return [key.identity for key in self.by]

    @property
    def _stored(self) -> list[OutputColumn]:
        return [*self._keys, *self.identity]

    @property
    def _names(self) -> list[str]:
        return [item.name for item in self._stored]

    def _changes(self, out: Context) -> str:
        rows = self._rows(self.child.delta(out), weighted=True)
        net = out.add(f"net_{self.alias}", bags.net(self._stored, rows))
        keys = comma([ident(k.name) for k in self._keys] or ["1 AS __pgt_one"])
        state = out.state_table(self.alias)
        touched = out.add(f"touched_{self.alias}", fill(_TOUCHED, names=keys, net=net))
        lost = fill(
            _AGAIN,
            names=keys,
            net=net,
            state=state,
            match=match_key(self._keys, "st", "d"),
            same=identical(self._stored, "st", "d"),
        )
        again = out.add(f"again_{self.alias}", lost)
        fresh = out.add(f"fresh_{self.alias}", fill(_BODY, body=self._fresh(out, again)))
        body = self._merged(state, net, touched, again)
        merged = out.add(f"merged_{self.alias}", fill(_BODY, body=body))
        return self._maintain(out, self._differing(out, state, touched, merged, fresh), state)

    def _differing(self, out: Context, state: str, touched: str, merged: str, fresh: str) -> str:
        """The rows of the touched partitions that left their place or came to one."""
        names = comma([ident(n) for n in self._names] or ["__pgt_none"])
        kept = fill(
            _KEPT,
            kept=self._list("st"),
            state=state,
            touched=touched,
            match=match_key(self._keys, "st", "t"),
        )
        before = out.add(f"kept_{self.alias}", kept)
        now = out.add(f"now_{self.alias}", fill(_NOW, names=names, merged=merged, fresh=fresh))
        same = fill(_SAME, identical=identical(self._stored, "o", "n"))
        changes = fill(_CHANGES, names=names, before=before, now=now, same=same)
        return out.add(f"parts_{self.alias}", changes)

    def _maintain(self, out: Context, changes: str, state: str) -> str:
        changes = out.keep(self.alias, changes)
        names = comma([*(ident(n) for n in self._names), "__pgt_pos"])
        delete = fill(_DELETE, state=state, changes=changes)
        insert = fill(_INSERT, state=state, names=names, changes=changes)
        out.maintain(self.alias, {"out": delete, "into": insert})
        return changes

    def _merged(self, state: str, net: str, touched: str, again: str) -> str:
        rows = fill(
            _CANDIDATES,
            kept=self._list("st"),
            new=self._list("d"),
            state=state,
            net=net,
            touched=touched,
            match=match_key(self._keys, "st", "t"),
            lost=self._among(again, "st"),
            hit=self._among(again, "d"),
        )
        return self._first(rows, f"{self.order}, r.__pgt_pos NULLS LAST")

    def _fresh(self, out: Context, again: str) -> str:
        """The partitions that lost a kept row, from the child's rows."""
        restricted: list[Term] = []
        for term in self.child.current(out):
            made = self._row(term)
            keys = {k.name: made.columns[k.name] for k in self._keys}
            nullable = [k.name for k in self._keys if not k.not_null]
            for condition in GroupSql.restriction(keys, nullable, again):
                restricted.append(replace(made, where=(*made.where, raw(condition))))
        return self._first(union(tuple(restricted), self._names, weighted=False), self.order)

    def _first(self, rows: str, order: str) -> str:
        """The first rows of each partition, numbered."""
        last = str(self.limit + self.offset)
        listed = comma([f"r.{ident(n)}" for n in self._names] or ["1 AS __pgt_none"])
        if not self.by:  # a sort that stops at the limit, or an index
            ties, by = ("WITH TIES", self.order) if self.ties else ("ONLY", order)
            limited = fill(_LIMITED, rows=rows, order=by, last=last, ties=ties)
            return fill(_NUMBERED, names=listed, order=order, limited=limited)
        return fill(
            _FIRST,
            shown=comma([ident(n) for n in self._names]),
            names=listed,
            keys="PARTITION BY " + comma([ident(k.name) for k in self._keys]),
            order=order,
            number="rank()" if self.ties else "row_number()",
            ranked=self.order if self.ties else order,
            rows=rows,
            last=last,
        )

    def _rows(self, relation: Relation, *, weighted: bool = False) -> str:
        return union(tuple(self._row(t) for t in relation), self._names, weighted=weighted)

    def _row(self, term: Term) -> Term:
        binding = bind(self.child.alias, term)
        keys = {k.identity.name: binding.apply(k.value) for k in self.by}
        return replace(term, columns={**term.columns, **keys})

    def _among(self, keys: str, alias: str) -> str:
        return fill(_AMONG, keys=keys, match=match_key(self._keys, alias, "k"))

    def _list(self, alias: str) -> str:
        return comma([column(alias, n) for n in self._names] or ["1 AS __pgt_none"])

    def _term(self, sql: str) -> Term:
        columns = {item.name: ref(self.alias, item.name) for item in self.identity}
        return Term((FromItem(sql, self.alias),), dict(columns))
