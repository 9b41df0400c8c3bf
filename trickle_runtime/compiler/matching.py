"""Counting matches: how semi, anti and outer joins follow changes without state.

For a left row let c' be the number of right rows that match it now and d the signed number of
changed right rows that match it; c = c' - d matched before, known from new data alone. The count
is capped at max(d, 0) + 1, which is all that the tests c' > 0 and c' > d need (amendment B2), and
taken once per distinct value of the left expressions that the condition uses, so duplicates are
safe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from sqlglot import exp

from trickle_runtime.compiler import nullability
from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.dialect import render
from trickle_runtime.compiler.identity import image
from trickle_runtime.compiler.joining import aliases, current_term, delta_term
from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.pieces import net
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.schema import Described
from trickle_runtime.compiler.template import column, comma, fill, ident
from trickle_runtime.compiler.term import Binding, FromItem, Relation, Term, raw, ref, restrict

_EXISTS = "EXISTS (SELECT 1 $rest)"
# The changes of all values at once, by a join that can hash: one scan of them per value would be
# quadratic in the number of changes.
_COUNTS = """MATERIALIZED (SELECT k.*,
 (SELECT count(*) FROM (SELECT 1 $now LIMIT greatest(k.__pgt_d, 0) + 1) m) AS __pgt_c
 FROM (SELECT $shown, coalesce(sum(r.__pgt_w), 0)::bigint AS __pgt_d
 FROM (SELECT DISTINCT $names FROM ($keys) k) k LEFT JOIN ($changed) r ON $match
 GROUP BY $shown) k)"""
_FLIPS = "MATERIALIZED (SELECT * FROM $counts k WHERE (k.__pgt_c > 0) <> (k.__pgt_c > k.__pgt_d))"
_MATCHED_BEFORE = "EXISTS (SELECT 1 FROM $counts kc WHERE $match AND kc.__pgt_c > kc.__pgt_d)"
_FLIPPED = "CASE WHEN $up THEN 1 ELSE -1 END"
_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ)
_SYNTAX = (exp.Tuple, exp.All, exp.Any, exp.If, exp.Slice, exp.Kwarg)
_KEYS, _ROWS = "k", "r"

Types = Callable[[Sequence[exp.Expr], Operator], Sequence[Described]]


@dataclass(frozen=True)
class MatchKey:
    """A part of the condition that reads the left row alone.

    ``literal``: equal values may give other answers (``n::text = …``), so values are told apart
    by their text as well.
    """

    name: str
    value: exp.Expr
    not_null: bool
    literal: bool


def match_keys(
    left: Operator, predicates: Sequence[exp.Expr], types: Types
) -> tuple[MatchKey, ...]:
    """The largest parts of the conditions that read the left row alone.

    Args:
        left: the left side.
        predicates: the join condition, as conjuncts.
        types: gives the types of expressions over an operator.

    Raises:
        NotIncremental: a part has a type without equality.
    """
    found: dict[str, tuple[exp.Expr, bool]] = {}
    for predicate in predicates:
        for part in _parts(predicate, left.alias):
            text = render(part)
            _, before = found.get(text, (part, False))
            found[text] = part, before or not _compared(part, predicate)
    values = [value for value, _ in found.values()]
    keys: list[MatchKey] = []
    described = types(values, left)
    for number, ((value, sensitive), facts) in enumerate(
        zip(found.values(), described, strict=True)
    ):
        if not facts.equality:
            raise NotIncremental("KEY_TYPE", f"{render(value)} is of type {facts.type}")
        never = nullability.never_null(value, [left])
        keys.append(MatchKey(f"u{number}", value, never, sensitive and not facts.exact))
    return tuple(keys)


def _parts(node: exp.Expr, alias: str) -> Iterator[exp.Expr]:
    """The largest subexpressions whose columns are all of one input."""
    read = aliases(node)
    if read == {alias} and _is_value(node):
        while isinstance(node, exp.Paren):
            node = node.this
        yield node
    elif alias in read:
        for child in node.iter_expressions():
            yield from _parts(child, alias)


def _is_value(node: exp.Expr) -> bool:
    """Whether a node has a value; a row constructor, ``ALL (…)`` or a branch of CASE has none."""
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Anonymous):
        return str(node.this).upper() not in {"ROW", "ALL"}
    return not isinstance(node, _SYNTAX)


def compared(part: exp.Expr) -> bool:
    """Whether a part is only compared, so that equal values are as good as identical ones."""
    parent = part.parent
    while isinstance(parent, exp.Paren):
        parent = parent.parent
    # The collation of one side is that of the comparison.
    return isinstance(parent, _COMPARISONS) and parent.find(exp.Collate) is None


def _compared(part: exp.Expr, predicate: exp.Expr) -> bool:
    return part is predicate or part.parent is None or compared(part)


@dataclass(frozen=True)
class Matches:
    """The matches of ``left`` rows in ``right`` under ``predicates``, for one operator."""

    alias: str
    left: Operator
    right: Operator
    predicates: tuple[exp.Expr, ...]
    keys: tuple[MatchKey, ...]

    @cached_property
    def _names(self) -> dict[str, str]:
        """Names of the keys by the text of their value."""
        return {render(key.value): key.name for key in self.keys}

    @cached_property
    def _keyed(self) -> tuple[exp.Expr, ...]:
        """The condition between values of the keys and right rows."""

        def keyed(node: exp.Expr) -> exp.Expr:
            if aliases(node) == {self.left.alias} and not isinstance(node, exp.Paren):
                name = self._names.get(render(node))
                return node if name is None else ref(_KEYS, name)
            return node

        return tuple(p.copy().transform(keyed, copy=False) for p in self.predicates)

    def exists(self, left: Term, out: Context) -> exp.Expr:
        """The condition that a left row has a match now."""
        right = current_term(self.right, out)
        binding = Binding({self.left.alias: left.columns, self.right.alias: right.columns})
        tests = [binding.apply(predicate) for predicate in self.predicates]
        return raw(fill(_EXISTS, rest=_rest(right, tests)))

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
        current = current_term(self.left, out)
        item = FromItem(flips, flips)
        up = f"{column(flips, '__pgt_c')} {'>' if matched else '='} 0"
        return Term(
            (item, *current.items),
            current.columns,
            (*current.where, raw(self._match(current, flips))),
            (*current.weights, raw(fill(_FLIPPED, up=up))),
            current.sign,
        )

    def _counts(self, out: Context) -> str:
        right, changed = current_term(self.right, out), self._changed(out)
        names: list[str] = []
        shown: list[str] = []
        for key in self.keys:
            names.append(ident(key.name))
            shown.append(column(_KEYS, key.name))
            if key.literal:
                names.append(f"{image(ident(key.name))} AS {ident(_text(key))}")
                shown.append(column(_KEYS, _text(key)))
        read = self._read
        match = self._over_keys({name: ref(_ROWS, name) for name in read})
        query = fill(
            _COUNTS,
            now=_rest(right, self._over_keys(right.columns)),
            shown=comma(shown or ["k.__pgt_one"]),
            names=comma(names or ["__pgt_one"]),
            keys=self._values(out, changed),
            changed=changed.select(read, weighted=True),
            match=" AND ".join(f"({render(test)})" for test in match) or "true",
        )
        return out.add(f"counts_{self.alias}", query)

    @cached_property
    def _read(self) -> list[str]:
        """Columns of the right side that the condition reads."""
        return sorted({c.name for p in self.predicates for c in _columns(p, self.right.alias)})

    def _changed(self, out: Context) -> Term:
        """The right side's delta, netted where that is cheap: what cancels need not be counted."""
        changed = delta_term(self.right, out)
        identity = self.right.identified(self._read)
        return changed if identity is None else net(f"net_{self.alias}", changed, identity, out)

    def _values(self, out: Context, changed: Term) -> str:
        """Values of the keys that a change can concern; more than needed does no harm."""
        if not self.keys:
            return "SELECT 1 AS __pgt_one"
        parts: list[str] = []
        if self.left.changed(out):
            parts.append(self._select(delta_term(self.left, out)))
        current = current_term(self.left, out)
        equal = self._equalities
        if equal.keys() == {key.name for key in self.keys} and not self._few(current):
            binding = Binding({self.right.alias: changed.columns})
            values = {name: binding.apply(value) for name, value in equal.items()}
            term = Term(changed.items, values, changed.where)
            parts.append(term.select(list(values), weighted=False))
        else:
            parts.append(self._select(self._met(changed, current)))
        return " UNION ALL ".join(parts)

    def _few(self, current: Term) -> bool:
        """Whether a value is of one left row, which a condition may leave out."""
        columns = [key.value for key in self.keys if isinstance(key.value, exp.Column)]
        names = {column.name for column in columns}
        return bool(current.where) and any(key <= names for key in self.left.keys)

    def _met(self, changed: Term, current: Term) -> Term:
        """The left rows that meet a changed right one."""
        binding = Binding({self.left.alias: current.columns, self.right.alias: changed.columns})
        pairs = self._pairs
        among = [self._among(changed, binding)] if pairs else []
        where = (*current.where, *among)
        if len(pairs) == len(self.predicates):
            return Term(current.items, current.columns, where)
        tests = [binding.apply(predicate) for predicate in self.predicates]
        items = (*changed.items, *current.items)
        return Term(items, current.columns, (*changed.where, *where, *tests))

    def _select(self, term: Term) -> str:
        """The keys' values of left rows, in the order of the keys."""
        binding = Binding({self.left.alias: term.columns})
        values = {key.name: binding.apply(key.value) for key in self.keys}
        return Term(term.items, values, term.where).select(list(values), weighted=False)

    def _among(self, changed: Term, binding: Binding) -> exp.Expr:
        """What follows from the equalities: it leads from few changed values to the left rows.

        Without it the left side may be read whole, since each of its rows meets many changed ones.
        """
        values = [render(binding.apply(this)) for this, _ in self._pairs]
        partners = {f"v{n}": binding.apply(that) for n, (_, that) in enumerate(self._pairs)}
        rows = Term(changed.items, partners, changed.where).select(list(partners), weighted=False)
        left = comma([f"({value})" for value in values])
        return raw(fill("($values) IN ($rows)", values=left, rows=rows))

    @cached_property
    def _pairs(self) -> list[tuple[exp.Expr, exp.Expr]]:
        """Sides of the conjuncts that are equalities, the left one first."""
        found: list[tuple[exp.Expr, exp.Expr]] = []
        for predicate in self.predicates:
            test = _bare(predicate)
            if not isinstance(test, exp.EQ) or test.find(exp.Collate):
                continue  # a subquery would lose what COLLATE says
            for this, that in (sides := (test.this, test.expression), sides[::-1]):
                if aliases(this) == {self.left.alias} and aliases(that) == {self.right.alias}:
                    found.append((this, that))
        return found

    @cached_property
    def _equalities(self) -> dict[str, exp.Expr]:
        """Keys that a conjunct sets equal to an expression over the right side, or to true."""
        by_text = self._names
        found: dict[str, exp.Expr] = {}
        for predicate in self.predicates:
            test = _bare(predicate)
            if render(test) in by_text:
                found.setdefault(by_text[render(test)], exp.true())
            if not isinstance(test, (exp.EQ, exp.NullSafeEQ)):
                continue
            sides = (_bare(test.this), _bare(test.expression))
            for this, that in (sides, sides[::-1]):
                if render(this) in by_text and aliases(that) <= {self.right.alias}:
                    found.setdefault(by_text[render(this)], that)
        return {key.name: found[key.name] for key in self.keys if key.name in found}

    @cached_property
    def _strict(self) -> set[str]:
        """Keys that never match where they are NULL (A5)."""
        by_text = self._names
        found: set[str] = set()
        for predicate in self.predicates:
            test = _bare(predicate)
            sides = [test]
            if isinstance(test, _COMPARISONS[:6]):
                sides += [_bare(test.this), _bare(test.expression)]
            found |= {by_text[render(side)] for side in sides if render(side) in by_text}
        return found

    def _match(self, left: Term, counts: str) -> str:
        """Bring a count back to left rows: a NULL under a strict test has none."""
        strict = self._strict
        binding = Binding({self.left.alias: left.columns})
        tests: list[str] = []
        for key in self.keys:
            value = f"({render(binding.apply(key.value))})"
            stored = column(counts, key.name)
            operator = "=" if key.name in strict or key.not_null else "IS NOT DISTINCT FROM"
            tests.append(f"{value} {operator} {stored}")
            if key.literal:
                stored = column(counts, _text(key))
                tests.append(f"{image(value)} IS NOT DISTINCT FROM {stored}")
        return " AND ".join(tests) or "true"

    def _over_keys(self, right: Mapping[str, exp.Expr]) -> list[exp.Expr]:
        """The condition between values of the keys and right rows, given by their columns."""
        binding = Binding({self.right.alias: right})
        return [binding.apply(predicate) for predicate in self._keyed]


def _columns(node: exp.Expr, alias: str) -> Iterator[exp.Column]:
    return (column for column in node.find_all(exp.Column) if column.table == alias)


def _text(key: MatchKey) -> str:
    return f"{key.name}.text"


def _bare(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _rest(term: Term, conditions: Sequence[exp.Expr]) -> str:
    """FROM and WHERE of the right side under the condition."""
    plain = Term(term.items, {}, (*term.where, *conditions))
    return plain.select([], weighted=False).removeprefix("SELECT").strip()
