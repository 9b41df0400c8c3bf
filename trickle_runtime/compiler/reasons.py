"""Why a query, or a part of it, is not maintained incrementally.

Invariant: every code that a user can see is in ``HINTS``; each has a hint that names a rewrite.
"""

from __future__ import annotations

from trickle_runtime.compiler.result import Reason

HINTS: dict[str, str] = {
    "PARSE_FIDELITY": "The text could not be read back exactly; report the query, please.",
    "SUBQUERY": "Make the test a condition of its own in WHERE, or write it as a join.",
    "LIMIT": "Order by columns that are shown, or take the first rows in a view above.",
    "GROUPING_SETS": "Use fewer sets, and group the DISTINCT rows in a subquery.",
    "RECURSIVE": "Recursive queries are recomputed.",
    "SET_RETURNING": "Expand the set in a view above the stream table.",
    "TABLE_SAMPLE": "A sample is another one each time; drop TABLESAMPLE.",
    "VOLATILE_FUNCTION": "The value changes with every call; compute it in a view above.",
    "STABLE_FUNCTION": "The value depends on time or session; compute it in a view above.",
    "USER_FUNCTION": "Declare the function IMMUTABLE if it is.",
    "SYSTEM_CATALOG": "System catalogs can't carry triggers.",
    "POLLED_SOURCE": "The source can't carry triggers; it is read again at each refresh.",
    "HIDDEN_SOURCE": "Grant SELECT on what the view reads; it is read again at each refresh.",
    "SYSTEM_COLUMN": "Use columns of the table; ctid and xmin change without a change of the row.",
    "ONLY": "Read the table with its children, or move its own rows to one of them.",
    "WHOLE_ROW": "Name the columns instead of using the whole row.",
    "KEY_TYPE": "Cast the group key to a type with hashing, such as text.",
    "TOO_DEEP": "Split the query into views, or into stream tables of their own.",
    "ROW_LOCK": "Drop FOR UPDATE or FOR SHARE.",
    "INTERNAL": "An error of the compiler, not yours; report the query, please.",
    "UNSUPPORTED": "Simplify the expression, or report the query, please.",
}


class NotIncremental(Exception):
    """A construct that no rule covers.

    ``whole``: recomputing a part of the query would not help, only FULL does.
    """

    def __init__(self, code: str, detail: str, *, whole: bool = False) -> None:
        super().__init__(f"{code}: {detail}")
        self.reason = Reason(code, detail, HINTS[code], "WARNING")
        self.whole = whole
