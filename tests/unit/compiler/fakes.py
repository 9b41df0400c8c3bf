"""A schema and a describer without a database: what the compiler needs, no more."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from trickle_runtime.compiler.schema import (
    Described,
    Functions,
    Schema,
    SourceColumn,
    SourceRelation,
)

AGGREGATES = frozenset({"count", "sum", "avg", "min", "max", "string_agg", "bool_and"})


class IntegersDescriber:
    """Says that every expression is an integer; takes the names from the rendered query."""

    def describe(self, query: str) -> Sequence[Described]:
        first = query.split(" FROM ")[0]
        names = re.findall(r'AS "([^"]+)"', first)
        return [Described(name, "integer", "int4", None, True, True) for name in names]

    def tables(self, query: str) -> Mapping[int, frozenset[int]]:
        return {}


def relation(relid: int, name: str, *columns: str, key: str | None = None) -> SourceRelation:
    """A table of integer columns; ``key`` is NOT NULL and unique."""
    made = tuple(
        SourceColumn(i, column, "integer", column == key, True, True, (0,))
        for i, column in enumerate(columns, 1)
    )
    keys = ((key,),) if key else ()
    return SourceRelation(relid, "public", name, "table", made, keys, keys)


def schema(*relations: SourceRelation, volatile: frozenset[str] = frozenset()) -> Schema:
    """The schema of these tables."""
    functions = Functions(aggregates=AGGREGATES, volatile=volatile)
    return Schema({(r.schema, r.name): r for r in relations}, functions)
