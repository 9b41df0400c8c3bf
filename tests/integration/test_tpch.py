"""TPC-H queries as stream tables at scale factor 0.01, exact after every batch of changes."""

from __future__ import annotations

import pytest

from tests.oracle import assert_unrepaired
from trickle_runtime import tpch
from trickle_runtime.db import sql
from trickle_runtime.tpch import changes, data

CYCLES = 4

# Rows of the change log since `since` must be exactly the new rows less the old ones. Compared by
# text, so that equal but not identical values (1.0 and 1.00) count as different.
DELTA_IS_NEW_MINUS_OLD = """
SELECT row, sum(w) AS weight
FROM (
    SELECT ROW({columns})::text AS row, 1 AS w FROM {table}
    UNION ALL
    SELECT ROW({columns})::text, -1 FROM old_rows
    UNION ALL
    SELECT ROW({columns})::text, -__pgt_w FROM {log} WHERE __pgt_refresh > {since}
) AS r
GROUP BY row
HAVING sum(w) <> 0
"""
BOTH_PARTNERS = (
    changes.Change("retire_customers", 3),
    changes.Change("retire_suppliers", 2),
    changes.Change("retire_parts", 5),
    changes.Change("delete_orders", 20),
    changes.Change("new_orders", 20),
)


@pytest.fixture(scope="module")
def tpch_template(databases, template, tmp_path_factory):
    from trickle_runtime.db.connection import connect

    folder = tmp_path_factory.mktemp("tpch")
    data.generate(0.01, folder)
    name = databases.create(template)
    with connect(databases.server.dsn(name)) as session:
        data.load(session, folder)
    yield name
    databases.drop(name)


@pytest.fixture
def database(databases, tpch_template):
    name = databases.create(tpch_template)
    yield databases.server.dsn(name)
    databases.drop(name)


def create(rt, name):
    return rt.create_stream_table(f"tpch.{name}_stream", tpch.query(name), schedule="1h")


def change(session, batch, seed):
    changes.apply(session, batch, seed=seed)
    session.commit()


def row_of(session, statement, **names):
    (row,) = session.execute(sql.render(statement, **names))
    session.commit()
    return row


@pytest.mark.parametrize("name", tpch.QUERIES)
def test_query_is_differential_and_exact_under_mixed_batches(rt, session, oracle, name):
    create(rt, name)
    oracle(rt, f"tpch.{name}_stream")
    for cycle in range(CYCLES):
        change(session, changes.everything(10 + 10 * cycle), seed=cycle / 10)
        result = rt.refresh(f"tpch.{name}_stream", mode="differential")
        assert result.action == "DIFFERENTIAL"
        assert result.rows_in > 0
        oracle(rt, f"tpch.{name}_stream")


@pytest.mark.once
@pytest.mark.parametrize("name", tpch.QUERIES)
def test_delta_is_new_minus_old(rt, session, name):
    create(rt, name)
    rt.create_stream_table(
        f"tpch.{name}_above", f"SELECT * FROM tpch.{name}_stream", schedule="1h"
    )
    table = row_of(
        session,
        "SELECT s.pgt_id, string_agg(quote_ident(attname), ', ' ORDER BY attnum) AS columns"
        " FROM pgtrickle.pgt_stream_tables AS s JOIN pg_attribute ON attrelid = pgt_relid"
        " WHERE pgt_name = '{name}_stream' AND attnum > 0 AND NOT attisdropped GROUP BY 1",
        name=name,
    )
    log = f"pgtrickle_changes.log_{table['pgt_id']}"
    for cycle in range(CYCLES):
        since = row_of(session, "SELECT coalesce(max(__pgt_refresh), 0) AS n FROM {log}", log=log)[
            "n"
        ]
        session.execute(
            f"DROP TABLE IF EXISTS old_rows;"
            f"CREATE TEMPORARY TABLE old_rows AS SELECT * FROM tpch.{name}_stream"
        )
        session.commit()
        change(session, BOTH_PARTNERS, seed=cycle / 10)
        assert_unrepaired(rt.refresh(f"tpch.{name}_stream", mode="differential"))
        wrong = session.execute(
            sql.render(
                DELTA_IS_NEW_MINUS_OLD,
                columns=table["columns"],
                table=f"tpch.{name}_stream",
                log=log,
                since=str(since),
            )
        )
        session.commit()
        assert wrong == []


@pytest.mark.once
def test_all_queries_refreshed_together_are_exact(rt, session, oracle):
    for name in tpch.QUERIES:
        create(rt, name)
    for cycle in range(CYCLES):
        change(session, changes.everything(15), seed=cycle / 10)
        change(session, BOTH_PARTNERS, seed=cycle / 10 + 0.05)
        for result in rt.refresh_all():
            assert_unrepaired(result)
        for name in tpch.QUERIES:
            oracle(rt, f"tpch.{name}_stream")


@pytest.mark.once
@pytest.mark.parametrize("name", tpch.QUERIES)
def test_emptied_and_refilled_sources(rt, session, oracle, name):
    create(rt, name)
    session.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM tpch.lineitem")
    session.execute("DELETE FROM tpch.lineitem")
    session.commit()
    assert_unrepaired(rt.refresh(f"tpch.{name}_stream", mode="differential"))
    oracle(rt, f"tpch.{name}_stream")
    session.execute("INSERT INTO tpch.lineitem SELECT * FROM kept")
    session.commit()
    assert_unrepaired(rt.refresh(f"tpch.{name}_stream", mode="differential"))
    oracle(rt, f"tpch.{name}_stream")
