"""Partitions of a stream table at refresh time: making the ones it needs, watching the default.

Invariant: readers of the stream table are never made to wait: a partition is built beside the
table and attached, which locks the parent only against other attaches. Attaching also locks an
existing default partition; so that one is made only when a row needs it, and an attach that would
have to wait for its readers is given up: the rows go to the default partition, and an alert says
so.
"""

from __future__ import annotations

from dataclasses import dataclass

from trickle_runtime.db.session import Row, Session
from trickle_runtime.db.sql import load_queries, quote_ident, quote_literal, render
from trickle_runtime.errors import DatabaseError
from trickle_runtime.storage import names, partition_step
from trickle_runtime.storage.default_partition import default_growth, find_default
from trickle_runtime.storage.partition_spec import PartitionSpec, parse

__all__ = [
    "PartitionSpec",
    "default_growth",
    "ensure_partitions",
    "fill_source",
    "find_default",
    "free_names",
    "parse",
]

SQL = load_queries("storage/queries.sql")
LOCK_TIMEOUT = "250ms"
LOCK_NOT_AVAILABLE = "55P03"
MAX_NEW = 1000  # in one refresh; what exceeds it (nonsense keys) goes to the default partition


@dataclass(frozen=True)
class _Target:
    """A partitioned stream table while partitions are added to it."""

    session: Session
    relation: str
    spec: PartitionSpec
    key: str
    default: str | None  # qualified name of the default partition


def ensure_partitions(
    session: Session, relation: str, spec: PartitionSpec | None, delta_relation: str
) -> list[str]:
    """Create the partitions that the inserted rows of a delta need; return their names.

    Only for specs that are ``self_creating``; nothing happens for others. Runs in the caller's
    transaction, before the apply step.

    Args:
        delta_relation: a relation, or a query in parentheses, with the table's columns and
            ``__pgt_w``; rows with a positive weight count.
    """
    if spec is None or not spec.self_creating:
        return []
    missing = _missing_ranges(session, relation, spec, delta_relation)
    if not missing:
        return []
    target = _Target(
        session, relation, spec, quote_ident(spec.columns[0]), find_default(session, relation)
    )
    ranges = [one for one in missing if one["lower"] is not None]
    created = _create_ranges(target, ranges[:MAX_NEW])
    left_over = len(ranges) > MAX_NEW or len(ranges) < len(missing)
    if left_over and target.default is None:
        created.append(_create_default(target))
    return created


def fill_source(query: str) -> str:
    """Return a first fill as ``delta_relation``: all rows of the query are inserted."""
    return render("(SELECT 1 AS __pgt_w, q.* FROM ({query}) AS q)", query=query)


def _missing_ranges(session: Session, relation: str, spec: PartitionSpec, delta: str) -> list[Row]:
    expressions = partition_step.expressions(spec, quote_ident(spec.columns[0]))
    statement = render(
        SQL["missing_ranges"],
        relation_literal=quote_literal(relation),
        delta=delta,
        **expressions,
    )
    return session.execute(statement)


def _create_ranges(target: _Target, ranges: list[Row]) -> list[str]:
    wanted = free_names(target.session, target.relation, [str(one["suffix"]) for one in ranges])
    created: list[str] = []
    for partition, bounds in zip(wanted, ranges, strict=True):
        if not _create_range(target, partition, str(bounds["lower"]), str(bounds["upper"])):
            break
        created.append(partition)
    return created


def free_names(session: Session, relation: str, suffixes: list[str]) -> list[str]:
    """Return a partition name per suffix; one that another relation has gets a number."""
    found = {suffix: names.partition(relation, suffix) for suffix in suffixes}
    attempt = 1
    while taken := _taken(session, list(found.values())):
        attempt += 1
        for suffix, name in found.items():
            if name in taken:
                found[suffix] = names.partition(relation, f"{suffix}_{attempt}")
    return list(found.values())


def _taken(session: Session, wanted: list[str]) -> set[str]:
    return {str(row["name"]) for row in session.execute(SQL["taken_names"], {"names": wanted})}


def _create_range(target: _Target, partition: str, lower: str, upper: str) -> bool:
    places = {
        "relation": target.relation,
        "partition": partition,
        "lower": lower,
        "upper": upper,
    }
    statements = [render(SQL["create_beside"], **places)]
    if target.default is not None:
        statements.append(_move_statement(target, places))
    statements.append(render(SQL["attach_range"], **places))
    return _run_unless_locked(target, statements)


def _move_statement(target: _Target, places: dict[str, str]) -> str:
    """Rows of the range that wait in the default partition would make the attach fail."""
    conditions = [f"{target.key} IS NOT NULL"]
    if places["lower"] != "MINVALUE":
        conditions.append(f"{target.key} >= {places['lower']}")
    if places["upper"] != "MAXVALUE":
        conditions.append(f"{target.key} < {places['upper']}")
    columns = target.session.execute(SQL["column_list"], {"relation": target.relation})
    return render(
        SQL["move_rows"],
        default=str(target.default),
        partition=places["partition"],
        condition=" AND ".join(conditions),
        columns=str(columns[0]["columns"]),
    )


def _run_unless_locked(target: _Target, statements: list[str]) -> bool:
    """Run the statements; without a default partition to fall back on, a lost lock is an error."""
    session = target.session
    before = str(session.execute(SQL["current_lock_timeout"])[0]["value"])
    session.execute("SAVEPOINT pgt_partition")
    try:
        session.execute(SQL["set_lock_timeout"], {"timeout": LOCK_TIMEOUT})
        session.execute(";\n".join(statements))
    except DatabaseError as error:
        session.execute("ROLLBACK TO SAVEPOINT pgt_partition; RELEASE SAVEPOINT pgt_partition")
        if error.sqlstate != LOCK_NOT_AVAILABLE or target.default is None:
            raise
        return False
    session.execute(SQL["set_lock_timeout"], {"timeout": before})
    session.execute("RELEASE SAVEPOINT pgt_partition")
    return True


def _create_default(target: _Target) -> str:
    partition = free_names(target.session, target.relation, ["_default"])[0]
    places = {"relation": target.relation, "partition": partition}
    _run_unless_locked(
        target, [render(SQL["create_beside"], **places), render(SQL["attach_default"], **places)]
    )
    return partition
