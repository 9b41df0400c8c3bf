"""Whether a query has one answer: the tables' rows in other places, other plans, the same bag.

A mismatch of a query that PostgreSQL may answer in several ways says nothing. Invariant: leaves
the database as it was.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from trickle_runtime.errors import DatabaseError

if TYPE_CHECKING:
    from trickle_runtime.db.session import Session

_TABLES = """
SELECT c.oid::regclass::text AS name,
       string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS columns
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
GROUP BY c.oid
"""
_MOVE = """
CREATE TEMPORARY TABLE moved ON COMMIT DROP AS SELECT {columns} FROM {name};
DELETE FROM {name};
INSERT INTO {name} ({columns}) SELECT {columns} FROM moved ORDER BY md5(moved::text || '{salt}');
DROP TABLE moved
"""
_PLANS = (
    "SET LOCAL enable_hashagg = off; SET LOCAL enable_hashjoin = off",
    "SET LOCAL enable_sort = off; SET LOCAL enable_mergejoin = off",
    "SET LOCAL enable_nestloop = off; SET LOCAL enable_indexscan = off",
)


def determined(session: Session, query: str) -> bool:
    """Whether the rows of the query do not depend on places and plans."""
    session.rollback()
    try:
        expected = _rows(session, query)
        for number, plan in enumerate(_PLANS):
            session.execute(f"SET LOCAL session_replication_role = replica; {plan}")
            for table in session.execute(_TABLES):
                session.execute(_MOVE.format(salt=number, **table))
            if _rows(session, query) != expected:
                return False
            session.rollback()
    except DatabaseError:
        return True  # rows that another session holds, say; benefit of the doubt
    finally:
        session.rollback()
    return True


def _rows(session: Session, query: str) -> Counter[str]:
    names = session.execute(f"SELECT q::text AS row FROM ({query}\n) AS q")
    return Counter(str(row["row"]) for row in names)
