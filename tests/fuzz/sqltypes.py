"""The types that random tables and expressions have, with the values that tables hold.

Values come from small domains, so that joins and groups meet. Invariant: a type is ``exact`` only
if equal values print the same; everything that PostgreSQL decides by equality (GROUP BY, DISTINCT,
UNION, the smallest of several) is determined for exact values only.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

PRELUDE = (
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')",
    "CREATE DOMAIN small AS int CHECK (VALUE > -1000000)",
    "CREATE AGGREGATE product(bigint) (sfunc = int8mul, stype = bigint, initcond = '1')",
    "CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2'",
)


@dataclass(frozen=True)
class SqlType:
    """A type.

    Attributes:
        name: in templates.
        ddl: in SQL.
        values: literals that rows hold.
        rare: literals that rows hold now and then.
        ordered: has an order, and equality (all but json and point).
        exact: equal values are identical.
    """

    name: str
    ddl: str
    values: tuple[str, ...]
    rare: tuple[str, ...] = ()
    ordered: bool = True
    exact: bool = True

    def literal(self, rng: random.Random, nulls: float = 0.12) -> str:
        """A typed constant."""
        return f"{self.value(rng, nulls)}::{self.ddl}"

    def value(self, rng: random.Random, nulls: float = 0.2) -> str:
        """A constant for a row."""
        if rng.random() < nulls:
            return "NULL"
        if self.rare and rng.random() < 0.08:
            return rng.choice(self.rare)
        return rng.choice(self.values)


def _quoted(*texts: str) -> tuple[str, ...]:
    return tuple("'" + text.replace("'", "''") + "'" for text in texts)


INT = SqlType("int", "int", ("0", "1", "2", "3"), ("(-1)", "7"))
BIGINT = SqlType("bigint", "bigint", ("0", "1", "2", "3"), ("(-2)", "5000000000"))
SMALL = SqlType("small", "small", ("0", "1", "2", "3"))
NUM2 = SqlType("num2", "numeric(10,2)", ("1.00", "2.00", "0.50", "3.25", "(-1.00)"), ("1000.01",))
NUM = SqlType("num", "numeric", ("1.0", "1.00", "1", "2", "0.10"), ("2.000", "0.001"), exact=False)
FLOAT = SqlType(
    "float",
    "float8",
    ("0.5", "1.25", "2", "(-1)", "0"),
    _quoted("-0", "NaN", "Infinity", "-Infinity"),
    exact=False,
)
TEXT = SqlType("text", "text", _quoted("a", "b", "A", "ab", ""), _quoted("ß", "o'x", "a  ", "%"))
CHAR3 = SqlType("char3", "char(3)", _quoted("a", "ab", "b", "abc"))
BOOL = SqlType("bool", "boolean", ("true", "false"))
DATE = SqlType("date", "date", _quoted("2020-01-01", "2020-01-02", "2020-02-03", "2020-03-31"))
TIMESTAMP = SqlType(
    "timestamp",
    "timestamp",
    _quoted("2020-01-01 00:00", "2020-01-01 12:30", "2020-01-02 00:00", "2020-02-03 23:59:59.5"),
)
TIMESTAMPTZ = SqlType(
    "timestamptz",
    "timestamptz",
    _quoted("2020-01-01 00:00+00", "2020-01-01 02:00+02", "2020-01-02 00:00+00"),
)
JSONB = SqlType(
    "jsonb",
    "jsonb",
    _quoted('{"a": 1}', '{"a": 1.0}', "[1, 2]", "[]", '{"a": {"b": null}}', '["x", "x"]'),
    _quoted("null", '"x"', "1.0"),
    exact=False,
)
INTS = SqlType("ints", "int[]", _quoted("{}", "{1}", "{1,2}", "{3,1,1}"), _quoted("{NULL,1}"))
INTERVAL = SqlType(
    "interval",
    "interval",
    _quoted("1 day", "24 hours", "1 month", "30 days", "0"),
    exact=False,
)
JSON = SqlType(
    "json",
    "json",
    _quoted('{"a": 1}', '{"a":1}', "[1]", "[]"),
    ordered=False,
    exact=False,
)
RANGE = SqlType("range", "int4range", _quoted("[1,3)", "[2,5)", "empty", "[0,)"))
POINT = SqlType("point", "point", _quoted("(1,2)", "(0,0.5)"), ordered=False, exact=False)
MOOD = SqlType("mood", "mood", _quoted("sad", "ok", "happy"))

ALL = (INT, BIGINT, SMALL, NUM2, NUM, FLOAT, TEXT, CHAR3, BOOL, DATE, TIMESTAMP, TIMESTAMPTZ)
ALL += (JSONB, INTS, INTERVAL, JSON, RANGE, POINT, MOOD)
BY_NAME = {one.name: one for one in ALL}
# Types that compare with each other.
NUMBERS = ("int", "bigint", "small", "num2", "num", "float")
TEXTS = ("text", "char3")
TIMES = ("date", "timestamp")


def comparable(one: SqlType, other: SqlType) -> bool:
    """Whether ``=`` and ``<`` take both."""
    if not (one.ordered and other.ordered):
        return False
    same = one is other
    return same or any(one.name in g and other.name in g for g in (NUMBERS, TEXTS, TIMES))
