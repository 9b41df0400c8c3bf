"""Scan.

    ΔR = the signed rows of R's change buffer between the two frontiers

An update is -old, +new. A stream table's changes come from its change log, numbered by its own
refreshes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.compiler.schema import SourceColumn, SourceRelation
from trickle_runtime.compiler.template import column, comma, fill, ident, literal
from trickle_runtime.compiler.term import WEIGHT, FromItem, Relation, Term, ref

_BUFFER = """(SELECT $columns, CASE WHEN b.op IN ('I', 'A') THEN 1 ELSE -1 END AS __pgt_w
 FROM $buffer b
 WHERE NOT pg_visible_in_snapshot(b.xid, (SELECT current_setting($frontier)::pg_snapshot)))"""

_LOG = """(SELECT $columns, l.__pgt_w FROM $log l
 WHERE l.__pgt_refresh > (SELECT current_setting($consumed)::bigint))"""


@dataclass(frozen=True)
class Scan(Operator):
    """The rows of a table."""

    alias: str
    relation: SourceRelation
    sources: tuple[SourceColumn, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The table's columns."""
        return tuple(Column(c.name, c.not_null, c.scales) for c in self.sources)

    @property
    def keys(self) -> tuple[frozenset[str], ...]:
        """Unique, immediate, NOT NULL indexes of which all columns are still there."""
        names = {source.name for source in self.sources}
        return tuple(frozenset(key) for key in self.relation.keys if names.issuperset(key))

    @property
    def table(self) -> str:
        """Qualified, quoted name."""
        return f"{ident(self.relation.schema)}.{ident(self.relation.name)}"

    def tables(self) -> Mapping[int, frozenset[int]]:
        """The table."""
        return {self.relation.relid: frozenset(s.attnum for s in self.sources)}

    def changed(self, out: Context) -> bool:
        """Whether the table has pending changes."""
        return self.relation.relid in out.changed

    def current(self, out: Context) -> Relation:
        """The table itself."""
        return (self._term(self.table),)

    def delta(self, out: Context) -> Relation:
        """The rows of the change buffer that the frontier does not see."""
        if not self.changed(out):
            return ()
        name = out.share(f"delta_{self.alias}", self._changes(out))
        term = self._term(name)
        return (replace(term, weights=(ref(self.alias, WEIGHT),)),)

    def identified(self, names: Sequence[str]) -> tuple[OutputColumn, ...] | None:
        """As the table has them."""
        known = {s.name: s.described.identity(s.name, not_null=s.not_null) for s in self.sources}
        found = tuple(known[name] for name in names)
        return found if all(item.exact and item.equality for item in found) else None

    def needs(self, needed: frozenset[str]) -> dict[str, frozenset[str]]:
        """No input."""
        return {}

    def keep(self, needed: frozenset[str], inputs: Mapping[str, Operator]) -> Operator:
        """Read only the needed columns."""
        return replace(self, sources=tuple(s for s in self.sources if s.name in needed))

    def _term(self, sql: str) -> Term:
        columns: dict[str, exp.Expr] = {s.name: ref(self.alias, s.name) for s in self.sources}
        return Term((FromItem(sql, self.alias),), columns)

    def _changes(self, out: Context) -> str:
        if self.relation.pgt_id is not None:
            return self._log(out, self.relation.pgt_id)
        casts = [f"::{s.type}" if s.of_domain else "" for s in self.sources]
        names = [
            f"b.c{s.attnum}{cast} AS {ident(s.name)}"
            for s, cast in zip(self.sources, casts, strict=True)
        ] or ["1 AS __pgt_none"]
        return fill(
            _BUFFER,
            columns=comma(names),
            buffer=out.buffers[self.relation.relid],
            frontier=literal(f"{out.schemas.prefix}.frontier"),
        )

    def _log(self, out: Context, pgt_id: int) -> str:
        names = [column("l", s.name) for s in self.sources] or ["1 AS __pgt_none"]
        return fill(
            _LOG,
            columns=comma(names),
            log=f"{ident(out.schemas.changes)}.{ident(f'log_{pgt_id}')}",
            consumed=literal(f"{out.schemas.prefix}.upstream_{pgt_id}"),
        )
