"""The last step of a refresh: from a delta to changed rows of the stream table.

Only rows that differ are touched, rows keep their identity where there is a key (so that updates
are updates), and the statement reports how many rows it changed beside how many the delta
announced. Invariant: a difference between the two is never repaired here; the engine raises
``Diverged``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from trickle_runtime.compiler import bags, temporary
from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.dialect import render
from trickle_runtime.compiler.identity import match_key, row
from trickle_runtime.compiler.operators.base import Pairs
from trickle_runtime.compiler.result import OutputColumn, Step
from trickle_runtime.compiler.template import column, comma, dotted, fill, ident, literal
from trickle_runtime.compiler.term import Relation, union

DELTA_TABLE = "pgtrickle_delta"
ROWS_TABLE = "pgtrickle_rows"

_CAST = "SELECT $columns, __pgt_w FROM ($rows) d"
# A FULL JOIN is never run as a nested loop, whatever the planner thinks of a CTE's size.
_PAIRED = """MATERIALIZED (SELECT $columns, p.__pgt_w IS NOT NULL AS __pgt_new,
 o.__pgt_w IS NOT NULL AS __pgt_was
 FROM (SELECT * FROM net WHERE __pgt_w > 0) p FULL JOIN (SELECT * FROM net WHERE __pgt_w < 0) o
 ON $match)"""
_UPDATE = "UPDATE $table AS st SET $sets FROM $rows n WHERE $which AND $match RETURNING 1"
_INSERT = "INSERT INTO $table ($names) SELECT $values FROM $rows n WHERE $which RETURNING 1"
_DELETE = "DELETE FROM $table AS st USING $rows o WHERE $which AND $match RETURNING 1"
_LOG = """INSERT INTO $log (__pgt_refresh, __pgt_w, $names)
 SELECT current_setting($number)::bigint, n.__pgt_w, $values FROM net n RETURNING 1"""
_COUNTS = """SELECT $inserted AS inserted, $updated AS updated, $deleted AS deleted,
 $expected AS expected"""
_OPS = """MATERIALIZED (SELECT $shown, __pgt_place, __pgt_o, __pgt_n, __pgt_bad, __pgt_odd
 FROM (SELECT $columns, $place AS __pgt_place, $old AS __pgt_o, $new AS __pgt_n,
 $bad AS __pgt_bad, $odd AS __pgt_odd
 FROM $query) q
 WHERE __pgt_bad OR __pgt_odd OR __pgt_o <> __pgt_n
 OR (__pgt_o AND record_image_ne($before, $after)))"""
_OPS_TOLD = """MATERIALIZED (SELECT $columns, $place AS __pgt_place, $old AS __pgt_o,
 $new AS __pgt_n, $bad AS __pgt_bad, $odd AS __pgt_odd
 FROM $query WHERE $bad OR $odd OR $old <> $new OR ($old AND $differ))"""
_DIFFERING = """MATERIALIZED (SELECT $columns, o.__pgt_place, o.__pgt_there IS NOT NULL AS __pgt_o,
 p.__pgt_there IS NOT NULL AS __pgt_n, false AS __pgt_bad, false AS __pgt_odd
 FROM (SELECT *, true AS __pgt_there FROM pg_temp.$name) p
 FULL JOIN (SELECT *, ctid AS __pgt_place, true AS __pgt_there FROM $table) o ON $match
 WHERE p.__pgt_there IS NULL OR o.__pgt_there IS NULL OR record_image_ne($before, $after))"""
_DIFFERENCE = "SELECT $names, 1 AS __pgt_w FROM $rows n UNION ALL SELECT $names, -1 FROM $table"
_OPS_COUNT = "(SELECT count(*) + count(*) FILTER (WHERE __pgt_bad) FROM ops)"
_OPS_ODD = "EXISTS (SELECT 1 FROM ops WHERE __pgt_odd)"
_LOG_PAIRS = """INSERT INTO $log (__pgt_refresh, __pgt_w, $names)
 SELECT current_setting($number)::bigint, -1, $before FROM ops o WHERE o.__pgt_o
 UNION ALL SELECT current_setting($number)::bigint, 1, $after FROM ops o WHERE o.__pgt_n
 RETURNING 1"""


def _was(name: str) -> str:
    """The column that holds the old row's value."""
    return dotted("__pgt_old", name)


@dataclass(frozen=True)
class Target:
    """The stream table to maintain.

    Attributes:
        pgt_id: its number.
        relation: qualified, quoted name.
        log: whether its delta goes to its change log, for stream tables above.
        partition_columns: columns it is partitioned by.
        sequential: it has unique indexes of the user's: delete before inserting.
    """

    pgt_id: int
    relation: str
    log: bool = False
    partition_columns: tuple[str, ...] = ()
    sequential: bool = False


@dataclass(frozen=True)
class Apply:
    """Makes the final steps for one target."""

    target: Target
    columns: Sequence[OutputColumn]
    key: Sequence[OutputColumn] | None

    @property
    def names(self) -> list[str]:
        """All columns."""
        return [item.name for item in self.columns]

    def net(self, rows: str) -> str:
        """Cast signed rows to the columns' types, and net them."""
        cast = comma([f"({ident(c.name)})::{c.type} AS {ident(c.name)}" for c in self.columns])
        return bags.net(self.columns, fill(_CAST, columns=cast, rows=rows))

    def signed(self, relation: Relation, out: Context, *, materialise: bool) -> list[Step]:
        """Steps for a delta of signed rows."""
        rows = union(relation, self.names, weighted=True) if relation else self._nothing()
        return self.rows(rows, out, materialise=materialise)

    def _nothing(self) -> str:
        """The delta of sources whose rows decide nothing, such as those of an unused WITH."""
        columns = [f"NULL::{c.type} AS {ident(c.name)}" for c in self.columns]
        return f"SELECT {comma([*columns, '0 AS __pgt_w'])} WHERE false"

    def rows(self, rows: str, out: Context, *, materialise: bool) -> list[Step]:
        """Steps for a delta given as a query of the columns and the weight."""
        out.add("net", self.net(rows))
        if not (materialise or self.target.sequential):
            return [Step("apply", out.final(self._counts(out), self._writes(out)))]
        return self._materialised(out)

    def replaced(self, query: str, out: Context, *, materialise: bool, staged: bool) -> list[Step]:
        """Steps that bring the table to the rows of a query, by difference.

        Args:
            query: gives all rows.
            out: collects the statement.
            materialise: put the net delta into a temporary table before it is applied.
            staged: put the rows into a temporary table first, which costs some milliseconds and
                lets PostgreSQL run the query in parallel: beside data-modifying CTEs it never does
                (manual, 15.2).
        """
        names = comma([ident(name) for name in self.names])
        rows = f"({query})"
        steps: list[Step] = []
        if staged:
            rows = f"pg_temp.{ROWS_TABLE}"
            steps = [*temporary.replace(ROWS_TABLE, query)]
            if self.key is not None and not (materialise or self.target.sequential):
                out.add("ops", self._differing())
                return [*steps, *self._applied("false", out, placed=not self._partitioned)]
        table = self.target.relation
        difference = fill(_DIFFERENCE, names=names, rows=rows, table=table)
        return [*steps, *self.rows(difference, out, materialise=materialise)]

    def _differing(self) -> str:
        """The rows of the two tables that have the same key and differ, or have no partner."""
        key = {item.name for item in self.key or ()}
        kept = self.names if self.target.log else self.target.partition_columns
        columns: list[str] = []
        for item in self.columns:
            new, old = column("p", item.name), column("o", item.name)
            if item.name in key:  # of a row that goes, the delete needs it
                new = f"CASE WHEN p.__pgt_there THEN {new} ELSE {old} END"
            columns.append(f"({new})::{item.type} AS {ident(item.name)}")
        columns += [f"{column('o', name)} AS {ident(_was(name))}" for name in kept]
        return fill(
            _DIFFERING,
            columns=comma(columns),
            name=ROWS_TABLE,
            table=self.target.relation,
            match=match_key(self.key or (), "p", "o"),
            before=row(self.names, "o"),
            after=row(self.names, "p"),
        )

    def paired(self, pairs: Pairs, out: Context) -> list[Step]:
        """Steps for a delta that comes in pairs per key."""
        out.add("ops", self._ops(pairs))
        return self._applied(pairs.odd, out, placed=pairs.place is not None)

    @property
    def _partitioned(self) -> bool:
        return bool(self.target.partition_columns)

    def _applied(self, odd: str, out: Context, *, placed: bool) -> list[Step]:
        """Steps for ``ops``: per key the new row, parts of the old, which of them are there.

        Old rows are found by their place where it is known, else by the key.
        """
        sets = self._sets("n")
        writes: dict[str, str] = {}
        if sets:
            writes["upd"] = self._fill(
                _UPDATE,
                sets=sets,
                rows="ops",
                which="n.__pgt_o AND n.__pgt_n",
                match=self._old("n", placed),
            )
        writes["ins"] = self._insert("ops", "n.__pgt_n AND NOT n.__pgt_o")
        writes["del"] = self._fill(
            _DELETE,
            rows="ops",
            which="o.__pgt_o AND NOT o.__pgt_n",
            match=self._old("o", placed),
        )
        if self.target.log:
            writes["log"] = fill(
                _LOG_PAIRS,
                log=self._log(out),
                number=self._number(out),
                names=comma([ident(n) for n in self.names]),
                before=comma([column("o", _was(n)) for n in self.names]),
                after=comma([column("o", n) for n in self.names]),
            )
        if odd != "false":
            out.not_numbers.append(_OPS_ODD)
        body = self._result(out, writes, [_OPS_COUNT, *self._checks(out)])
        return [Step("apply", out.final(body, writes))]

    def _old(self, alias: str, placed: bool) -> str:
        """The condition that a stored row is the old one of a pair."""
        if placed:
            return f"st.ctid = {alias}.__pgt_place"
        return match_key(self.key or (), "st", alias) + self._partitions(alias)

    def _ops(self, pairs: Pairs) -> str:
        kept = self.names if self.target.log else self.target.partition_columns
        parts = {
            "place": "NULL::tid" if pairs.place is None else render(pairs.place),
            "old": render(pairs.old),
            "new": render(pairs.new),
            "bad": pairs.bad,
            "odd": pairs.odd,
            "query": pairs.query,
        }
        new = [self._new_value(item, pairs) for item in self.columns]
        if pairs.differ is not None:
            old = [self._old_value(item, pairs) for item in self.columns if item.name in kept]
            return fill(_OPS_TOLD, columns=comma([*new, *old]), differ=pairs.differ, **parts)
        old = [self._old_value(item, pairs) for item in self.columns]
        return fill(
            _OPS,
            shown=comma([*map(ident, self.names), *(ident(_was(name)) for name in kept)]),
            columns=comma([*new, *old]),
            before=row([_was(n) for n in self.names], "q"),
            after=row(self.names, "q"),
            **parts,
        )

    def _new_value(self, item: OutputColumn, pairs: Pairs) -> str:
        value = render(pairs.new_columns[item.name])
        if item.name not in {key.name for key in self.key or ()}:  # a key stands in both rows
            value = f"CASE WHEN {render(pairs.new)} THEN {value} END"
        return f"({value})::{item.type} AS {ident(item.name)}"

    def _old_value(self, item: OutputColumn, pairs: Pairs) -> str:
        value = f"CASE WHEN {render(pairs.old)} THEN {render(pairs.old_columns[item.name])} END"
        return f"({value})::{item.type} AS {ident(_was(item.name))}"

    def _materialised(self, out: Context) -> list[Step]:
        """The net delta in a temporary table first, then the changes.

        CREATE TABLE AS takes no data-modifying CTEs, so every state is maintained before (the
        plan stores all stateful operators in that case).
        """
        if out.writes:
            raise ValueError("a state would be maintained after the delta was read")
        query = out.final("SELECT * FROM net", {})
        final = Context(out.schemas, out.pgt_id)
        final.checks, final.not_numbers = list(out.checks), list(out.not_numbers)
        final.add("net", fill("(SELECT * FROM pg_temp.$name)", name=DELTA_TABLE))
        delta = temporary.replace(DELTA_TABLE, query, kind="delta")
        if self.target.sequential:
            return [*delta, *self._sequential(final)]
        return [*delta, Step("apply", final.final(self._counts(final), self._writes(final)))]

    def _sequential(self, out: Context) -> list[Step]:
        """All old rows out, then all new rows in: a user's unique index survives any exchange."""
        deletes = self._bag_delete() if self.key is None else self._delete_all_old()
        removed = "(SELECT coalesce(sum(-__pgt_w), 0) FROM net WHERE __pgt_w < 0)"
        first = self._result(out, {"del": deletes}, [removed, *self._checks(out)])
        writes = {"ins": self._bag_insert()}
        if self.target.log:
            writes["log"] = self._log_net(out)
        second = self._result(
            out, writes, ["(SELECT coalesce(sum(__pgt_w), 0) FROM net WHERE __pgt_w > 0)"]
        )
        out.checks = []
        return [
            Step("apply", out.final(first, {"del": deletes})),
            Step("apply", out.final(second, writes)),
        ]

    def _delete_all_old(self) -> str:
        match = match_key(self.key or (), "st", "o") + self._partitions("o", "")
        return self._fill(_DELETE, rows="net", which="o.__pgt_w < 0", match=match)

    def _writes(self, out: Context) -> dict[str, str]:
        writes = self._bag_writes() if self.key is None else self._keyed_writes()
        if self.target.log:
            writes["log"] = self._log_net(out)
        return writes

    def _counts(self, out: Context) -> str:
        if self.key is not None:
            names = dict.fromkeys((*(k.name for k in self.key), *self.target.partition_columns))
            columns = [column("p", n) for n in self.names]
            columns += [f"{column('o', n)} AS {ident(_was(n))}" for n in names]
            match = match_key(self.key, "p", "o")
            out.add("paired", fill(_PAIRED, columns=comma(columns), match=match))
            expected = ["(SELECT count(*) FROM paired)"]
        else:
            expected = ["(SELECT coalesce(sum(abs(__pgt_w)), 0)::bigint FROM net)"]
        return self._result(out, self._writes(out), expected + self._checks(out))

    def _keyed_writes(self) -> dict[str, str]:
        key = self.key or ()
        old_key = [replace(item, name=_was(item.name)) for item in key]
        writes: dict[str, str] = {}
        sets = self._sets("n")
        if sets:
            match = match_key(key, "st", "n", old_key) + self._partitions("n")
            writes["upd"] = self._fill(
                _UPDATE, sets=sets, rows="paired", which="n.__pgt_new AND n.__pgt_was", match=match
            )
        writes["ins"] = self._insert("paired", "n.__pgt_new AND NOT n.__pgt_was")
        match = match_key(key, "st", "o", old_key) + self._partitions("o")
        writes["del"] = self._fill(_DELETE, rows="paired", which="NOT o.__pgt_new", match=match)
        return writes

    def _bag_writes(self) -> dict[str, str]:
        return {"ins": self._bag_insert(), "del": self._bag_delete()}

    def _bag_insert(self) -> str:
        return bags.insert(self.target.relation, self.columns, "net")

    def _bag_delete(self) -> str:
        return bags.delete(
            self.target.relation,
            self.columns,
            "net",
            partitioned=self._partitioned,
            pruning=self._partitions("o", "s", named=str),
        )

    def _insert(self, rows: str, which: str) -> str:
        return self._fill(_INSERT, rows=rows, which=which, **self._inserted("n"))

    def _inserted(self, alias: str) -> dict[str, str]:
        return {
            "names": comma([ident(n) for n in self.names]),
            "values": comma([column(alias, n) for n in self.names]),
        }

    def _sets(self, alias: str) -> str:
        """Columns to set: those of the key only where equal values may differ."""
        fixed = {item.name for item in self.key or () if item.exact}
        return comma([f"{ident(n)} = {column(alias, n)}" for n in self.names if n not in fixed])

    def _partitions(
        self, alias: str, stored: str = "st", named: Callable[[str], str] = _was
    ) -> str:
        """Name the partition of the stored row, so that PostgreSQL prunes the others.

        It prunes by ``=`` and ``IS NULL``, not by ``IS NOT DISTINCT FROM`` nor by a hash.
        """
        nullable = {item.name for item in self.columns if not item.not_null}
        key = self.key or ()
        matched = {item.name for item in key if all(other.not_null for other in key)}
        parts = ""
        for name in self.target.partition_columns:
            if name in matched:
                continue
            kept, old = column(stored, name), column(alias, named(name))
            equal = f"{kept} = {old}"
            if name in nullable:
                equal = f"({equal} OR ({kept} IS NULL AND {old} IS NULL))"
            parts += f" AND {equal}"
        return parts

    def _result(self, out: Context, writes: dict[str, str], expected: list[str]) -> str:
        def counted(name: str) -> str:
            return fill("(SELECT count(*) FROM $name)", name=name) if name in writes else "0"

        return fill(
            _COUNTS,
            inserted=counted("ins"),
            updated=counted("upd"),
            deleted=counted("del"),
            expected=_announced(out, " + ".join(expected)),
        )

    def _checks(self, out: Context) -> list[str]:
        return [f"({check})" for check in out.checks]

    def _log_net(self, out: Context) -> str:
        return fill(_LOG, log=self._log(out), number=self._number(out), **self._inserted("n"))

    def _log(self, out: Context) -> str:
        return f"{ident(out.schemas.changes)}.{ident(f'log_{self.target.pgt_id}')}"

    def _number(self, out: Context) -> str:
        return literal(f"{out.schemas.prefix}.refresh_no")

    def _fill(self, template: str, **parts: str) -> str:
        return fill(template, table=self.target.relation, **parts)


def _announced(out: Context, expected: str) -> str:
    """The number of changes that the delta announced; NULL where addition met a NaN (A11)."""
    if not out.not_numbers:
        return expected
    tests = " OR ".join(out.not_numbers)
    return f"CASE WHEN {tests} THEN NULL ELSE {expected} END"
