"""Random histories: transactions on all tables, with refresh points in between.

Invariant: statements name rows by their values, never by chance or by place on disk, so that a
history does the same on every run; what it needs of another session never waits for a lock.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from tests.fuzz.schema import FIRST_IDS, Attribute, Table, insert
from tests.fuzz.steps import Create, Refresh, Sql, Step


@dataclass
class History:
    """A history in the making."""

    rng: random.Random
    tables: Sequence[Table]
    numbers: count[int] = field(default_factory=lambda: count(100))
    steps: list[Step] = field(default_factory=list)
    open: set[str] = field(default_factory=set)  # tables that the other session has written to
    touched: set[str] = field(default_factory=set)  # tables written to in this cycle

    def cycle(self, names: Sequence[str], *, last: bool) -> None:
        """A few transactions, then a refresh of some stream tables, or of all."""
        rng = self.rng
        self.touched.clear()
        if not self.open and rng.random() < 0.2:
            self._begin_other()
        for _ in range(rng.randint(2, 5)):
            self._transaction()
        if self.open and (last or rng.random() < 0.5):
            self._end_other()
        chosen = [name for name in names if last or rng.random() < 0.75]
        rng.shuffle(chosen)
        for name in chosen:
            mode = "full" if rng.random() < 0.04 else None
            self.steps.append(Refresh(name, mode))

    def create(self, name: str) -> None:
        """A stream table that is created now; no writer may be in its way."""
        if self.open:
            self._end_other()
        self.steps.append(Create(name))

    def _transaction(self) -> None:
        rng = self.rng
        kind = rng.choices(("single", "several", "savepoint", "undone"), (4, 4, 1.2, 1))[0]
        if kind == "single":
            self._do(self._statement())
            return
        self._do("BEGIN")
        for _ in range(rng.randint(1, 4)):
            self._do(self._statement())
        if kind == "savepoint":
            self._do("SAVEPOINT one")
            self._do(self._statement())
            self._do(
                "ROLLBACK TO SAVEPOINT one" if rng.random() < 0.7 else "RELEASE SAVEPOINT one"
            )
            self._do(self._statement())
        self._do("ROLLBACK" if kind == "undone" else "COMMIT")

    def _begin_other(self) -> None:
        """Another session writes and stays open over refreshes."""
        free = [one for one in self.tables if one.parent is None]
        chosen = self.rng.sample(free, min(len(free), self.rng.choice((1, 1, 2))))
        self.steps.append(Sql("BEGIN", other=True))
        for table in chosen:
            self.steps.append(Sql(self._write(table, calm=True), other=True))
            self.open.add(table.name)
        children = {one.name for one in self.tables if one.parent in self.open}
        self.open |= children

    def _end_other(self) -> None:
        end = "ROLLBACK" if self.rng.random() < 0.25 else "COMMIT"
        self.steps.append(Sql(end, other=True))
        self.open.clear()

    def _do(self, sql: str | None) -> None:
        if sql is not None:
            self.steps.append(Sql(sql))

    def _statement(self) -> str | None:
        """A statement on a table that is free."""
        blocked = self.open | {one.parent for one in self.tables if one.name in self.open}
        free = [
            one for one in self.tables if one.name not in blocked and one.parent not in blocked
        ]
        others = [one for one in free if one.name not in self.touched]
        if others and self.rng.random() < 0.6:  # several inputs of a join change at once
            free = others
        if not free:
            return None
        table = self.rng.choice(free)
        self.touched.add(table.name)
        return self._write(table)

    def _write(self, table: Table, *, calm: bool = False) -> str:
        rng = self.rng
        kinds = {
            "insert": 4.5,
            "delete": 3.0,
            "update": 4.0,
            "empty": 0.0 if calm else 0.3,
            "refill": 0.2,
            "truncate": 0.0 if calm else 0.15,
            "swap": 0.5 if table.deferrable else 0.0,
            "shift": 0.4 if table.key == "id" and table.parent is None else 0.0,
            "copy": 0.4 if table.key is None else 0.0,
            "merge": 0.4 if table.key == "id" and not table.deferrable else 0.0,
        }
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        if kind in {"insert", "refill"}:
            return self._insert(table, rng.randint(1, 3) if kind == "insert" else 5)
        if kind == "delete":
            return f"DELETE FROM {table.name} WHERE {self._some(table)}"
        if kind == "update":
            return f"UPDATE {table.name} SET {self._assignments(table)} WHERE {self._some(table)}"
        return self._special(table, kind)

    def _special(self, table: Table, kind: str) -> str:
        name = table.name
        if kind == "empty":
            return f"DELETE FROM {name}"
        if kind == "truncate":
            return f"TRUNCATE {name} CASCADE"
        if kind == "swap":
            return f"UPDATE {name} SET id = 3 - id WHERE id IN (1, 2)"
        if kind == "shift":
            return f"UPDATE {name} SET id = - id WHERE {self._some(table)}"
        if kind == "merge":
            return self._merge(table)
        columns = ", ".join(f'"{a.name}"' for a in table.written)
        copied = f"SELECT {columns} FROM {name} WHERE {self._some(table)}"
        return f"INSERT INTO {name} ({columns}) {copied}"

    def _insert(self, table: Table, rows: int) -> str:
        rng = self.rng
        into = rng.choice(table.partitions) if table.partitions and rng.random() < 0.3 else None
        numbers: count[int] = self.numbers
        rest = ""
        if table.key == "pair":
            rest = " ON CONFLICT DO NOTHING"
        elif table.key == "id" and not table.deferrable and rng.random() < 0.15:
            numbers = count(rng.randint(1, FIRST_IDS))
            rest = f" ON CONFLICT (id) DO UPDATE SET {self._assignments(table)}"
        texts = [table.row(rng, numbers, into) for _ in range(rows)]
        return insert(table, texts, rest, into)

    def _merge(self, table: Table) -> str:
        first = self.rng.randint(1, FIRST_IDS)
        row = table.row(self.rng, count(first))
        columns = ", ".join(f'"{a.name}"' for a in table.written)
        return (
            f"MERGE INTO {table.name} AS old USING (VALUES ({first})) AS new(id)"
            f" ON old.id = new.id"
            f" WHEN MATCHED AND old.x = 1 THEN DELETE"
            f" WHEN MATCHED THEN UPDATE SET {self._assignments(table)}"
            f" WHEN NOT MATCHED THEN INSERT ({columns}) VALUES {row}"
        )

    def _some(self, table: Table) -> str:
        """A condition that few rows meet."""
        rng = self.rng
        if table.key == "id" and rng.random() < 0.4:
            ids = ", ".join(str(rng.randint(1, FIRST_IDS)) for _ in range(rng.randint(1, 3)))
            return f"id IN ({ids})"
        if rng.random() < 0.55:
            bare = table.name
            return (
                f"(tableoid, ctid) IN (SELECT tableoid, ctid FROM {bare} AS r ORDER BY r::text"
                f" OFFSET {rng.choice((0, 0, 1, 2, 4))} LIMIT {rng.randint(1, 2)})"
            )
        attribute = rng.choice(table.attributes)
        name = f'"{attribute.name}"'
        if not attribute.type.ordered or rng.random() < 0.2:
            return f"{name} IS NULL"
        return f"{name} = {attribute.type.literal(rng, 0.0)}"

    def _assignments(self, table: Table) -> str:
        rng = self.rng
        free = [a for a in table.written if a.name not in {"id", *(table.key_columns or ())}]
        chosen = rng.sample(free, min(len(free), rng.choice((1, 1, 2)))) if free else []
        if not chosen:
            return '"y" = "y"' if table.key == "pair" else '"x" = "x"'
        return ", ".join(f'"{a.name}" = {self._new_value(table, a)}' for a in chosen)

    def _new_value(self, table: Table, attribute: Attribute) -> str:
        rng = self.rng
        if attribute.name == "x" and table.parent is not None:
            return rng.choice(("1", "2", "3" if attribute.not_null else "NULL"))
        return attribute.type.value(rng, 0.0 if attribute.not_null else 0.2)


def history(
    rng: random.Random,
    tables: Sequence[Table],
    now: Sequence[str],
    later: Sequence[str],
    cycles: int,
) -> list[Step]:
    """Steps: stream tables ``now`` exist, those of ``later`` are created on the way."""
    made = History(rng, tables)
    present, waiting = list(now), list(later)
    for number in range(cycles):
        if waiting and number:
            name = waiting.pop(0)
            made.create(name)
            present.append(name)
        made.cycle(present, last=number >= cycles - 2)
    return made.steps
