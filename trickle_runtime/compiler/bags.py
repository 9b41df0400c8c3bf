"""Bags of rows with signed weights: netting, and applying to a table that has no key.

Rows are told apart by identity, not by equality (amendments A9, A10): values of types whose equal
values may print differently are grouped together with their text, values without equality by
their text alone, and stored rows are found by a hash, which is a filter only, and
``record_image_eq``.
"""

from __future__ import annotations

from collections.abc import Sequence

from trickle_runtime.compiler.identity import identical, image
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.compiler.template import column, comma, fill, ident

_NET = """MATERIALIZED (SELECT $columns, sum(__pgt_w)::bigint AS __pgt_w FROM ($rows) d
 GROUP BY $by HAVING sum(__pgt_w) <> 0)"""
_DELETE = """DELETE FROM $table AS st WHERE st.ctid = ANY (ARRAY(
 SELECT x.ctid FROM $net o, LATERAL (SELECT s.ctid FROM $table s WHERE $match LIMIT -o.__pgt_w) x
 WHERE o.__pgt_w < 0)) RETURNING 1"""
_DELETE_PARTITIONED = """DELETE FROM $table AS st USING (
 SELECT x.tableoid AS part, x.ctid AS place FROM $net o,
 LATERAL (SELECT s.tableoid, s.ctid FROM $table s WHERE $match LIMIT -o.__pgt_w) x
 WHERE o.__pgt_w < 0) x WHERE st.tableoid = x.part AND st.ctid = x.place RETURNING 1"""
_INSERT = """INSERT INTO $table ($names) SELECT $values FROM $net n,
 generate_series(1, n.__pgt_w) WHERE n.__pgt_w > 0 RETURNING 1"""


def net(columns: Sequence[OutputColumn], rows: str) -> str:
    """The body of a CTE that sums the weights of identical rows and drops what cancels.

    Args:
        columns: of the rows, with the facts on their types.
        rows: a query of these columns and ``__pgt_w``.
    """
    outputs: list[str] = []
    by: list[str] = []
    for item in columns:
        name = ident(item.name)
        if item.equality:
            outputs.append(name)
            by += [name] if item.exact else [name, image(name)]
        else:
            outputs.append(f"({name}::text)::{item.type} AS {name}")
            by.append(f"{name}::text")
    # Of no column at all: rows are identical.
    grouping = comma(by) if by else "()"
    return fill(_NET, columns=comma(outputs or ["1 AS __pgt_none"]), rows=rows, by=grouping)


def delete(
    table: str,
    columns: Sequence[OutputColumn],
    net: str,
    *,
    partitioned: bool = False,
    pruning: str = "",
) -> str:
    """Delete as many identical rows as the negative weights say.

    Args:
        table: qualified, quoted.
        columns: all columns of the table.
        net: name of a netted delta.
        partitioned: a row's place is then its partition and its ctid.
        pruning: further conditions between stored rows ``s`` and changed rows ``o``.
    """
    match = identical(columns, "s", "o")
    template = _DELETE_PARTITIONED if partitioned else _DELETE
    return fill(template, table=table, net=net, match=match + pruning)


def insert(table: str, columns: Sequence[OutputColumn], net: str) -> str:
    """Insert each row as often as its positive weight says."""
    names = comma([ident(item.name) for item in columns])
    values = comma([column("n", item.name) for item in columns])
    return fill(_INSERT, table=table, names=names, values=values, net=net)
