"""The oracle: a stream table against its own query, both ways, in one statement (one snapshot).

Rows are compared by the text of each column. That is stricter than ``=`` (1.0 is not 1.00) and
works for types that have no equality.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trickle_runtime.api import Runtime
    from trickle_runtime.db.session import Session
    from trickle_runtime.refresh.result import RefreshResult

# Reasons for which a table is computed anew that do not mean that its delta was wrong.
_GOOD_REASONS = ("truncated", "NaN")
_DEFINITION = """
SELECT s.query, s.pgt_relid::regclass::text AS relation,
       (SELECT count(*) FROM pg_attribute
        WHERE attrelid = s.pgt_relid AND attnum > 0 AND NOT attisdropped) AS columns
FROM {catalog}.pgt_stream_tables s WHERE s.pgt_relid = to_regclass(%(name)s)
"""

_DIFFERENCE = """
WITH actual AS (SELECT {texts} FROM (SELECT * FROM {relation}) AS r({names})),
     expected AS (SELECT {texts} FROM ({query}) AS r({names}))
SELECT * FROM (
    SELECT 'missing' AS problem, * FROM (TABLE expected EXCEPT ALL TABLE actual) m
    UNION ALL
    SELECT 'unexpected', * FROM (TABLE actual EXCEPT ALL TABLE expected) u
) d LIMIT 20
"""


def assert_exact(rt: Runtime, name: str) -> None:
    """Fail unless the stream table ``name`` equals the query that the user wrote, as a bag."""
    definition = _DEFINITION.format(catalog=rt.schemas.catalog)
    rows = rt.session.execute(definition, {"name": name})
    assert rows, f"no stream table {name}"
    found = rows[0]
    different = differences(rt.session, found["relation"], found["query"], found["columns"])
    assert not different, f"{name} differs from its query: {different}"


def assert_unrepaired(result: RefreshResult) -> None:
    """Fail where a refresh did not complete, or only by computing what its delta got wrong."""
    assert result.status == "completed", result
    known = any(words in (result.reason or "") for words in _GOOD_REASONS)
    assert result.action != "REINITIALIZE" or known, result


def differences(
    session: Session, relation: str, query: str, columns: int
) -> list[dict[str, object]]:
    """Rows of ``relation`` and ``query`` that have no partner on the other side, at most 20."""
    names = [f"c{number}" for number in range(columns)]
    rows = session.execute(
        _DIFFERENCE.format(
            relation=relation,
            query=query.strip().rstrip(";") + "\n",  # the newline ends a trailing line comment
            names=", ".join(names),
            texts=", ".join(f'{name}::text COLLATE "C"' for name in names),
        )
    )
    session.commit()
    return rows
