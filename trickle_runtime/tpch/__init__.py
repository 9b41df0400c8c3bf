"""TPC-H for the demo, the bench and the tests: tables, data, queries, refresh functions.

Invariant: the query texts live here and nowhere else. They are the standard's, with the validation
parameters, over tables in schema ``tpch``, without an ORDER BY that no LIMIT needs (a table has no
order) and without the LIMIT of queries 3 and 10.
"""

from __future__ import annotations

from trickle_runtime.db import sql

QUERIES = tuple(f"q{number:02}" for number in range(1, 23))


def query(name: str) -> str:
    """Return the text of a query, for example ``q01``."""
    return sql.load_text(f"tpch/queries/{name}.sql").strip()
