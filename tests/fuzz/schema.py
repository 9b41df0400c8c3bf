"""Random tables: with and without keys, indexes, foreign keys, partitions, generated columns.

Invariant: a column's name says its type, so that tables have columns of one name and type in
common (USING, NATURAL JOIN), and rows draw from the same small domains.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import count

from tests.fuzz import sqltypes
from tests.fuzz.grammar.gen import Column, Relation, ident
from tests.fuzz.sqltypes import SqlType

# How tables name columns, by type; the first is the most common.
_NAMES: dict[SqlType, tuple[str, ...]] = {
    sqltypes.INT: ("x", "y", "z"),
    sqltypes.BIGINT: ("big",),
    sqltypes.SMALL: ("small_x",),
    sqltypes.NUM2: ("v", "w"),
    sqltypes.NUM: ("n",),
    sqltypes.FLOAT: ("f",),
    sqltypes.TEXT: ("s", "u"),
    sqltypes.CHAR3: ("ch",),
    sqltypes.BOOL: ("flag",),
    sqltypes.DATE: ("d",),
    sqltypes.TIMESTAMP: ("ts",),
    sqltypes.TIMESTAMPTZ: ("tz",),
    sqltypes.JSONB: ("jb",),
    sqltypes.INTS: ("arr",),
    sqltypes.INTERVAL: ("iv",),
    sqltypes.JSON: ("js",),
    sqltypes.RANGE: ("rg",),
    sqltypes.POINT: ("p",),
    sqltypes.MOOD: ("m",),
}
_WEIGHTS = {
    sqltypes.INT: 8.0,
    sqltypes.TEXT: 4.0,
    sqltypes.NUM2: 3.0,
    sqltypes.DATE: 2.0,
    sqltypes.RANGE: 0.5,
    sqltypes.POINT: 0.4,
}
_TABLE_NAMES = ("t0", "t1", "t2", "t3", "t4")
FIRST_IDS = 8  # rows that tables with a key begin with, at most


@dataclass(frozen=True)
class Attribute:
    """A column as declared."""

    name: str
    type: SqlType
    not_null: bool = False
    generated: str | None = None

    def ddl(self) -> str:
        """Its line in CREATE TABLE."""
        parts = [ident(self.name), self.type.ddl]
        if self.generated is not None:
            parts.append(f"GENERATED ALWAYS AS ({self.generated}) STORED")
        if self.not_null:
            parts.append("NOT NULL")
        return " ".join(parts)


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        key: ``id``, ``pair`` (x, y), or None.
        deferrable: whether keys may be swapped within a statement.
        partitions: names of partitions, for an extra way in.
        parent: a table whose ``id`` the column ``x`` references.
    """

    name: str  # quoted
    attributes: tuple[Attribute, ...]
    key: str | None
    deferrable: bool
    partitions: tuple[str, ...]
    parent: str | None
    on_delete: str
    indexes: tuple[str, ...]

    @property
    def written(self) -> tuple[Attribute, ...]:
        """Columns that INSERT gives."""
        return tuple(a for a in self.attributes if a.generated is None)

    @property
    def key_columns(self) -> tuple[str, ...] | None:
        """Columns of the primary key."""
        return {"id": ("id",), "pair": ("x", "y"), None: None}[self.key]

    def relation(self) -> Relation:
        """The table as the grammar sees it."""
        columns = tuple(Column(a.name, a.type, a.type.exact) for a in self.attributes)
        return Relation(self.name, columns, self.key_columns)

    def ddl(self) -> list[str]:
        """CREATE TABLE and what goes with it."""
        lines = [a.ddl() for a in self.attributes]
        if self.key_columns:
            later = " DEFERRABLE" if self.deferrable else ""
            lines.append(f"PRIMARY KEY ({', '.join(self.key_columns)}){later}")
        if self.parent is not None:
            lines.append(f"FOREIGN KEY (x) REFERENCES {self.parent} (id) {self.on_delete}")
        text = f"CREATE TABLE {self.name} ({', '.join(lines)})"
        if not self.partitions:
            return [text, *self.indexes]
        low, rest = self.partitions
        return [
            f"{text} PARTITION BY LIST (x)",
            f"CREATE TABLE {low} PARTITION OF {self.name} FOR VALUES IN (0, 1)",
            f"CREATE TABLE {rest} PARTITION OF {self.name} DEFAULT",
            *self.indexes,
        ]

    def row(self, rng: random.Random, numbers: count[int], name: str | None = None) -> str:
        """The values of a random row; of one that belongs into the partition ``name``."""
        return f"({', '.join(self._value(rng, a, numbers, name) for a in self.written)})"

    def _value(
        self, rng: random.Random, attribute: Attribute, numbers: count[int], name: str | None
    ) -> str:
        if attribute.name == "id":
            return str(next(numbers))
        if attribute.name == "x":
            if self.parent is not None:
                return rng.choice(("1", "2", "3", "3" if attribute.not_null else "NULL"))
            if name is not None:
                return rng.choice(("0", "1") if name == self.partitions[0] else ("2", "3"))
        return attribute.type.value(rng, 0.0 if attribute.not_null else 0.2)


def tables(rng: random.Random) -> list[Table]:
    """Two to five tables."""
    names = _TABLE_NAMES[: rng.choice((2, 2, 3, 3, 4, 5))]
    made: list[Table] = []
    for name in names:
        parents = [one for one in made if one.key == "id" and not one.deferrable]
        made.append(_table(rng, name, parents))
    return made


def first_rows(rng: random.Random, table: Table) -> list[str]:
    """INSERT statements that fill a new table."""
    if table.key != "id" and rng.random() < 0.1:
        return []
    numbers = count(1)  # a parent has the rows 1 to 3, to which its children refer
    rows = [table.row(rng, numbers) for _ in range(rng.randint(3, FIRST_IDS))]
    return [insert(table, rows, " ON CONFLICT DO NOTHING" if table.key == "pair" else "")]


def insert(table: Table, rows: list[str], rest: str = "", into: str | None = None) -> str:
    """An INSERT of rows."""
    columns = ", ".join(ident(a.name) for a in table.written)
    return f"INSERT INTO {into or table.name} ({columns}) VALUES {', '.join(rows)}{rest}"


def _table(rng: random.Random, name: str, parents: list[Table]) -> Table:
    if rng.random() < 0.05:
        name = '"Odd ' + name + '"'
    key = rng.choice(("id", "id", None, None, "pair"))
    attributes = _attributes(rng, key)
    plain = key == "id" and rng.random() < 0.75
    parted = key is None and rng.random() < 0.15
    parent = rng.choice(parents).name if parents and key == "id" and rng.random() < 0.35 else None
    bare = name.strip('"').replace(" ", "_").lower()
    return Table(
        name,
        attributes,
        key,
        deferrable=key == "id" and not plain and rng.random() < 0.5,
        partitions=(f"{bare}_low", f"{bare}_rest") if parted else (),
        parent=parent,
        on_delete=rng.choice(("ON DELETE CASCADE", "ON DELETE SET NULL", "ON UPDATE CASCADE")),
        indexes=_indexes(rng, name, attributes),
    )


def _attributes(rng: random.Random, key: str | None) -> tuple[Attribute, ...]:
    found = [Attribute("x", sqltypes.INT, key == "pair" or rng.random() < 0.1)]
    if key == "id":
        found.insert(0, Attribute("id", sqltypes.INT, True))
    if key == "pair":
        found.append(Attribute("y", sqltypes.INT, True))
    types = list(_NAMES)
    weights = [_WEIGHTS.get(type_, 1.0) for type_ in types]
    for type_ in rng.choices(types, weights, k=rng.randint(1, 4)):
        names = [n for n in _NAMES[type_] if n not in {a.name for a in found}]
        if names:
            found.append(Attribute(names[0], type_, rng.random() < 0.1))
    if rng.random() < 0.06:
        found.append(Attribute("made", sqltypes.INT, generated="x * 10 + 1"))
    return tuple(found)


def _indexes(rng: random.Random, name: str, attributes: tuple[Attribute, ...]) -> tuple[str, ...]:
    if rng.random() < 0.6:
        return ()
    sortable = [a.name for a in attributes if a.type.ordered]
    chosen = rng.sample(sortable, min(len(sortable), rng.choice((1, 1, 2))))
    return (f"CREATE INDEX ON {name} ({', '.join(map(ident, chosen))})",)
