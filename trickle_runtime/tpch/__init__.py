"""TPC-H for the demo, the bench and the tests: tables, data, queries, refresh functions.

Invariant: the query texts live here and nowhere else. They are the standard's, with the validation
parameters, over tables in schema ``tpch``, without ORDER BY (a table has no order) and without the
LIMIT of queries 3 and 10.
"""

from __future__ import annotations

from trickle_runtime.db import sql

INCREMENTAL = ("q01", "q03", "q05", "q06", "q07", "q08", "q09", "q10", "q12", "q14", "q19")


def query(name: str) -> str:
    """Return the text of a query, for example ``q01``."""
    return sql.load_text(f"tpch/queries/{name}.sql").strip()
