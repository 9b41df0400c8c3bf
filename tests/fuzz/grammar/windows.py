"""Window calls, with every kind of frame.

Invariant: a call that depends on the order of peers gets an ORDER BY under which only identical
rows are peers. Where there are such, all these calls share one order: two orders may put two rows
that are alike in different places, and PostgreSQL sorts once for one order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.fuzz import sqltypes
from tests.fuzz.grammar import conditions, ordering, templates, values
from tests.fuzz.grammar.gen import Env, Expr, Gen, exact
from tests.fuzz.sqltypes import SqlType

_BOUNDS = ("UNBOUNDED PRECEDING", "1 PRECEDING", "CURRENT ROW", "1 FOLLOWING")
_ENDS = ("CURRENT ROW", "1 FOLLOWING", "UNBOUNDED FOLLOWING")
_EXCLUDES = ("", "", "", " EXCLUDE CURRENT ROW", " EXCLUDE GROUP", " EXCLUDE TIES")
_FRAMED = ("sum(", "count(", "min(", "max(", "avg(", "bool_or(", "first_", "last_", "nth_")


@dataclass
class Windows:
    """The windows of one SELECT; ``named`` collects its WINDOW clause."""

    g: Gen
    rows: Env
    ties: tuple[Expr, ...]
    keyed: bool
    named: list[str] = field(default_factory=list)
    partitions: list[str] = field(default_factory=list)
    ordered: bool = False  # a call depends on the order of peers
    _shared: tuple[str, str] | None = None

    def special(self, grouped: Callable[[SqlType, int], Expr | None] | None):
        """What offers window calls to an expression; ``grouped`` are the aggregates below."""
        arguments = Env(self.rows.leaves, (), grouped)

        def offer(type_: SqlType, size: int) -> Expr | None:
            return self._call(arguments, type_)

        return offer

    def clause(self) -> str:
        """The WINDOW clause, if any window has a name."""
        return f" WINDOW {', '.join(self.named)}" if self.named else ""

    def _call(self, arguments: Env, type_: SqlType) -> Expr | None:
        total = self.g.chance("window.total", 0.5)
        known = (templates.ORDERED_WINDOW if total else templates.WINDOW).get(type_.name)
        if known is None:
            return None
        template = values.fitting(self.g, arguments, known)
        inside = template.replace("{over}", "\0")
        text = values.filled(self.g, arguments, inside, 0)
        filter_ = ""
        if text.startswith(("sum(", "count(")) and self.g.chance("window.filter", 0.1):
            filter_ = f" FILTER (WHERE {conditions.condition(self.g, Env(self.rows.leaves), 0)})"
        over = f"{filter_} OVER {self._window(total, text)}"
        text = text.replace("\0", over) if "\0" in text else f"{text}{over}"
        return Expr(text, type_, type_.exact or template.startswith("round("))

    def _window(self, total: bool, call: str) -> str:
        framed = call.startswith(_FRAMED)
        if total:
            self.ordered = True
            partition, order = self._total()
            frame = self._frame(("ROWS", "GROUPS"), framed)
        else:
            partition = self._partition()
            order, frame = self._order(framed)
        inside = " ".join(part for part in (partition, order, frame) if part)
        if self.g.chance("window.named", 0.15):
            name = self.g.alias("w")
            self.named.append(f"{name} AS ({inside})")
            return name
        return f"({inside})"

    def _partition(self) -> str:
        g = self.g
        raw = g.chance("window.inexact", 0.3)
        keys = [(e if raw else exact(e)).sql for e in self.rows.leaves if e.type.ordered]
        if not keys or g.chance("window.unpartitioned", 0.2):
            return ""
        if self.partitions and g.chance("window.same", 0.5):
            return g.pick(self.partitions)
        text = f"PARTITION BY {', '.join(g.few(keys, 1, 2))}"
        self.partitions.append(text)
        return text

    def _total(self) -> tuple[str, str]:
        """A partition, and an order under which only identical rows are peers."""
        if self._shared is not None:
            return self._shared
        sortable = [e for e in self.rows.leaves if e.type.ordered]
        leading = self.g.few(sortable, 0, 2)
        found = self._partition(), f"ORDER BY {ordering.total(self.g, leading, self.ties)}"
        self._shared = None if self.keyed else found
        return found

    def _order(self, framed: bool) -> tuple[str, str]:
        """An order that need not be total, and a frame that does not look at it."""
        g = self.g
        sortable = [e for e in self.rows.leaves if e.type.ordered]
        if not sortable or (framed and g.chance("window.unordered", 0.3)):
            return "", ""
        numbers = [e for e in sortable if e.type in (sqltypes.INT, sqltypes.BIGINT)]
        if numbers and framed and g.chance("window.range", 0.4):
            key = g.pick(numbers)
            return f"ORDER BY {key.sql}{ordering.direction(g)}", self._frame(("RANGE",), True)
        keys = [f"{e.sql}{ordering.direction(g)}" for e in g.few(sortable, 1, 2)]
        return f"ORDER BY {', '.join(keys)}", self._frame(("GROUPS",), framed)

    def _frame(self, modes: Sequence[str], framed: bool) -> str:
        g = self.g
        if not framed or g.chance("window.frameless", 0.4):
            return ""
        start = g.pick(_BOUNDS)
        ends = _ENDS[1:] if start == "1 FOLLOWING" else _ENDS
        exclude = g.pick(_EXCLUDES)
        if start == "1 PRECEDING" and g.chance("window.short", 0.3):
            return f"{g.pick(modes)} 1 PRECEDING{exclude}"
        return f"{g.pick(modes)} BETWEEN {start} AND {g.pick(ends)}{exclude}"
