"""Reads relations, functions and column types of a query from PostgreSQL's catalogs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trickle_runtime.analysis import typefacts
from trickle_runtime.analysis.printed import readable
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.schema import (
    Described,
    Functions,
    SourceColumn,
    SourceRelation,
)
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Row, Session
from trickle_runtime.db.sql import load_queries, render
from trickle_runtime.errors import DatabaseError

_PROBE = "CREATE TEMPORARY VIEW {view} AS {query}"
_WHOLE_ROW = re.compile(r"\.\*")
_KINDS = {"r": "table", "p": "partitioned", "v": "view", "m": "matview", "f": "foreign"}


class CatalogReader:
    """Reads for one analysis; its session stands in a savepoint."""

    def __init__(self, session: Session, schemas: Schemas) -> None:
        self.session = session
        self.queries = load_queries("analysis/queries.sql", schemas)
        self.hashing = typefacts.Hashing(session)
        self._views = 0

    def view(self, query: str) -> str:
        """Create a temporary view of a query and return its name."""
        self._views += 1
        name = f"pg_temp.trickle_{self._views}"
        # The newline ends a trailing line comment of the user's.
        self.session.execute(f"CREATE TEMPORARY VIEW trickle_{self._views} AS {query}\n")
        return name

    def definition(self, view: str) -> str:
        """The canonical text of a view, without its semicolon."""
        rows = self.session.execute(self.queries["view_definition"], {"view": view})
        return readable(str(rows[0]["definition"]).strip().rstrip(";"))

    def columns(self, relation: str) -> list[Row]:
        """The columns of a relation with the facts on their types."""
        return self.session.execute(self.queries["view_columns"], {"relation": relation})

    def describe(self, query: str) -> Sequence[Described]:
        """Types of a query's columns (the compiler's ``Describer``)."""
        return [
            Described(
                row["name"],
                row["type"],
                row["bare"],
                row["collation"],
                self.hashing.has(row),
                typefacts.exact(row),
                typefacts.bounded(row),
            )
            for row in self.columns(self._described(query))
        ]

    def tables(self, query: str) -> Mapping[int, frozenset[int]]:
        """Tables that a query reads, below views as well (the compiler's ``Describer``)."""
        found: dict[int, frozenset[int]] = {}
        self._add_tables(self._described(query), query, found)
        return found

    def _add_tables(self, view: str, text: str, found: dict[int, frozenset[int]]) -> None:
        rows = self.session.execute(self.queries["read_relations"], {"view": view})
        used = {int(row["relid"]): frozenset(n for n in row["columns"] if n > 0) for row in rows}
        loaded = self._load(set(used))
        for relid, relation in loaded.items():
            if relation.kind == "view":
                self._add_tables(str(relid), relation.definition or "", found)
                continue
            # PostgreSQL notes no columns for a row that is used as one value.
            every = frozenset(column.attnum for column in relation.columns)
            attnums = every if _WHOLE_ROW.search(text) else used[relid]
            found[relid] = found.get(relid, frozenset()) | attnums

    def _described(self, query: str) -> str:
        """A view of a query that the compiler has made; as NotIncremental what it gets wrong."""
        self._views += 1
        names = {"view": f"trickle_{self._views}", "query": query}
        self.session.execute("SAVEPOINT trickle_describe")
        try:
            self.session.execute(render(_PROBE, **names))
        except DatabaseError as error:
            self.session.execute("ROLLBACK TO SAVEPOINT trickle_describe")
            raise NotIncremental("UNSUPPORTED", error.message) from error
        return f"pg_temp.{names['view']}"

    def relations(self, view: str) -> dict[int, SourceRelation]:
        """Every relation that a view reads, directly or through other views."""
        found: dict[int, SourceRelation] = {}
        pending = self._read_by(view)
        while pending:
            loaded = self._load(pending - found.keys())
            found |= loaded
            below: set[int] = set()
            for relation in loaded.values():
                if relation.kind == "view":
                    below |= self._read_by(str(relation.relid))
            pending = below - found.keys()
        return found

    def read_through(self, relid: int) -> frozenset[int]:
        """Every relation that a view reads, directly or through other views: relids."""
        return frozenset(self.relations(str(relid)))

    def functions(self, names: Iterable[str]) -> Functions:
        """Facts on functions."""
        rows = self.session.execute(self.queries["functions"], {"names": sorted(set(names))})

        def those(flag: str) -> frozenset[str]:
            return frozenset(str(row["name"]) for row in rows if row[flag])

        return Functions(
            those("is_aggregate"),
            those("is_window"),
            those("is_set"),
            those("is_volatile"),
            those("is_stable"),
        )

    def user_functions(self, view: str) -> dict[int, str]:
        """oid and xmin of the user-defined functions that a view calls."""
        rows = self.session.execute(self.queries["read_functions"], {"view": view})
        return {int(row["oid"]): str(row["xmin"]) for row in rows}

    def _read_by(self, view: str) -> set[int]:
        rows = self.session.execute(self.queries["read_relations"], {"view": view})
        return {int(row["relid"]) for row in rows}

    def _load(self, relids: set[int]) -> dict[int, SourceRelation]:
        if not relids:
            return {}
        bound = {"relids": sorted(relids)}
        columns: dict[int, list[Row]] = {}
        for row in self.session.execute(self.queries["relation_columns"], bound):
            columns.setdefault(int(row["relid"]), []).append(row)
        streams = self._stream_tables(bound)
        loaded: dict[int, SourceRelation] = {}
        for row in self.session.execute(self.queries["relations"], bound):
            relid = int(row["relid"])
            stream = streams.get(relid)
            relation = self._relation(row, columns.get(relid, []), stream)
            loaded[relid] = relation if stream is None else _inferred(relation, stream["plan"])
        return loaded

    def _stream_tables(self, bound: dict[str, list[int]]) -> dict[int, Row]:
        if not self.session.execute(self.queries["has_catalog"])[0]["present"]:
            return {}
        rows = self.session.execute(self.queries["stream_tables"], bound)
        return {int(row["relid"]): row for row in rows}

    def _relation(self, row: Row, columns: list[Row], stream: Row | None) -> SourceRelation:
        names = {int(c["attnum"]): str(c["name"]) for c in columns}
        not_null = {int(c["attnum"]) for c in columns if c["not_null"]}
        keys: list[tuple[str, ...]] = []
        indexes: list[tuple[str, ...]] = []
        for unique, attnums in row["indexes"]:
            leading = _named(attnums or [], names)
            indexes.append(leading)
            if unique and not_null.issuperset(attnums):
                keys.append(leading)
        kind = "stream_table" if stream is not None else _KINDS.get(row["relkind"], "system")
        return SourceRelation(
            int(row["relid"]),
            row["schema"],
            row["name"],
            "system" if row["is_system"] else kind,
            tuple(self._column(column) for column in columns),
            tuple(sorted(keys, key=len)),
            tuple(indexes),
            readable((row["definition"] or "").strip().rstrip(";")) or None,
            None if stream is None else int(stream["pgt_id"]),
            bool(row["readable"]),
        )

    def _column(self, row: Row) -> SourceColumn:
        return SourceColumn(
            int(row["attnum"]),
            row["name"],
            row["type"],
            bool(row["not_null"]),
            self.hashing.has(row),
            typefacts.exact(row),
            typefacts.scales(row),
            row["bare"],
            row["collation"],
            typefacts.bounded(row),
            bool(row["of_domain"]),
        )


def _inferred(relation: SourceRelation, plan: Mapping[str, Any]) -> SourceRelation:
    """What is known of a stream table's content beyond its declarations: from its own plan."""
    facts = {column["name"]: column for column in plan.get("columns", [])}
    columns = tuple(_informed(column, facts.get(column.name)) for column in relation.columns)
    keys = relation.keys
    key = plan.get("key")
    if key is not None and all(facts[name]["not_null"] for name in key):
        keys = tuple(dict.fromkeys((tuple(key), *keys)))
    return replace(relation, columns=columns, keys=keys)


def _informed(column: SourceColumn, facts: Mapping[str, Any] | None) -> SourceColumn:
    if facts is None:
        return column
    known = facts.get("scales")
    scales = column.scales if known is None else tuple(known)
    return replace(column, not_null=column.not_null or facts["not_null"], scales=scales)


def _named(attnums: list[int], names: dict[int, str]) -> tuple[str, ...]:
    """Leading plain columns of an index; an expression ends them."""
    leading: list[str] = []
    for attnum in attnums:
        if attnum not in names:
            break
        leading.append(names[attnum])
    return tuple(leading)
