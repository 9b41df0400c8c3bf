"""Clock.

    Δ clock = new values - those at the last refresh

One row: expressions that depend on nothing but the time. The time of the last refresh reaches the
statement as the setting ``<prefix>.clock``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlglot import exp

from trickle_runtime.compiler.context import CLOCK, Context
from trickle_runtime.compiler.operators.base import Column, Operator
from trickle_runtime.compiler.template import fill, literal
from trickle_runtime.compiler.term import Relation, Term, raw

_BEFORE = "(current_setting($name)::timestamptz)"
TYPES: dict[type[exp.Expr], str] = {
    exp.CurrentTimestamp: "timestamptz",
    exp.CurrentDate: "date",
    exp.CurrentTime: "timetz",
    exp.Localtimestamp: "timestamp",
    exp.Localtime: "time",
}
FUNCTIONS = frozenset({"now", "transaction_timestamp"})


@dataclass(frozen=True)
class Clock(Operator):
    """One row of ``values``, by name."""

    alias: str
    values: tuple[tuple[str, exp.Expr], ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """One per value."""
        return tuple(Column(name) for name, _ in self.values)

    @property
    def keys(self) -> tuple[frozenset[str], ...]:
        """One row."""
        return (frozenset(),)

    def changed(self, out: Context) -> bool:
        """Always, at a refresh."""
        return CLOCK in out.changed

    def current(self, out: Context) -> Relation:
        """The values now."""
        return (Term((), dict(self.values)),)

    def delta(self, out: Context) -> Relation:
        """The row of now instead of that of the last refresh."""
        if not self.changed(out):
            return ()
        name = fill(_BEFORE, name=literal(f"{out.schemas.prefix}.clock"))
        before = {key: value.copy().transform(_at(name)) for key, value in self.values}
        (now,) = self.current(out)
        return (replace(now, columns=before, sign=-1), now)

    def needs(self, needed: frozenset[str]) -> dict[str, frozenset[str]]:
        """No input."""
        return {}

    def keep(self, needed: frozenset[str], inputs: Mapping[str, Operator]) -> Operator:
        """The needed values."""
        return replace(self, values=tuple(v for v in self.values if v[0] in needed))


def tells_time(node: exp.Expr) -> bool:
    """Whether a node is a function whose value is the time of the transaction."""
    if isinstance(node, exp.Anonymous):
        return isinstance(node.this, str) and node.this.lower() in FUNCTIONS
    return type(node) in TYPES


def _at(time: str):
    def replaced(node: exp.Expr) -> exp.Expr:
        if not tells_time(node):
            return node
        kind = TYPES.get(type(node), "timestamptz")
        precision = node.args.get("this") if type(node) in TYPES else None
        if isinstance(precision, exp.Literal):
            kind = f"{kind}({precision.name})"
        return raw(f"{time}::{kind}")

    return replaced
