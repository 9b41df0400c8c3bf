"""Recompute.

    ΔQ = Q' - kept rows

A part of a query that no rule covers, or a source that can't carry triggers: it is computed again
whenever something below it has changed, and its difference to what was kept flows on. The rest of
the query stays incremental.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from trickle_runtime.compiler import bags
from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.identity import hash_expression
from trickle_runtime.compiler.operators.base import Column, Node, Operator
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.compiler.template import comma, fill, ident
from trickle_runtime.compiler.term import WEIGHT, FromItem, Relation, Term, ref

_ROWS = "SELECT $names, 1 AS __pgt_w FROM ($query) q UNION ALL SELECT $names, -1 FROM $state"
_INDEX = "CREATE INDEX ON $state (($hash))"


@dataclass(frozen=True)
class Recompute(Operator):
    """The rows of ``query``, a complete text over tables.

    Attributes:
        identity: its columns, with the facts on their types.
        sources: relid and attribute numbers of all that the text reads, below views as well.
        always: relids that count as changed at every refresh.
    """

    stateful: ClassVar[bool] = True

    alias: str
    query: str
    identity: tuple[OutputColumn, ...]
    sources: tuple[tuple[int, frozenset[int]], ...]
    always: frozenset[int]
    reason: str

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of the text."""
        return tuple(Column(item.name) for item in self.identity)

    @property
    def keys(self) -> tuple[frozenset[str], ...]:
        """None."""
        return ()

    def tables(self) -> Mapping[int, frozenset[int]]:
        """The tables."""
        return dict(self.sources)

    def changed(self, out: Context) -> bool:
        """Whether one of its tables has changed, or can't tell."""
        return bool(out.changed & {*self.tables(), *self.always})

    def current(self, out: Context) -> Relation:
        """The kept rows; for describing, the text."""
        if out.stateless:
            return (self._term(f"({self.query})"),)
        out.states_read.add(self.alias)
        return (self._term(out.state_table(self.alias)),)

    def delta(self, out: Context) -> Relation:
        """What the text gives now less what was kept."""
        if not self.changed(out):
            return ()
        if self.alias not in out.deltas:
            out.deltas[self.alias] = self._difference(out)
        term = self._term(out.deltas[self.alias])
        return (replace(term, weights=(ref(self.alias, WEIGHT),)),)

    def nodes(self, out: Context) -> Iterator[Node]:
        """The kept rows."""
        state = out.state_table(self.alias)
        hashed = hash_expression(self.identity)
        indexes = (fill(_INDEX, state=state, hash=hashed),) if hashed else ()
        yield Node(self.alias, self.query, indexes, f"rows that are recomputed: {self.reason}")

    def needs(self, needed: frozenset[str]) -> dict[str, frozenset[str]]:
        """No input."""
        return {}

    def keep(self, needed: frozenset[str], inputs: Mapping[str, Operator]) -> Operator:
        """All columns: they are one text."""
        return self

    def _difference(self, out: Context) -> str:
        state = out.state_table(self.alias)
        names = comma([ident(item.name) for item in self.identity])
        rows = fill(_ROWS, names=names, query=self.query, state=state)
        name = out.add(f"difference_{self.alias}", bags.net(self.identity, rows))
        name = out.keep(self.alias, name)
        delete = bags.delete(state, self.identity, name)
        insert = bags.insert(state, self.identity, name)
        out.maintain(self.alias, {"out": delete, "into": insert})
        return name

    def _term(self, sql: str) -> Term:
        columns = {item.name: ref(self.alias, item.name) for item in self.identity}
        return Term((FromItem(sql, self.alias),), dict(columns))
