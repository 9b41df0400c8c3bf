"""Partition: window functions, DISTINCT ON, ORDER BY … LIMIT.

    ΔP = new rows of the touched partitions - their stored rows

The operator's own output is kept with its partition key, since a recomputation could break ties
differently. The partitions that the child's delta touches are computed again over the child's
current rows, restricted inside the child's own flat join (amendment B7). Without PARTITION BY
there is one partition. Where the child has a key, stored and new rows are joined by it, and only
those that differ go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from sqlglot import exp

from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.groups import GroupSql
from trickle_runtime.compiler.identity import hash_expression, match_key, needs_hash, row
from trickle_runtime.compiler.keys import PartitionKey
from trickle_runtime.compiler.operators.base import Column, Node, Operator, Pairs
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.compiler.template import column, comma, dotted, fill, ident
from trickle_runtime.compiler.term import WEIGHT, FromItem, Relation, Term, bind, raw, ref, union

_TOUCHED = "MATERIALIZED (SELECT DISTINCT $names FROM ($rows) r)"
_FRESH = "MATERIALIZED ($body)"
_SIGNED = """MATERIALIZED (SELECT $stored, st.ctid AS __pgt_place, -1 AS __pgt_w
 FROM $state st, $touched t WHERE $match
 UNION ALL SELECT $fresh, NULL, 1 FROM $rows f)"""
_PAIRED = """MATERIALIZED (SELECT $columns, o.__pgt_place, o.__pgt_there IS NOT NULL AS __pgt_old,
 f.__pgt_there IS NOT NULL AS __pgt_new
 FROM (SELECT st.*, st.ctid AS __pgt_place, true AS __pgt_there
 FROM $state st, $touched t WHERE $match) o
 FULL JOIN (SELECT *, true AS __pgt_there FROM $rows) f ON $same
 WHERE o.__pgt_there IS NULL OR f.__pgt_there IS NULL OR record_image_ne($before, $after))"""
# By place and not by a join, which could read the whole state.
_DELETE = """DELETE FROM $state AS st
 WHERE st.ctid = ANY (ARRAY(SELECT c.__pgt_place FROM $changes c WHERE $which))"""
_INSERT = "INSERT INTO $state ($names) SELECT $values FROM $changes c WHERE $which"
_INDEX = "CREATE INDEX ON $state ($columns)"


@dataclass(frozen=True)
class Partition(Operator):
    """Rows of ``child``, ``added`` columns beside them, as ``body`` makes them per partition.

    ``body`` is a SELECT with the hole ``$rows``: the child's columns and the keys, as ``r``.
    ``unique`` has the facts on the columns of a key of the child; None where it has no key.
    """

    stateful: ClassVar[bool] = True

    alias: str
    child: Operator
    by: tuple[PartitionKey, ...]
    added: tuple[Column, ...]
    body: str
    reads: frozenset[str]
    key: tuple[frozenset[str], ...]
    unique: tuple[OutputColumn, ...] | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """The child's, then the added ones."""
        return (*self.child.columns, *self.added)

    @property
    def keys(self) -> tuple[frozenset[str], ...]:
        """As planned."""
        names = {c.name for c in self.columns}
        return tuple(key for key in self.key if key <= names)

    @property
    def inputs(self) -> tuple[Operator, ...]:
        """The child."""
        return (self.child,)

    @property
    def identity(self) -> list[OutputColumn]:
        """The keys as the state names them."""
        return [key.identity for key in self.by]

    def expressions(self) -> Iterator[exp.Expr]:
        """The partition keys."""
        return (key.value for key in self.by)

    def current(self, out: Context) -> Relation:
        """The state; for describing, the query itself."""
        if out.stateless:
            sql = f"({self._body(out, self.child.current(out))})"
        else:
            out.states_read.add(self.alias)
            sql = out.state_table(self.alias)
        return (self._term(sql, 1),)

    def delta(self, out: Context) -> Relation:
        """Stored rows out, new rows in."""
        if not self.changed(out):
            return ()
        name = self._changes(out)
        if self.unique is None:
            return (replace(self._term(name, 1), weights=(ref(self.alias, WEIGHT),)),)
        return tuple(
            Term(
                (FromItem(name, self.alias),),
                self._side(self.alias, side),
                (raw(column(self.alias, f"__pgt_{side}")),),
                sign=sign,
            )
            for side, sign in (("old", -1), ("new", 1))
        )

    def pairs(self, out: Context) -> Pairs | None:
        """Stored and new rows by the child's key."""
        if self.unique is None or not self.changed(out):
            return None
        name = self._changes(out)
        return Pairs(
            name,
            frozenset(item.name for item in self.unique),
            raw(column(name, "__pgt_old")),
            raw(column(name, "__pgt_new")),
            self._row_or(name, "old", "new"),
            self._row_or(name, "new", "old"),
        )

    def nodes(self, out: Context) -> Iterator[Node]:
        """The kept output."""
        indexes: list[str] = []
        if self.by:
            names = comma([ident(k.name) for k in self.identity])
            state = out.state_table(self.alias)
            if not needs_hash(self.identity):
                indexes.append(fill(_INDEX, state=state, columns=names))
            else:
                hashed = hash_expression(self.identity) or names
                indexes.append(fill(_INDEX, state=state, columns=f"({hashed})"))
        body = self._body(out, self.child.current(out))
        yield Node(self.alias, body, tuple(indexes), "output of a window, DISTINCT ON or LIMIT")

    def needs(self, needed: frozenset[str]) -> dict[str, frozenset[str]]:
        """What the body and the keys read; added columns stay, they are one body."""
        wanted = (needed | self.reads | self.used(self.child.alias)) - {c.name for c in self.added}
        for key in self.keys:
            wanted |= key - {c.name for c in self.added}
        return {self.child.alias: wanted}

    def keep(self, needed: frozenset[str], inputs: Mapping[str, Operator]) -> Operator:
        """The same body over the pruned child."""
        return replace(self, child=inputs[self.child.alias])

    def _changes(self, out: Context) -> str:
        """Name the stored and the new rows, and maintain the state; once per statement."""
        if self.alias not in out.deltas:
            touched, fresh = self._recomputed(out)
            make = self._signed if self.unique is None else self._paired
            named = out.add(f"parts_{self.alias}", make(out, touched, fresh))
            name = out.keep(self.alias, named)
            out.deltas[self.alias] = name
            self._maintain(out, name)
        return out.deltas[self.alias]

    def _recomputed(self, out: Context) -> tuple[str, str]:
        """Name the keys of the touched partitions, and their rows now."""
        delta = tuple(self._row(term) for term in self.child.delta(out))
        keys = [k.name for k in self.identity]
        names = comma([ident(k) for k in keys] or ["1 AS __pgt_one"])
        rows = union(delta, keys, weighted=False)
        touched = out.add(f"touched_{self.alias}", fill(_TOUCHED, names=names, rows=rows))
        restricted: list[Term] = []
        for term in self.child.current(out):
            made = self._row(term)
            restricted += [
                replace(made, where=(*made.where, c)) for c in self._among(made, touched)
            ]
        body = self._over(tuple(restricted))
        return touched, out.add(f"fresh_{self.alias}", fill(_FRESH, body=body))

    def _signed(self, out: Context, touched: str, fresh: str) -> str:
        return fill(
            _SIGNED,
            stored=comma([column("st", n) for n in self._stored]),
            fresh=comma([column("f", n) for n in self._stored]),
            state=out.state_table(self.alias),
            touched=touched,
            match=match_key(self.identity, "st", "t"),
            rows=fresh,
        )

    def _paired(self, out: Context, touched: str, fresh: str) -> str:
        columns = [
            f"{column(alias, name)} AS {ident(_on(side, name))}"
            for alias, side in (("o", "old"), ("f", "new"))
            for name in self._stored
        ]
        return fill(
            _PAIRED,
            columns=comma(columns),
            state=out.state_table(self.alias),
            touched=touched,
            match=match_key(self.identity, "st", "t"),
            rows=fresh,
            same=match_key(self.unique or (), "o", "f"),
            before=row(self._stored, "o"),
            after=row(self._stored, "f"),
        )

    def _maintain(self, out: Context, changes: str) -> None:
        paired = self.unique is not None
        state = out.state_table(self.alias)
        old, new = ("c.__pgt_old", "c.__pgt_new") if paired else ("c.__pgt_w < 0", "c.__pgt_w > 0")
        delete = fill(_DELETE, state=state, changes=changes, which=old)
        values = [column("c", _on("new", n) if paired else n) for n in self._stored]
        names = comma([ident(n) for n in self._stored])
        insert = fill(
            _INSERT, state=state, names=names, values=comma(values), changes=changes, which=new
        )
        out.maintain(self.alias, {"out": delete, "into": insert})

    @property
    def _stored(self) -> list[str]:
        return [*(key.name for key in self.identity), *(c.name for c in self.columns)]

    def _row_or(self, alias: str, side: str, other: str) -> dict[str, exp.Expr]:
        """The row of one side; its key stands there also where only the other row exists."""
        found = self._side(alias, side)
        there = column(alias, f"__pgt_{side}")
        for item in self.unique or ():
            this, that = (column(alias, _on(one, item.name)) for one in (side, other))
            found[item.name] = raw(f"CASE WHEN {there} THEN {this} ELSE {that} END")
        return found

    def _side(self, alias: str, side: str) -> dict[str, exp.Expr]:
        return {c.name: ref(alias, _on(side, c.name)) for c in self.columns}

    def _body(self, out: Context, relation: Relation) -> str:
        return self._over(tuple(self._row(term) for term in relation))

    def _over(self, relation: Relation) -> str:
        names = [*(k.name for k in self.identity), *(c.name for c in self.child.columns)]
        return fill(self.body, rows=union(relation, names, weighted=False))

    def _row(self, term: Term) -> Term:
        binding = bind(self.child.alias, term)
        keys = {k.identity.name: binding.apply(k.value) for k in self.by}
        return replace(term, columns={**term.columns, **keys})

    def _among(self, row: Term, touched: str) -> list[exp.Expr]:
        keys = {k.name: row.columns[k.name] for k in self.identity}
        nullable = [k.name for k in self.identity if not k.not_null]
        return [raw(text) for text in GroupSql.restriction(keys, nullable, touched)]

    def _term(self, sql: str, sign: int) -> Term:
        columns: dict[str, exp.Expr] = {c.name: ref(self.alias, c.name) for c in self.columns}
        return Term((FromItem(sql, self.alias),), columns, sign=sign)


def _on(side: str, name: str) -> str:
    """The column of a pair that holds the value of its old or its new row."""
    return dotted(f"__pgt_{side}", name)
