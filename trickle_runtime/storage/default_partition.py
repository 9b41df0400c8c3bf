"""The default partition: where it is, and the alert when a refresh puts rows into it.

Invariant: watching it costs nothing while it does not grow, and the alert carries statements that
can be run as they are.
"""

from __future__ import annotations

import json

from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.db.sql import load_queries, quote_ident, quote_literal, render
from trickle_runtime.storage import names
from trickle_runtime.storage.partition_spec import (
    NUMBER_TYPES,
    TIME_TYPES,
    PartitionSpec,
    type_name,
)

SQL = load_queries("storage/queries.sql")


def find_default(session: Session, relation: str) -> str | None:
    """Return the qualified name of the default partition, whoever made it."""
    found = session.execute(SQL["find_default"], {"relation": relation})
    return str(found[0]["relation"]) if found else None


def default_growth(
    session: Session, schemas: Schemas, pgt_id: int, relation: str, spec: PartitionSpec | None
) -> bool:
    """Send ``default_partition_growth`` if this transaction has put rows there; return whether.

    Call it after the apply step, in the same transaction. At most one alert per hour and table.
    A self-creating table keeps NULL keys there, which is no news.
    """
    default = None if spec is None or spec.method == "HASH" else find_default(session, relation)
    if spec is None or default is None:
        return False
    added = int(session.execute(SQL["rows_added"], {"relation": default})[0]["rows"])
    if added <= 0:
        return False
    example = example_ddl(session, relation, spec, default)
    if example is None and spec.self_creating:
        return False
    facts = {"partition": default, "rows": added, "example_ddl": example}
    values = {"pgt_id": pgt_id, "facts": json.dumps(facts)}
    raise_alert = load_queries("storage/queries.sql", schemas)["raise_alert"]
    return bool(session.execute(raise_alert, values)[0]["sent"])


def example_ddl(session: Session, relation: str, spec: PartitionSpec, default: str) -> str | None:
    """Return statements that make a partition for some row of the default; None where all is NULL.

    A partition can't be added while the default holds its rows, so they are moved.
    """
    key = quote_ident(spec.columns[0])
    sample = render(
        SQL["sample_key"],
        key=key,
        default=default,
        default_literal=quote_literal(default),
        key_literal=quote_literal(spec.columns[0]),
    )
    found = session.execute(sample)
    if not found:
        return None
    value, kind = str(found[0]["value"]), type_name(str(found[0]["type"]))
    suffix, condition, bounds = _slice(session, spec, key, value, kind)
    return render(
        SQL["example_ddl"],
        partition=names.partition(relation, suffix),
        relation=relation,
        default=default,
        condition=condition,
        bounds=bounds,
    )


def _slice(
    session: Session, spec: PartitionSpec, key: str, value: str, kind: str
) -> tuple[str, str, str]:
    """Return name suffix, condition on the rows and bounds of a partition that takes ``value``."""
    literal = quote_literal(value)
    if spec.method == "LIST":
        return _suffix(value), f"{key} = {literal}", f"IN ({literal})"
    lower, upper = _range(session, value, kind)
    rest = ", MINVALUE" * (len(spec.columns) - 1)
    low = quote_literal(lower)
    if upper is None:
        return _suffix(lower), f"{key} >= {low}", f"FROM ({low}{rest}) TO (MAXVALUE{rest})"
    high = quote_literal(upper)
    condition = f"{key} >= {low} AND {key} < {high}"
    return _suffix(lower), condition, f"FROM ({low}{rest}) TO ({high}{rest})"


def _range(session: Session, value: str, kind: str) -> tuple[str, str | None]:
    """Return a month or a power of ten around the value; open above for other types."""
    text = {
        **dict.fromkeys(TIME_TYPES, "sample_month"),
        **dict.fromkeys(NUMBER_TYPES, "sample_decade"),
    }.get(kind)
    if text is None:
        return value, None
    found = session.execute(render(SQL[text], value=quote_literal(value)))
    return (str(found[0]["lower"]), str(found[0]["upper"])) if found else (value, None)


def _suffix(value: str) -> str:
    return "_" + "".join(char if char.isalnum() else "_" for char in value[:20])
