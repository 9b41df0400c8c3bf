"""Partition: window functions, DISTINCT ON, ORDER BY … LIMIT.

    ΔP = new rows of the touched partitions - their stored rows

The operator's own output is kept with its partition key, since a recomputation could break ties
differently. The partitions that the child's delta touches are computed again over the child's
current rows, restricted inside the child's own flat join (amendment B7). Without PARTITION BY
there is one partition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from sqlglot import exp

from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.groups import GroupSql
from trickle_runtime.compiler.identity import hash_expression, match_key, needs_hash
from trickle_runtime.compiler.keys import PartitionKey
from trickle_runtime.compiler.operators.base import Column, Node, Operator
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.compiler.template import column, comma, fill, ident
from trickle_runtime.compiler.term import WEIGHT, FromItem, Relation, Term, bind, raw, ref, union

_TOUCHED = "MATERIALIZED (SELECT DISTINCT $names FROM ($rows) r)"
_FRESH = "MATERIALIZED ($body)"
_CHANGES = """MATERIALIZED (SELECT $stored, -1 AS __pgt_w FROM $state st, $touched t WHERE $match
 UNION ALL SELECT $fresh, 1 FROM $rows f)"""
_DELETE = "DELETE FROM $state AS st USING $touched t WHERE $match"
_INSERT = "INSERT INTO $state ($names) SELECT $names FROM $changes c WHERE c.__pgt_w > 0"
_INDEX = "CREATE INDEX ON $state ($columns)"


@dataclass(frozen=True)
class Partition(Operator):
    """Rows of ``child``, ``added`` columns beside them, as ``body`` makes them per partition.

    ``body`` is a SELECT with the hole ``$rows``: the child's columns and the keys, as ``r``.
    """

    stateful: ClassVar[bool] = True

    alias: str
    child: Operator
    by: tuple[PartitionKey, ...]
    added: tuple[Column, ...]
    body: str
    reads: frozenset[str]
    key: tuple[frozenset[str], ...]

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
        if self.alias not in out.deltas:
            out.deltas[self.alias] = self._changes(out)
        term = self._term(out.deltas[self.alias], 1)
        return (replace(term, weights=(ref(self.alias, WEIGHT),)),)

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
        delta = tuple(self._row(term) for term in self.child.delta(out))
        keys = [k.name for k in self.identity]
        names = comma([ident(k) for k in keys] or ["1 AS __pgt_one"])
        rows = union(delta, keys, weighted=False)
        touched = out.add(f"touched_{self.alias}", fill(_TOUCHED, names=names, rows=rows))
        restricted: list[Term] = []
        for term in self.child.current(out):
            row = self._row(term)
            restricted += [replace(row, where=(*row.where, c)) for c in self._among(row, touched)]
        fresh = out.add(f"fresh_{self.alias}", fill(_FRESH, body=self._over(tuple(restricted))))
        stored = [*keys, *(c.name for c in self.columns)]
        parts = {
            "state": out.state_table(self.alias),
            "touched": touched,
            "match": match_key(self.identity, "st", "t"),
        }
        name = out.add(
            f"parts_{self.alias}",
            fill(
                _CHANGES,
                stored=comma([column("st", n) for n in stored]),
                fresh=comma([column("f", n) for n in stored]),
                rows=fresh,
                **parts,
            ),
        )
        delete = fill(_DELETE, **parts)
        if self.alias in out.stored:
            name = out.store(name, fill("SELECT * FROM $name", name=name))
            out.run(delete)
            out.run(self._insert(out, name, stored))
        else:
            out.write(f"out_{self.alias}", delete)
            out.write(f"into_{self.alias}", self._insert(out, name, stored))
        return name

    def _insert(self, out: Context, changes: str, stored: list[str]) -> str:
        names = comma([ident(n) for n in stored])
        return fill(_INSERT, state=out.state_table(self.alias), names=names, changes=changes)

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
