"""Counting matches: how semi, anti and outer joins follow changes without state.

For a left row let c' be the number of right rows that match it now and d the signed number of
changed right rows that match it; c = c' - d matched before, known from new data alone. The count
is capped at max(d, 0) + 1, which is all that the tests c' > 0 and c' > d need (amendment B2), and
taken once per distinct value of the left columns that the condition uses, so duplicates are safe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.dialect import render
from trickle_runtime.compiler.joining import aliases, current_term, delta_term
from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.template import column, comma, fill, ident
from trickle_runtime.compiler.term import Binding, FromItem, Relation, Term, raw, ref, restrict

_EXISTS = "EXISTS (SELECT 1 $rest)"
_COUNTS = """MATERIALIZED (SELECT k.*, d.d AS __d,
 (SELECT count(*) FROM (SELECT 1 $now LIMIT greatest(d.d, 0) + 1) m) AS __c
 FROM (SELECT DISTINCT $names FROM ($keys) k) k,
 LATERAL (SELECT coalesce(sum($weight), 0) AS d $changed) d)"""
_FLIPS = "MATERIALIZED (SELECT * FROM $counts k WHERE (k.__c > 0) <> (k.__c > k.__d))"
_MATCHED_BEFORE = "EXISTS (SELECT 1 FROM $counts kc WHERE $match AND kc.__c > kc.__d)"
_FLIPPED = "CASE WHEN $up THEN 1 ELSE -1 END"


@dataclass(frozen=True)
class Matches:
    """The matches of ``left`` rows in ``right`` under ``predicates``, for one operator."""

    alias: str
    left: Operator
    right: Operator
    predicates: tuple[exp.Expr, ...]

    def exists(self, left: Term, out: Context) -> exp.Expr:
        """The condition that a left row has a match now."""
        right = current_term(self.right, self.right.current(out))
        return raw(fill(_EXISTS, rest=self._rest(right, self._bound(left.columns, right))))

    def delta(self, out: Context, *, matched: bool) -> Relation:
        """The delta of the left rows that have a match (or, not ``matched``, that have none)."""
        left_changed, right_changed = self.left.changed(out), self.right.changed(out)
        if not right_changed:
            return self._left_only(out, matched) if left_changed else ()
        counts = self._counts(out)
        terms: list[Term] = []
        if left_changed:
            changed = delta_term(self.left, out)
            before = fill(_MATCHED_BEFORE, counts=counts, match=self._match(changed, "kc"))
            terms.append(restrict(changed, raw(before if matched else f"NOT {before}")))
        terms.append(self._flipped(out, counts, matched))
        return tuple(terms)

    def _left_only(self, out: Context, matched: bool) -> Relation:
        changed = delta_term(self.left, out)
        test = self.exists(changed, out)
        return (restrict(changed, test if matched else exp.Not(this=test)),)

    def _flipped(self, out: Context, counts: str, matched: bool) -> Term:
        """Left rows of the values that gained their first match or lost their last."""
        flips = out.add(f"flips_{self.alias}", fill(_FLIPS, counts=counts))
        current = current_term(self.left, self.left.current(out))
        item = FromItem(flips, flips)
        up = f"{column(flips, '__c')} {'>' if matched else '='} 0"
        return Term(
            (item, *current.items),
            current.columns,
            (*current.where, raw(self._match(current, flips))),
            (*current.weights, raw(fill(_FLIPPED, up=up))),
            current.sign,
        )

    def _counts(self, out: Context) -> str:
        right = current_term(self.right, self.right.current(out))
        changed = delta_term(self.right, out)
        keys = {name: ref("k", self._key(name)) for name in self._used()}
        names = comma([ident(self._key(name)) for name in self._used()] or ["__one"])
        query = fill(
            _COUNTS,
            now=self._rest(right, self._bound(keys, right)),
            names=names,
            keys=self._keys(out, changed),
            weight=changed.weight,
            changed=self._rest(changed, self._bound(keys, changed)),
        )
        return out.add(f"counts_{self.alias}", query)

    def _keys(self, out: Context, changed: Term) -> str:
        """Values of the left columns that a change can concern; more than needed does no harm."""
        used = self._used()
        if not used:
            return "SELECT 1 AS __one"
        parts: list[str] = []
        if self.left.changed(out):
            term = delta_term(self.left, out)
            parts.append(self._select({n: term.columns[n] for n in used}, term))
        equal = self._equalities()
        if equal.keys() >= set(used):
            binding = Binding({self.right.alias: changed.columns})
            parts.append(self._select({n: binding.apply(equal[n]) for n in used}, changed))
        else:
            current = current_term(self.left, self.left.current(out))
            both = Term(
                (*changed.items, *current.items),
                current.columns,
                (*changed.where, *current.where, *self._bound(current.columns, changed)),
            )
            parts.append(self._select({n: current.columns[n] for n in used}, both))
        return " UNION ALL ".join(parts)

    def _select(self, values: dict[str, exp.Expr], term: Term) -> str:
        keyed = {self._key(name): value for name, value in values.items()}
        return Term(term.items, keyed, term.where).select(list(keyed), weighted=False)

    def _used(self) -> list[str]:
        """Left columns that the condition reads."""
        found: dict[str, None] = {}
        for predicate in self.predicates:
            for node in predicate.find_all(exp.Column):
                if node.table == self.left.alias:
                    found[node.name] = None
        return list(found)

    def _key(self, name: str) -> str:
        return f"u{self._used().index(name)}"

    def _equalities(self) -> dict[str, exp.Expr]:
        """Left columns that a conjunct sets equal to an expression over the right side."""
        found: dict[str, exp.Expr] = {}
        for predicate in self.predicates:
            while isinstance(predicate, exp.Paren):
                predicate = predicate.this
            if not isinstance(predicate, exp.EQ):
                continue
            sides = (predicate.this, predicate.expression)
            for this, that in (sides, sides[::-1]):
                plain = isinstance(this, exp.Column) and this.table == self.left.alias
                if plain and aliases(that) <= {self.right.alias}:
                    found.setdefault(this.name, that)
        return found

    def _match(self, left: Term, counts: str) -> str:
        """Bring a count back to left rows: a NULL under a strict equality has none (A5)."""
        strict = self._equalities()
        tests: list[str] = []
        for name in self._used():
            value, key = f"({render(left.columns[name])})", column(counts, self._key(name))
            never = self.left.column(name).not_null
            operator = "=" if name in strict or never else "IS NOT DISTINCT FROM"
            tests.append(f"{value} {operator} {key}")
        return " AND ".join(tests) or "true"

    def _bound(self, left: Mapping[str, exp.Expr], right: Term) -> list[exp.Expr]:
        binding = Binding({self.left.alias: left, self.right.alias: right.columns})
        return [binding.apply(predicate) for predicate in self.predicates]

    def _rest(self, term: Term, conditions: list[exp.Expr]) -> str:
        """FROM and WHERE of the right side under the condition."""
        plain = Term(term.items, {}, (*term.where, *conditions))
        text = plain.select([], weighted=False)
        return text.removeprefix("SELECT").strip()
