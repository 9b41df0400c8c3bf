"""Parameter filter.

    Δ select(p, R) = select(old, ΔR)
                     + R'[new AND old IS NOT TRUE] - R'[old AND new IS NOT TRUE]

A filter that compares rows with one row of parameters, which changes: the time, or the values of
uncorrelated scalar subqueries. Signed rows meet the old parameters only, the scan covers all of R'
(amendments A12, B4, B5). Where a comparison has the parameter on one side, only rows between the
old and the new value are looked at, so that an index can serve them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from sqlglot import exp

from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.dialect import render
from trickle_runtime.compiler.joining import current_term, delta_term
from trickle_runtime.compiler.operators.base import Operator, PassThrough
from trickle_runtime.compiler.template import comma, fill, ident
from trickle_runtime.compiler.term import (
    Binding,
    FromItem,
    Relation,
    Term,
    raw,
    ref,
    restrict,
    union,
)

_BOTH = """MATERIALIZED (SELECT $columns FROM ($now) n
 LEFT JOIN (SELECT $names, true AS __pgt_there FROM ($gone) g WHERE g.__pgt_w < 0) o ON true)"""
_OLD = "CASE WHEN o.__pgt_there THEN o.$name ELSE n.$name END AS $old, n.$name AS $new"
_CROSSED = "(($new) IS TRUE) <> (($old) IS TRUE)"
_ENTERED = "CASE WHEN $new THEN 1 ELSE -1 END"
_BETWEEN = "$value >= least($old, $new) AND $value <= greatest($old, $new)"
_RANGES = (exp.LT, exp.LTE, exp.GT, exp.GTE)


@dataclass(frozen=True)
class ParameterFilter(PassThrough):
    """Rows of ``child`` for which ``predicate`` holds with the one row of ``parameters``.

    The delta of ``parameters`` is netted.
    """

    parameters: Operator
    predicate: exp.Expr

    @property
    def inputs(self) -> tuple[Operator, ...]:
        """The rows and the parameters."""
        return (self.child, self.parameters)

    def expressions(self) -> Iterator[exp.Expr]:
        """The predicate."""
        yield self.predicate

    def current(self, out: Context) -> Relation:
        """Filter the child's rows by the parameters of now."""
        parameters = current_term(self.parameters, out)
        return tuple(self._filtered(t, parameters) for t in self.child.current(out))

    def delta(self, out: Context) -> Relation:
        """Changed rows by the old parameters, all rows that the new ones decide otherwise."""
        if not self.parameters.changed(out):
            return self._child_only(out)
        both = self._both(out)
        found: list[Term] = []
        if self.child.changed(out):
            changed = delta_term(self.child, out)
            item = FromItem(both, f"{self.alias}_was")
            test = self._bound(changed, self._named(item.alias, "old"))
            found.append(restrict(replace(changed, items=(item, *changed.items)), test))
        found += self._crossed(out, both)
        return tuple(found)

    def needs(self, needed: frozenset[str]) -> dict[str, frozenset[str]]:
        """What is needed above, and what the predicate reads."""
        return {
            self.child.alias: needed | self.used(self.child.alias),
            self.parameters.alias: self.used(self.parameters.alias),
        }

    def keep(self, needed: frozenset[str], inputs: Mapping[str, Operator]) -> Operator:
        """The same predicate over pruned inputs."""
        child, parameters = (inputs[o.alias] for o in self.inputs)
        return replace(self, child=child, parameters=parameters)

    def range(self) -> exp.Expr | None:
        """The side of the comparison that is an expression over the child alone."""
        predicate = self.predicate
        while isinstance(predicate, exp.Paren):
            predicate = predicate.this
        if not isinstance(predicate, _RANGES):
            return None
        sides = (predicate.this, predicate.expression)
        for value, bound in (sides, sides[::-1]):
            if _reads(value) == {self.child.alias} and _reads(bound) == {self.parameters.alias}:
                return value
        return None

    def _child_only(self, out: Context) -> Relation:
        if not self.child.changed(out):
            return ()
        parameters = current_term(self.parameters, out)
        return tuple(self._filtered(t, parameters) for t in self.child.delta(out))

    def _filtered(self, term: Term, parameters: Term) -> Term:
        test = self._bound(term, parameters.columns)
        return replace(
            term,
            items=(*parameters.items, *term.items),
            where=(*parameters.where, *term.where, test),
        )

    def _bound(self, term: Term, parameters: Mapping[str, exp.Expr]) -> exp.Expr:
        binding = Binding({self.child.alias: term.columns, self.parameters.alias: parameters})
        return binding.apply(self.predicate)

    def _both(self, out: Context) -> str:
        """Name the row of old and new parameters."""
        names = [c.name for c in self.parameters.columns]
        texts = [
            fill(
                _OLD,
                name=ident(n),
                old=ident(f"old.{n}"),
                new=ident(f"new.{n}"),
            )
            for n in names
        ]
        query = fill(
            _BOTH,
            columns=comma(texts),
            names=comma([ident(n) for n in names]),
            now=union(self.parameters.current(out), names, weighted=False),
            gone=union(self.parameters.delta(out), names, weighted=True),
        )
        return out.add(f"parameters_{self.alias}", query)

    def _named(self, alias: str, which: str) -> dict[str, exp.Expr]:
        return {c.name: ref(alias, f"{which}.{c.name}") for c in self.parameters.columns}

    def _crossed(self, out: Context, both: str) -> list[Term]:
        """Rows of now that only one of the two rows of parameters lets through."""
        rows = current_term(self.child, out)
        item = FromItem(both, f"{self.alias}_is")
        old, new = (
            render(self._bound(rows, self._named(item.alias, which))) for which in ("old", "new")
        )
        crossed = Term(
            (item, *rows.items),
            rows.columns,
            (*rows.where, raw(fill(_CROSSED, old=old, new=new))),
            (*rows.weights, raw(fill(_ENTERED, new=new))),
            rows.sign,
        )
        value = self.range()
        if value is None:
            return [crossed]
        bound = Binding({self.child.alias: rows.columns}).apply(value)
        return self._ranges(crossed, item.alias, render(bound))

    def _ranges(self, crossed: Term, alias: str, value: str) -> list[Term]:
        """The rows between two bounds; and all rows, where one of the bounds is NULL."""
        old, new = (self._side(alias, which) for which in ("old", "new"))
        within = fill(_BETWEEN, value=f"({value})", old=old, new=new)
        known = f"{old} IS NOT NULL AND {new} IS NOT NULL"
        one = f"({old} IS NULL) <> ({new} IS NULL)"
        return [restrict(restrict(crossed, raw(known)), raw(within)), restrict(crossed, raw(one))]

    def _side(self, alias: str, which: str) -> str:
        """The bound itself: the parameter's side of the comparison."""
        predicate = self.predicate
        while isinstance(predicate, exp.Paren):
            predicate = predicate.this
        sides = (predicate.this, predicate.expression)
        bound = next(s for s in sides if _reads(s) == {self.parameters.alias})
        binding = Binding({self.parameters.alias: self._named(alias, which)})
        return f"({render(binding.apply(bound))})"


def _reads(expression: exp.Expr) -> set[str]:
    return {node.table for node in expression.find_all(exp.Column)}
