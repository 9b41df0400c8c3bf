"""Self-made partitions: which ones, with which bounds, beside what the user made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.db.connection import PsycopgSession, connect
from trickle_runtime.db.sql import quote_ident
from trickle_runtime.storage import partitioning, table
from trickle_runtime.storage.partition_spec import PartitionSpec

RELATION = '"marts"."t"'


@pytest.fixture
def session(empty_database: str) -> Iterator[PsycopgSession]:
    """Storage needs no catalog."""
    with connect(empty_database) as session:
        yield session


def make(
    session: PsycopgSession, key_type: str, step: str | None, *, key: str = "k"
) -> PartitionSpec:
    columns = (OutputColumn(key, key_type), OutputColumn("v", "integer"))
    text = f"RANGE:{quote_ident(key)}:{step}" if step else quote_ident(key)
    spec = partitioning.parse(text, columns)
    assert spec is not None
    session.execute("CREATE SCHEMA IF NOT EXISTS marts")
    for statement in table.create_statements(RELATION, columns, None, spec):
        session.execute(statement)
    return spec


def add(session: PsycopgSession, spec: PartitionSpec, *values: str) -> list[str]:
    """Bring rows in as a refresh does: make their partitions, then insert."""
    rows = ", ".join(f"({value}::{spec.step_type}, 1)" for value in values)
    session.execute(
        f"CREATE TEMP TABLE IF NOT EXISTS d AS SELECT 1 AS __pgt_w, * FROM {RELATION} LIMIT 0;"
        f"TRUNCATE d; INSERT INTO d SELECT 1, * FROM (VALUES {rows}) AS v"
    )
    created = partitioning.ensure_partitions(session, RELATION, spec, "d")
    columns = ", ".join(quote_ident(name) for name in (*spec.columns, "v"))
    session.execute(f"INSERT INTO {RELATION} ({columns}) SELECT {columns} FROM d")
    return [name.split(".")[1].strip('"') for name in created]


def bounds(session: PsycopgSession) -> dict[str, str]:
    rows = session.execute(
        "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bound FROM pg_inherits i"
        " JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'marts.t'::regclass"
    )
    return {row["relname"]: row["bound"].removeprefix("FOR VALUES ") for row in rows}


def where(session: PsycopgSession) -> dict[str | None, str]:
    """The partition in which each key is."""
    rows = session.execute("SELECT k::text AS k, tableoid::regclass::text AS t FROM marts.t")
    return {row["k"]: row["t"].removeprefix("marts.") for row in rows}


def test_months_of_dates(session: PsycopgSession) -> None:
    spec = make(session, "date", "month")
    assert add(session, spec, "'2026-01-31'", "'2026-02-01'", "'2026-02-28'") == [
        "t_p202602",
        "t_p202601",
    ]
    assert bounds(session) == {
        "t_p202601": "FROM ('2026-01-01') TO ('2026-02-01')",
        "t_p202602": "FROM ('2026-02-01') TO ('2026-03-01')",
    }
    assert add(session, spec, "'2026-01-01'") == []


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "UTC"])
def test_bounds_of_timestamptz_are_utc_in_every_session(
    session: PsycopgSession, zone: str
) -> None:
    session.execute(f"SET TimeZone = '{zone}'; SET DateStyle = 'SQL, DMY'")
    spec = make(session, "timestamp with time zone", "day")
    created = add(session, spec, "'2026-03-01 23:30+00'", "'2026-03-02 00:00+00'")
    assert sorted(created) == ["t_p20260301", "t_p20260302"]
    assert add(session, spec, "'2026-03-02 23:59:59.999+00'") == []
    session.execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'")
    assert bounds(session)["t_p20260301"] == (
        "FROM ('2026-03-01 00:00:00+00') TO ('2026-03-02 00:00:00+00')"
    )


@pytest.mark.parametrize(
    ("step", "name"), [("year", "t_p2026"), ("week", "t_p20260330"), ("day", "t_p20260401")]
)
def test_other_steps_of_time(session: PsycopgSession, step: str, name: str) -> None:
    spec = make(session, "timestamp without time zone", step)
    assert add(session, spec, "'2026-04-01 12:00'") == [name]


def test_numbers_below_zero_and_at_the_ends_of_the_type(session: PsycopgSession) -> None:
    spec = make(session, "integer", "1000")
    created = add(session, spec, "-1", "0", "999", "2147483647", "'-2147483648'")
    assert sorted(created) == ["t_p0", "t_p2147483000", "t_pm1000", "t_pm2147484000"]
    assert bounds(session)["t_pm1000"] == "FROM ('-1000') TO (0)"
    assert bounds(session)["t_p2147483000"] == "FROM (2147483000) TO (MAXVALUE)"
    assert bounds(session)["t_pm2147484000"] == "FROM (MINVALUE) TO ('-2147483000')"
    assert add(session, spec, "'-2147483647'", "-5", "2147483646") == []


def test_decimals(session: PsycopgSession) -> None:
    spec = make(session, "numeric(4,2)", "0.5")
    assert sorted(add(session, spec, "1.25", "1.49", "1.5", "99.9")) == [
        "t_p1",
        "t_p1_5",
        "t_p99_5",
    ]
    assert bounds(session)["t_p99_5"] == "FROM (99.50) TO (MAXVALUE)"


def test_null_and_endless_keys_go_to_a_default_partition_made_for_them(
    session: PsycopgSession,
) -> None:
    spec = make(session, "date", "month")
    assert add(session, spec, "'2026-01-05'") == ["t_p202601"]
    assert add(session, spec, "NULL", "'infinity'", "'10000-01-01'") == ["t_default"]
    assert add(session, spec, "NULL") == []
    assert where(session)[None] == "t_default"
    assert where(session)["infinity"] == "t_default"


def test_nan_is_no_key_of_a_range(session: PsycopgSession) -> None:
    spec = make(session, "numeric", "10")
    assert add(session, spec, "'NaN'", "'Infinity'", "'-Infinity'", "3") == ["t_p0", "t_default"]


def test_rows_waiting_in_the_default_partition_move_out(session: PsycopgSession) -> None:
    spec = make(session, "date", "month")
    add(session, spec, "NULL")
    session.execute("INSERT INTO marts.t_default VALUES ('2026-05-01', 7), ('2026-06-01', 8)")
    assert add(session, spec, "'2026-05-31'") == ["t_p202605"]
    assert where(session) == {
        None: "t_default",
        "2026-05-01": "t_p202605",
        "2026-05-31": "t_p202605",
        "2026-06-01": "t_default",
    }


def test_partitions_of_the_user_are_kept_and_gaps_between_them_filled(
    session: PsycopgSession,
) -> None:
    spec = make(session, "date", "month")
    session.execute(
        "CREATE TABLE marts.mine PARTITION OF marts.t"
        " FOR VALUES FROM ('2026-01-10') TO ('2026-01-20');"
        "CREATE TABLE marts.old PARTITION OF marts.t FOR VALUES FROM (MINVALUE) TO ('2025-12-15')"
    )
    created = add(
        session,
        spec,
        "'2026-01-09'",
        "'2026-01-15'",
        "'2026-01-20'",
        "'2025-12-31'",
        "'2020-01-01'",
    )
    assert len(created) == 3
    found = bounds(session)
    assert found["mine"] == "FROM ('2026-01-10') TO ('2026-01-20')"
    assert set(found.values()) >= {
        "FROM ('2025-12-15') TO ('2026-01-01')",
        "FROM ('2026-01-01') TO ('2026-01-10')",
        "FROM ('2026-01-20') TO ('2026-02-01')",
    }


def test_a_taken_name_gets_a_number(session: PsycopgSession) -> None:
    spec = make(session, "date", "month")
    session.execute("CREATE TABLE marts.t_p202601 (other int)")
    assert add(session, spec, "'2026-01-05'") == ["t_p202601_2"]


def test_odd_names_of_columns(session: PsycopgSession) -> None:
    spec = make(session, "integer", "10", key='U {x} "u" %s')
    assert add(session, spec, "5") == ["t_p0"]


def test_nonsense_keys_do_not_make_partitions_without_end(
    session: PsycopgSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitioning, "MAX_NEW", 2)
    spec = make(session, "integer", "1")
    created = add(session, spec, "1", "2", "2", "3", "3", "4")
    assert created == ["t_p2", "t_p3", "t_default"]
    assert where(session)["1"] == "t_default"


def test_only_inserted_rows_count(session: PsycopgSession) -> None:
    spec = make(session, "integer", "10")
    delta = "(SELECT -1 AS __pgt_w, 5 AS k, 1 AS v)"
    assert partitioning.ensure_partitions(session, RELATION, spec, delta) == []


def test_a_first_fill(session: PsycopgSession) -> None:
    spec = make(session, "integer", "10")
    query = "SELECT g AS k, 1 AS v FROM generate_series(0, 25) g;"
    source = partitioning.fill_source(query.rstrip(";"))
    assert len(partitioning.ensure_partitions(session, RELATION, spec, source)) == 3


def test_storage_without_steps_is_left_alone(session: PsycopgSession) -> None:
    spec = make(session, "integer", None)
    assert partitioning.ensure_partitions(session, RELATION, spec, "does_not_exist") == []
    assert partitioning.ensure_partitions(session, RELATION, None, "does_not_exist") == []


def test_new_partitions_have_the_indexes_and_the_replica_identity(session: PsycopgSession) -> None:
    spec = make(session, "integer", "10")
    session.execute("CREATE INDEX ON marts.t (v)")
    add(session, spec, "5", "NULL")
    rows = session.execute(
        "SELECT c.relname, c.relreplident, count(i.*) AS indexes FROM pg_class c"
        " JOIN pg_index i ON i.indrelid = c.oid WHERE c.relname IN ('t_p0', 't_default')"
        " GROUP BY 1, 2 ORDER BY 1"
    )
    assert [tuple(row.values()) for row in rows] == [("t_default", "f", 2), ("t_p0", "f", 2)]


def test_readers_are_not_made_to_wait(session: PsycopgSession, empty_database: str) -> None:
    """A reader that holds the table keeps an attach out of nothing but the default partition."""
    spec = make(session, "integer", "10")
    session.commit()
    reader = connect(empty_database)
    reader.execute("SELECT * FROM marts.t")
    assert add(session, spec, "5") == ["t_p0"]
    session.commit()
    assert add(session, spec, "NULL") == ["t_default"]
    session.commit()
    reader.execute("SELECT * FROM marts.t")  # now it holds the default partition too
    assert add(session, spec, "15") == []
    assert where(session)["15"] == "t_default"
    assert session.execute("SHOW lock_timeout")[0]["lock_timeout"] == "0"
    session.commit()
    reader.close()
    assert add(session, spec, "16") == ["t_p10"]
    assert where(session)["15"] == "t_p10"
