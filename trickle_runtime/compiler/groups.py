"""SQL of keyed aggregate state: contributions, changed groups, maintenance.

Invariant: ``changes`` yields one row per touched group with its old and new slots, read from the
state as it was before this statement, and the place (ctid) of the old row. Nobody else writes the
state before it is maintained, so its rows are found by place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from trickle_runtime.compiler.aggregates import Slot
from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.dialect import render
from trickle_runtime.compiler.identity import hash_expression, image, match_key, needs_hash, row
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.compiler.template import column, comma, fill, ident

_GROUPED = "SELECT $columns FROM ($rows) r $by"
_CONSOLIDATED = (
    "SELECT $columns, sum(__pgt_w) AS __pgt_w FROM ($rows) r GROUP BY $by HAVING sum(__pgt_w) <> 0"
)
_MERGED = "(SELECT $columns FROM $contributions c LEFT JOIN $state st ON $match)"
_TOUCHED = "MATERIALIZED (SELECT $keys FROM $merged m WHERE $needed)"
_AGAIN = "MATERIALIZED ($query)"
_CHANGED = """(SELECT m.*, $diff AS __pgt_diff FROM (SELECT $columns FROM $merged m $again) m)"""
_UPDATE = """UPDATE $state AS st SET $sets FROM $d AS d
 WHERE d.__pgt_old AND d.__pgt_new AND d.__pgt_diff AND st.ctid = d.__pgt_place"""
_DELETE = """DELETE FROM $state AS st USING $d AS d
 WHERE d.__pgt_old AND NOT d.__pgt_new AND st.ctid = d.__pgt_place"""
_INSERT = """INSERT INTO $state ($names) SELECT $values FROM $d AS d
 WHERE d.__pgt_new AND NOT d.__pgt_old"""
_UNIQUE = "CREATE UNIQUE INDEX ON $state ($columns)$nulls"
_HASH = "CREATE INDEX ON $state (($hash))"


@dataclass(frozen=True)
class GroupSql:
    """The statements of one aggregate over rows ``(keys…, inputs…, __pgt_w)``."""

    alias: str
    state: str
    key: Sequence[OutputColumn]
    stored_key: Sequence[OutputColumn]
    slots: Sequence[Slot]
    access: Mapping[str, str]
    inputs: Sequence[tuple[str, bool, bool]]
    weighted_by_feed: bool
    compared: bool

    @property
    def names(self) -> list[str]:
        """Key columns."""
        return [item.name for item in self.key]

    @property
    def recomputes(self) -> bool:
        """Whether a group may have to be computed again from the child's rows."""
        return any(slot.kind != "sum" for slot in self.slots) or bool(self.inexact)

    @property
    def inexact(self) -> list[str]:
        """Keys that show one of several values that are equal: 1.0 of 1.0 and 1.00 (A9)."""
        return [item.name for item in self.key if not item.exact]

    def fill(self, rows: str) -> str:
        """The state from scratch."""
        count = "count(*) FILTER (WHERE __pgt_m = 1)" if self.weighted_by_feed else "count(*)"
        columns = [*map(ident, self.names), f"{count} AS __pgt_count"]
        columns += [f"{slot.fill} AS {ident(slot.name)}" for slot in self.slots]
        return fill(_GROUPED, columns=comma(columns), rows=rows, by=self._by(self.names))

    def indexes(self) -> tuple[str, ...]:
        """A unique index on the key, and one on its hash where rows are found by that."""
        if not self.key:
            return ()
        found: list[str] = []
        if all(item.bounded for item in self.key):
            names = comma([ident(name) for name in self.names])
            nulls = "" if all(item.not_null for item in self.key) else " NULLS NOT DISTINCT"
            found.append(fill(_UNIQUE, state=self.state, columns=names, nulls=nulls))
        hashed = hash_expression(self.key) if needs_hash(self.key) else None
        if hashed:
            found.append(fill(_HASH, state=self.state, hash=hashed))
        return tuple(found)

    def changes(self, out: Context, rows: str, touched_rows: Callable[[str], str]) -> str:
        """Name the touched groups with old and new slots.

        Args:
            out: receives the named queries.
            rows: the delta's rows.
            touched_rows: gives the child's current rows in the groups of a named query.
        """
        contributions = out.add(f"contributions_{self.alias}", f"({self._contributions(rows)})")
        merged = out.add(f"merged_{self.alias}", self._merged(contributions))
        again = ""
        if self.recomputes:
            again = self._again(out, merged, touched_rows)
        return out.add(f"groups_{self.alias}", self._changed(merged, again))

    def differing(self, name: str) -> str:
        """Whether two rows differ: what they show follows from their keys, count and slots."""
        stored = ["__pgt_count", *(slot.name for slot in self.slots)]
        return fill(
            "record_image_ne($old, $new)",
            old=row([*(f"o_{n}" for n in stored), *self.inexact], name),
            new=row([f"n_{n}" for n in (*stored, *self.inexact)], name),
        )

    def maintain(self, name: str) -> dict[str, str]:
        """Statements that bring the state to the new slots."""
        stored = ["__pgt_count", *(slot.name for slot in self.slots)]
        changed = [*stored, *self.inexact]
        sets = comma([f"{ident(s)} = {column('d', 'n_' + s)}" for s in changed])
        statements = {"up": fill(_UPDATE, state=self.state, sets=sets, d=name)}
        if self.key:
            statements["out"] = fill(_DELETE, state=self.state, d=name)
            values = [column("d", n) for n in self.names] + [column("d", f"n_{s}") for s in stored]
            statements["into"] = fill(
                _INSERT,
                state=self.state,
                names=comma([ident(n) for n in (*self.names, *stored)]),
                values=comma(values),
                d=name,
            )
        return statements

    @staticmethod
    def plain(rows: str, keys: Mapping[str, str], calls: Mapping[str, str]) -> str:
        """The GROUP BY itself, without state."""
        columns = [f"{ident(name)} AS {ident(shown)}" for name, shown in keys.items()]
        columns += [f"{call} AS {ident(name)}" for name, call in calls.items()]
        by = f"GROUP BY {comma([ident(name) for name in keys])}" if keys else ""
        shown = comma(columns or ["count(*) AS __pgt_one"])  # one row, whatever the rows
        return fill(_GROUPED, columns=shown, rows=rows, by=by)

    @staticmethod
    def restriction(
        keys: Mapping[str, exp.Expr], nullable: Sequence[str], touched: str
    ) -> list[str]:
        """Conditions that, taken one after the other, select the rows of the touched groups.

        Non-NULL keys by ``IN``, which starts from the few; rows with a NULL in the key in a
        branch of their own that a one-time filter switches off (amendment B1).
        """
        if not keys:
            return [fill("EXISTS (SELECT 1 FROM $t)", t=touched)]
        left = comma([f"({render(value)})" for value in keys.values()])
        names = comma([ident(name) for name in keys])
        filled = " AND ".join(f"{ident(n)} IS NOT NULL" for n in nullable) or "true"
        among = fill(
            "($left) IN (SELECT $names FROM $t WHERE $filled)",
            left=left,
            names=names,
            t=touched,
            filled=filled,
        )
        if not nullable:
            return [among]
        empty = " OR ".join(f"({render(keys[n])}) IS NULL" for n in nullable)
        some = " OR ".join(f"{ident(n)} IS NULL" for n in nullable)
        same = " AND ".join(
            f"t.{ident(n)} IS NOT DISTINCT FROM ({render(value)})" for n, value in keys.items()
        )
        with_null = fill(
            "EXISTS (SELECT 1 FROM $t WHERE $some) AND ($empty)"
            " AND EXISTS (SELECT 1 FROM $t t WHERE $same)",
            t=touched,
            some=some,
            empty=empty,
            same=same,
        )
        return [among, with_null]

    def _by(self, names: Sequence[str]) -> str:
        return f"GROUP BY {comma([ident(name) for name in names])}" if names else ""

    def _contributions(self, rows: str) -> str:
        count = "sum(__pgt_w * __pgt_m)" if self.weighted_by_feed else "sum(__pgt_w)"
        columns = [*map(ident, self.names), f"{count} AS d___pgt_count"]
        columns += [self._gone(name) for name in self.inexact]
        for slot in self.slots:
            if slot.kind == "sum":
                columns.append(f"{slot.delta} AS {ident('d_' + slot.name)}")
            elif slot.kind in {"min", "max"}:
                for letter, sign in (("i", ">"), ("d", "<")):
                    columns.append(
                        f"{slot.kind}({slot.argument}) FILTER (WHERE __pgt_w {sign} 0)"
                        f" AS {ident(f'{letter}_{slot.name}')}"
                    )
        if any(slot.kind in {"min", "max"} for slot in self.slots):
            rows = self._consolidated(rows)
        return fill(_GROUPED, columns=comma(columns), rows=rows, by=self._by(self.names))

    def _gone(self, name: str) -> str:
        """The values of a key in the rows that left its group, as texts."""
        left = "__pgt_w < 0" + (" AND __pgt_m = 1" if self.weighted_by_feed else "")
        values = f"array_agg(DISTINCT {image(ident(name))}) FILTER (WHERE {left})"
        return f"{values} AS {ident('x_' + name)}"

    def _consolidated(self, rows: str) -> str:
        """Net the rows by identity: equal values that print differently stay apart (A9, A10)."""
        columns, by = [ident(n) for n in self.names], [ident(n) for n in self.names]
        for name, exact, equality in self.inputs:
            columns.append(ident(name) if equality else f"(array_agg({name}))[1] AS {ident(name)}")
            by += [ident(name)] if equality else []
            by += [] if exact else [image(ident(name))]
        if self.weighted_by_feed:
            columns.append("__pgt_m")
            by.append("__pgt_m")
        return fill(_CONSOLIDATED, columns=comma(columns), rows=rows, by=comma(by))

    def _merged(self, contributions: str) -> str:
        new_count = f"coalesce({self.access['__pgt_count']}, 0) + coalesce(c.d___pgt_count, 0)"
        columns = [self._key_value(item) for item in self.key]
        columns += [
            f"({self.access['__pgt_count']}) IS NOT NULL AS __pgt_old",
            f"{new_count} > 0 AS __pgt_new" if self.key else "true AS __pgt_new",
            f"{self.access['__pgt_count']} AS o___pgt_count",
            f"({new_count})::bigint AS n___pgt_count",
            "st.ctid AS __pgt_place",
        ]
        doubts = [self._vanished(name) for name in self.inexact]
        for slot in self.slots:
            old = self.access[slot.name]
            columns.append(f"{old} AS {ident('o_' + slot.name)}")
            columns.append(f"{_new_value(slot, old)} AS {ident('p_' + slot.name)}")
            doubts.append(_doubt(slot, old))
        if self.recomputes:
            columns.append(
                f"coalesce({' OR '.join(d for d in doubts if d)}, false) AS __pgt_again"
            )
        return fill(
            _MERGED,
            columns=comma(columns),
            contributions=contributions,
            state=self.state,
            match=match_key(self.stored_key, "st", "c", self.key),
        )

    def _key_value(self, item: OutputColumn) -> str:
        """A key as the state shows it: equal values may print differently (A9)."""
        given = column("c", item.name)
        if item.exact:
            return given
        there, stored = self.access["__pgt_count"], self.access[item.name]
        return f"CASE WHEN ({there}) IS NULL THEN {given} ELSE {stored} END AS {ident(item.name)}"

    def _vanished(self, name: str) -> str:
        """Whether a row left that has the value which the state shows."""
        return f"{image('(' + self.access[name] + ')')} = ANY ({column('c', 'x_' + name)})"

    def _again(self, out: Context, merged: str, touched_rows: Callable[[str], str]) -> str:
        keys = comma([column("m", name) for name in self.names] or ["1 AS __pgt_one"])
        needed = "m.__pgt_again AND m.__pgt_new" if self.key else "m.__pgt_again"
        touched = out.add(
            f"touched_{self.alias}", fill(_TOUCHED, keys=keys, merged=merged, needed=needed)
        )
        columns = [*map(ident, self.names)]
        columns += [f"{s.fill} AS {ident(s.name)}" for s in self.slots if _uncertain(s)]
        query = fill(
            _GROUPED, columns=comma(columns), rows=touched_rows(touched), by=self._by(self.names)
        )
        name = out.add(f"again_{self.alias}", fill(_AGAIN, query=query))
        match = match_key(self.key, "a", "m")
        # Every group in it is in m as well; unlike LEFT JOIN, FULL JOIN is never a nested loop.
        return f"FULL JOIN {name} a ON {match}"

    def _changed(self, merged: str, again: str) -> str:
        columns = ["m.*"]
        for name in self.inexact:
            found, kept = column("a", name), column("m", name)
            value = f"CASE WHEN m.__pgt_again AND m.__pgt_new THEN {found} ELSE {kept} END"
            columns.append(f"{value} AS {ident('n_' + name)}")
        for slot in self.slots:
            value = column("m", "p_" + slot.name)
            if _uncertain(slot):
                value = f"CASE WHEN m.__pgt_again THEN {column('a', slot.name)} ELSE {value} END"
            columns.append(f"{value} AS {ident('n_' + slot.name)}")
        changed = f"(m.__pgt_old <> m.__pgt_new OR {self.differing('m')})"
        diff = changed if self.compared else "true"
        return fill(_CHANGED, columns=comma(columns), diff=diff, merged=merged, again=again)


def _uncertain(slot: Slot) -> bool:
    return slot.kind != "sum"


def _new_value(slot: Slot, old: str) -> str:
    """The new slot as far as addition and the three cases can tell."""
    if slot.kind == "sum":
        added = column("c", "d_" + slot.name)
        return f"(coalesce({old}, 0) + coalesce({added}, 0))::{slot.type}"
    if slot.kind == "group":
        return f"NULL::{slot.type}"
    inserted = column("c", "i_" + slot.name)
    compare = "<=" if slot.kind == "min" else ">="
    takes = f"{inserted} IS NOT NULL AND ({old} IS NULL OR {inserted} {compare} {old})"
    return f"CASE WHEN {takes} THEN {inserted} ELSE {old} END"


def _doubt(slot: Slot, old: str) -> str:
    """When the new slot must be computed from the child's rows."""
    if slot.kind == "sum":
        return ""
    if slot.kind == "group":
        return "true"
    inserted, deleted = column("c", "i_" + slot.name), column("c", "d_" + slot.name)
    compare = "<=" if slot.kind == "min" else ">="
    takes = f"{inserted} IS NOT NULL AND {inserted} {compare} {old}"
    return f"({old} IS NOT NULL AND {deleted} = {old} AND ({takes}) IS NOT TRUE)"
