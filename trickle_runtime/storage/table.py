"""The statements that make the table behind a stream table.

Invariant: a stream table has exactly the columns of its query, none of them declared NOT NULL here
(its author's constraints come later); identity lives in indexes only. All of it is plain text that
a caller executes in order.
"""

from __future__ import annotations

from collections.abc import Sequence

from trickle_runtime.compiler.identity import hash_expression, needs_hash
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.db.sql import load_queries, quote_ident, render
from trickle_runtime.storage import names
from trickle_runtime.storage.partition_spec import PartitionSpec

SQL = load_queries("storage/queries.sql")
MAX_INDEX_COLUMNS = 32


def create_statements(
    relation: str,
    columns: Sequence[OutputColumn],
    key: Sequence[str] | None,
    spec: PartitionSpec | None = None,
) -> list[str]:
    """Return all statements: the table, its first partitions, its identity index."""
    return [
        *table_statements(relation, columns, spec),
        *identity_statements(relation, columns, key, spec),
    ]


def table_statements(
    relation: str, columns: Sequence[OutputColumn], spec: PartitionSpec | None = None
) -> list[str]:
    """Return the statements that create the empty table with its first partitions.

    REPLICA IDENTITY FULL always: our unique indexes are over columns that allow NULL, which
    PostgreSQL takes for no identity, and a ``FOR ALL TABLES`` publication would then make the
    deletes and updates of a refresh fail. It costs nothing below ``wal_level = logical``.
    """
    create = render(
        SQL["create_table"],
        relation=relation,
        columns=", ".join(_column_definition(column) for column in columns),
        partition_clause=partition_clause(spec),
    )
    return [create, replica_identity(relation), *first_partitions(relation, spec)]


def replica_identity(relation: str) -> str:
    """Return the statement for one relation; partitions don't inherit it from their parent."""
    return render(SQL["replica_identity"], relation=relation)


def partition_clause(spec: PartitionSpec | None) -> str:
    """Return the end of CREATE TABLE; empty for a plain table."""
    if spec is None:
        return ""
    columns = ", ".join(quote_ident(column) for column in spec.columns)
    return f"PARTITION BY {spec.method} ({columns})"


def first_partitions(relation: str, spec: PartitionSpec | None) -> list[str]:
    """Return the statements for the partitions that are made together with the table."""
    if spec is None:
        return []
    if spec.modulus is not None:
        return _hash_partitions(relation, spec.modulus)
    if not spec.has_default:
        return []
    default = names.partition(relation, "_default")
    create = render(SQL["default_partition"], partition=default, relation=relation)
    return [create, replica_identity(default)]


def identity_statements(
    relation: str,
    columns: Sequence[OutputColumn],
    key: Sequence[str] | None,
    spec: PartitionSpec | None = None,
    *,
    name: str | None = None,
) -> list[str]:
    """Return the statements for the indexes by which a refresh finds rows; ``name`` to compare.

    An empty key (a table of at most one row) needs none, nor do rows that can't be hashed.
    """
    name = name or names.new_identity()
    if key is None:
        return _hash_index(name, relation, columns)
    if not key:
        return []
    by_name = {column.name: column for column in columns}
    keyed = [by_name[column] for column in key]
    statements: list[str] = []
    if all(column.bounded for column in keyed):
        statements.append(_key_index(name, relation, keyed, spec))
    if needs_hash(keyed):
        statements += _hash_index(f"{name}_h", relation, keyed)
    return statements


def _column_definition(column: OutputColumn) -> str:
    collation = f" COLLATE {column.collation}" if column.collation else ""
    return f"{quote_ident(column.name)} {column.type}{collation}"


def _hash_partitions(relation: str, modulus: int) -> list[str]:
    statements: list[str] = []
    for remainder in range(modulus):
        partition = names.partition(relation, f"_p{remainder}")
        statements += [
            render(
                SQL["hash_partition"],
                partition=partition,
                relation=relation,
                modulus=str(modulus),
                remainder=str(remainder),
            ),
            replica_identity(partition),
        ]
    return statements


def _key_index(
    name: str,
    relation: str,
    key: Sequence[OutputColumn],
    spec: PartitionSpec | None,
) -> str:
    # PostgreSQL enforces uniqueness per partition only, and over at most 32 columns.
    names = [column.name for column in key]
    unique = len(names) <= MAX_INDEX_COLUMNS and (spec is None or set(spec.columns) <= set(names))
    not_null = all(column.not_null for column in key)
    return render(
        SQL["unique_index" if unique else "plain_index"],
        index=quote_ident(name),
        relation=relation,
        keys=", ".join(quote_ident(column) for column in names[:MAX_INDEX_COLUMNS]),
        nulls="" if not_null else "NULLS NOT DISTINCT",
    ).strip()


def _hash_index(name: str, relation: str, columns: Sequence[OutputColumn]) -> list[str]:
    expression = hash_expression(columns)
    if expression is None:
        return []
    keys = f"({expression})"
    return [render(SQL["plain_index"], index=quote_ident(name), relation=relation, keys=keys)]
