"""The alert when a refresh puts rows into the default partition."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psycopg
import pytest

from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import PsycopgSession
from trickle_runtime.storage import partitioning, table

RELATION = '"marts"."t"'


@pytest.fixture
def alerts(database: str, session: PsycopgSession) -> Iterator[psycopg.Connection]:
    listener = psycopg.connect(database, autocommit=True)
    listener.execute("LISTEN pgtrickle_alert")
    session.execute("CREATE SCHEMA marts")
    yield listener
    listener.close()


def received(listener: psycopg.Connection) -> list[dict[str, object]]:
    return [json.loads(one.payload) for one in listener.notifies(timeout=0.2)]


def make(
    session: PsycopgSession, columns: tuple[OutputColumn, ...], partition_by: str
) -> partitioning.PartitionSpec:
    spec = partitioning.parse(partition_by, columns)
    assert spec is not None
    for statement in table.create_statements(RELATION, columns, None, spec):
        session.execute(statement)
    session.execute(
        "INSERT INTO pgtrickle.pgt_stream_tables"
        " (pgt_relid, pgt_schema, pgt_name, query, canonical_query)"
        " VALUES ('marts.t'::regclass, 'marts', 't', '', '')"
    )
    session.commit()
    return spec


@pytest.mark.parametrize(
    ("key_type", "partition_by", "value", "bounds"),
    [
        ("date", "k", "2026-03-17", "FROM ('2026-03-01') TO ('2026-04-01')"),
        ("timestamp with time zone", "k", "2026-03-17", "FROM ('2026-03-01') TO ('2026-04-01')"),
        ("date", "k,n", "2026-03-17", "FROM ('2026-03-01', MINVALUE) TO ('2026-04-01', MINVALUE)"),
        ("integer", "k", "12345", "FROM ('10000') TO ('20000')"),
        ("integer", "k", "-7", "FROM ('-10') TO ('0')"),
        ("numeric", "k", "0.5", "FROM ('0') TO ('10')"),
        ("text", "k", "it's", "FROM ('it''s') TO (MAXVALUE)"),
        ("text", "LIST:k", "it's", "IN ('it''s')"),
    ],
)
def test_the_example_can_be_run_as_it_is(
    session: PsycopgSession,
    alerts: psycopg.Connection,
    key_type: str,
    partition_by: str,
    value: str,
    bounds: str,
) -> None:
    columns = (OutputColumn("k", key_type), OutputColumn("n", "integer"))
    spec = make(session, columns, partition_by)
    session.execute("INSERT INTO marts.t VALUES (%(v)s, 1), (NULL, 2)", {"v": value})
    assert partitioning.default_growth(session, Schemas(), 1, RELATION, spec)
    session.commit()
    (alert,) = received(alerts)
    assert alert["event"] == "default_partition_growth"
    assert alert["stream_table"] == "marts.t"
    assert (alert["partition"], alert["rows"]) == ("marts.t_default", 2)
    assert bounds in str(alert["example_ddl"])
    session.execute("COMMIT")
    alerts.execute(str(alert["example_ddl"]))
    rows = session.execute("SELECT k, tableoid::regclass::text AS t FROM marts.t ORDER BY n")
    assert rows[0]["t"] != "marts.t_default"
    assert rows[1] == {"k": None, "t": "marts.t_default"}


def test_no_alert_without_growth_and_at_most_one_per_hour(
    session: PsycopgSession, alerts: psycopg.Connection
) -> None:
    spec = make(session, (OutputColumn("k", "integer"),), "k")
    alerts.execute("INSERT INTO marts.t VALUES (1)")
    assert not partitioning.default_growth(session, Schemas(), 1, RELATION, spec)
    session.execute("UPDATE marts.t SET k = 2")
    assert not partitioning.default_growth(session, Schemas(), 1, RELATION, spec)
    session.execute("INSERT INTO marts.t VALUES (3)")
    assert partitioning.default_growth(session, Schemas(), 1, RELATION, spec)
    session.commit()
    session.execute("INSERT INTO marts.t VALUES (4)")
    assert not partitioning.default_growth(session, Schemas(), 1, RELATION, spec)
    session.execute("UPDATE pgtrickle.pgt_alerts SET at = at - interval '1 hour'")
    assert partitioning.default_growth(session, Schemas(), 1, RELATION, spec)


def test_rows_that_need_no_partition_of_their_own(
    session: PsycopgSession, alerts: psycopg.Connection
) -> None:
    spec = make(session, (OutputColumn("k", "date"),), "RANGE:k:month")
    nulls = "(SELECT 1 AS __pgt_w, NULL::date AS k)"
    partitioning.ensure_partitions(session, RELATION, spec, nulls)
    session.execute("INSERT INTO marts.t VALUES (NULL)")
    assert not partitioning.default_growth(session, Schemas(), 1, RELATION, spec)
    hashed = partitioning.parse("HASH:k", (OutputColumn("k", "date"),))
    assert not partitioning.default_growth(session, Schemas(), 1, RELATION, hashed)
    assert not partitioning.default_growth(session, Schemas(), 1, RELATION, None)
