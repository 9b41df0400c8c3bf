"""TPC-H for the demo, the bench and the tests: tables, data, queries, refresh functions.

Invariant: the query texts live here and nowhere else. They are the standard's, with the validation
parameters, over tables in schema ``tpch``, without an ORDER BY that no LIMIT needs (a table has no
order) and without the LIMIT of queries 3 and 10.
"""

from __future__ import annotations

from trickle_runtime.db import sql

INCREMENTAL = ("q01", "q03", "q05", "q06", "q07", "q08", "q09", "q10", "q12", "q14", "q19")

FURTHER = ("q02", "q04", "q11", "q13", "q15", "q16", "q17", "q18", "q20", "q21", "q22")
EVERY = tuple(sorted((*INCREMENTAL, *FURTHER)))


def query(name: str) -> str:
    """Return the text of a query, for example ``q01``."""
    return sql.load_text(f"tpch/queries/{name}.sql").strip()
