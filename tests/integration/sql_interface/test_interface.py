"""The functions and views for SQL users, on a catalog written by hand: no daemon, no engine."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psycopg
import pytest

from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import PsycopgSession
from trickle_runtime.errors import (
    DatabaseError,
    FuseNotBlown,
    InvalidConfig,
    StreamTableNotFound,
)
from trickle_runtime.refresh import fuse


@pytest.fixture
def listener(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("LISTEN pgtrickle_alert; LISTEN pgtrickle_wake")
        yield connection


def add(session: PsycopgSession, name: str, *reads: str, **columns: object) -> int:
    """A stream table ``public.<name>`` that reads other relations, made where they are missing."""
    for one in (name, *reads):
        session.execute(f"CREATE TABLE IF NOT EXISTS {one} (id int)")
    names = ", ".join(columns)
    rows = session.execute(
        "INSERT INTO pgtrickle.pgt_stream_tables (pgt_relid, pgt_schema, pgt_name, query,"
        f" canonical_query{', ' if names else ''}{names}) VALUES (%(name)s::regclass, 'public',"
        f" %(name)s, '', ''{''.join(f', %({column})s' for column in columns)}) RETURNING pgt_id",
        {"name": name, **columns},
    )
    pgt_id = rows[0]["pgt_id"]
    session.execute(
        "INSERT INTO pgtrickle.pgt_dependencies (pgt_id, source_relid, source_name, source_kind,"
        " source_pgt_id) SELECT %(id)s, r::regclass, 'public.' || r,"
        " CASE WHEN s.pgt_id IS NULL THEN 'table' ELSE 'stream_table' END, s.pgt_id"
        " FROM unnest(%(reads)s::text[]) AS r"
        " LEFT JOIN pgtrickle.pgt_stream_tables s ON s.pgt_relid = r::regclass;"
        "INSERT INTO pgtrickle.pgt_frontiers (pgt_id, snapshot, system_identifier)"
        " VALUES (%(id)s, pg_current_snapshot(), 1)",
        {"id": pgt_id, "reads": list(reads)},
    )
    session.commit()
    return pgt_id


def blow(session: PsycopgSession, name: str, *, held: bool = False) -> None:
    pgt_id = identify(session, name)
    decision = fuse.FuseDecision(fuse.BLOWS, 500, 100, 255.0, 120.0, 45.0, "too much")
    fuse.record(session, Schemas(), {pgt_id: decision}, held=held)
    session.commit()


def identify(session: PsycopgSession, name: str) -> int:
    rows = session.execute("SELECT pgtrickle.stream_table_id(%(n)s) AS id", {"n": name})
    return rows[0]["id"]


def row(session: PsycopgSession, name: str, columns: str) -> tuple[object, ...]:
    found = session.execute(
        f"SELECT {columns} FROM pgtrickle.pgt_stream_tables WHERE pgt_name = '{name}'"
    )
    return tuple(found[0].values())


def history(
    session: PsycopgSession, pgt_id: int, *rows_in: int, action: str = "DIFFERENTIAL"
) -> None:
    session.execute(
        "INSERT INTO pgtrickle.pgt_refresh_history (pgt_id, action, status, rows_in)"
        " SELECT %(id)s, %(action)s, 'completed', r FROM unnest(%(rows)s::bigint[]) AS r",
        {"id": pgt_id, "action": action, "rows": list(rows_in)},
    )


def events(listener: psycopg.Connection) -> list[dict[str, object]]:
    payloads = [one.payload for one in listener.notifies(timeout=0.2) if "{" in one.payload]
    return [json.loads(payload) for payload in payloads]


def test_a_fuse_that_is_switched_on_is_armed_and_off_is_disabled(session: PsycopgSession) -> None:
    add(session, "t", fuse_mode="on")
    assert row(session, "t", "fuse_state") == ("armed",)
    blow(session, "t")
    session.execute("UPDATE pgtrickle.pgt_stream_tables SET fuse_mode = 'auto'")
    assert row(session, "t", "fuse_state, blow_reason") == ("blown", "too much")
    session.execute("UPDATE pgtrickle.pgt_stream_tables SET fuse_mode = 'off'")
    assert row(session, "t", "fuse_state, blown_at, blow_reason") == ("disabled", None, None)


def test_baseline_is_of_the_last_twenty_differential_refreshes(session: PsycopgSession) -> None:
    pgt_id = add(session, "t", fuse_mode="auto", fuse_sensitivity=2.0)
    history(session, pgt_id, *[100_000] * 5, *[75, 165] * 10)
    history(session, pgt_id, 1_000_000, action="FULL")
    (found,) = session.execute(f"SELECT * FROM pgtrickle.fuse_baseline({pgt_id})")
    assert (found["samples"], found["mean"]) == (20, 120.0)
    assert found["stddev"] == pytest.approx(46.17, abs=0.01)
    assert found["threshold"] == pytest.approx(120 + 2 * found["stddev"])


def test_no_threshold_below_five_samples(session: PsycopgSession) -> None:
    pgt_id = add(session, "t", fuse_mode="auto")
    history(session, pgt_id, 1, 1, 1, 1)
    assert session.execute("SELECT threshold FROM pgtrickle.fuse_status()") == [
        {"threshold": None}
    ]
    history(session, pgt_id, 1)
    # A perfectly regular table: the deviation counts as at least sqrt(mean).
    assert session.execute("SELECT threshold FROM pgtrickle.fuse_status()") == [{"threshold": 4.0}]


def test_a_blown_fuse_is_recorded_and_told(
    session: PsycopgSession, listener: psycopg.Connection
) -> None:
    add(session, "t", fuse_mode="on", fuse_ceiling=100)
    blow(session, "t")
    (alert,) = events(listener)
    at = alert.pop("at")
    assert at
    assert alert == {
        "event": "fuse_blown",
        "stream_table": "public.t",
        "pending": 500,
        "threshold": 255.0,
        "ceiling": 100,
        "mean": 120.0,
        "stddev": 45.0,
        "reason": "too much",
    }
    (status,) = session.execute("SELECT * FROM pgtrickle.fuse_status()")
    assert (status["stream_table"], status["fuse_state"]) == ("public.t", "blown")
    assert (status["effective_ceiling"], status["blow_reason"]) == (100, "too much")
    assert status["blown_at"] is not None
    blow(session, "t")
    assert events(listener) == []


def test_default_ceiling(session: PsycopgSession) -> None:
    first = add(session, "t", fuse_mode="on")
    session.execute(
        "UPDATE pgtrickle.pgt_settings SET value = '7' WHERE name = 'fuse_default_ceiling'"
    )
    from trickle_runtime.capture.pending import Pending

    verdicts = fuse.judge(session, Schemas(), {first: {1: Pending(8)}})
    assert verdicts[first].reason == "8 pending changes exceed the ceiling of 7"


@pytest.mark.parametrize(
    ("action", "exempt", "reinit", "diverged"),
    [
        ("apply", True, None, False),
        ("reinitialize", True, "reset_fuse", False),
        ("skip_changes", False, None, True),
    ],
)
def test_reset(
    session: PsycopgSession,
    listener: psycopg.Connection,
    action: str,
    exempt: bool,
    reinit: str | None,
    diverged: bool,
) -> None:
    add(session, "t", fuse_mode="on", fuse_ceiling=100)
    blow(session, "t")
    fuse.reset(session, Schemas(), "t", action)
    session.commit()
    columns = "fuse_state, blown_at, blow_reason, fuse_exempt, reinit_reason, diverged"
    assert row(session, "t", columns) == ("armed", None, None, exempt, reinit, diverged)
    channels = [one.channel for one in listener.notifies(timeout=0.2)]
    assert "pgtrickle_wake" in channels


def test_apply_is_the_default(session: PsycopgSession) -> None:
    add(session, "t", fuse_mode="on")
    blow(session, "t")
    session.execute("SELECT pgtrickle.reset_fuse('t')")
    assert row(session, "t", "fuse_state, fuse_exempt") == ("armed", True)


def test_skip_moves_only_the_frontier_of_the_table(session: PsycopgSession) -> None:
    below = add(session, "below", "source")
    above, other = (add(session, name, "source", "below", fuse_mode="on") for name in ("t", "u"))
    session.execute(f"UPDATE pgtrickle.pgt_frontiers SET refresh_no = 41 WHERE pgt_id = {below}")
    session.commit()
    blow(session, "t")
    before = frontiers(session)
    fuse.reset(session, Schemas(), "t", "skip_changes")
    session.commit()
    after = frontiers(session)
    assert (after[below], after[other]) == (before[below], before[other])
    assert after[above]["upstream"] == {str(below): 41}
    assert after[above]["version"] == before[above]["version"] + 1
    seen = (
        "SELECT pg_visible_in_snapshot(%(old)s::xid8, snapshot) AS seen"
        " FROM pgtrickle.pgt_frontiers"
    )
    old = str(before[above]["snapshot"]).split(":")[1]
    assert session.execute(f"{seen} WHERE pgt_id = {above}", {"old": old}) == [{"seen": True}]
    entries = session.execute("SELECT action, rows_in FROM pgtrickle.refresh_history('t')")
    assert entries == [{"action": "SKIP_CHANGES", "rows_in": 500}]


def frontiers(session: PsycopgSession) -> dict[int, dict[str, object]]:
    rows = session.execute(
        "SELECT pgt_id, snapshot::text AS snapshot, upstream, version FROM pgtrickle.pgt_frontiers"
    )
    return {one["pgt_id"]: one for one in rows}


def test_skip_in_a_transaction_that_writes_loses_none_of_its_changes(
    session: PsycopgSession, database: str
) -> None:
    add(session, "t", "source", fuse_mode="on")
    blow(session, "t")
    with psycopg.connect(database) as other, psycopg.connect(database) as third:
        other.execute("INSERT INTO source VALUES (1)")
        third.execute("INSERT INTO source VALUES (1)")
        session.execute("INSERT INTO source VALUES (1)")
        later = psycopg.connect(database)
        later.execute("INSERT INTO source VALUES (1)")
        later.commit()
        session.execute("SELECT pgtrickle.reset_fuse('t', 'skip_changes')")
        seen = session.execute(
            "SELECT pg_visible_in_snapshot(pg_current_xact_id(), snapshot) AS own,"
            " pg_visible_in_snapshot(%(later)s::xid8, snapshot) AS later,"
            " pg_visible_in_snapshot(%(other)s::xid8, snapshot) AS other"
            " FROM pgtrickle.pgt_frontiers",
            {
                "other": str(xid(other)),
                "later": str(int(session_xid(session)) + 1),
            },
        )
        later.close()
    assert seen == [{"own": False, "later": True, "other": False}]


def xid(connection: psycopg.Connection) -> object:
    found = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
    assert found is not None
    return found[0]


def session_xid(session: PsycopgSession) -> str:
    return session.execute("SELECT pg_current_xact_id()::text AS xid")[0]["xid"]


def test_held_changes_are_skipped_by_the_next_pass(session: PsycopgSession) -> None:
    from trickle_runtime.capture.pending import Pending

    pgt_id = add(session, "t", "source", fuse_mode="on", fuse_ceiling=1)
    blow(session, "t", held=True)
    fuse.reset(session, Schemas(), "t", "skip_changes")
    pending = {pgt_id: {1: Pending(50)}}
    assert fuse.judge(session, Schemas(), pending)[pgt_id].verdict == fuse.SKIPS
    fuse.skipped(session, Schemas(), pgt_id)
    assert fuse.judge(session, Schemas(), pending)[pgt_id].verdict == fuse.BLOWS


def test_errors_of_reset(session: PsycopgSession) -> None:
    add(session, "t", fuse_mode="on")
    with pytest.raises(StreamTableNotFound):
        fuse.reset(session, Schemas(), "nope")
    with pytest.raises(InvalidConfig, match="'forget'"):
        fuse.reset(session, Schemas(), "t", "forget")
    with pytest.raises(FuseNotBlown, match=r"public\.t is not blown"):
        fuse.reset(session, Schemas(), ("public", "t"))


@pytest.mark.parametrize(
    ("call", "sqlstate"),
    [
        ("reset_fuse('nope')", "42P01"),
        ("reset_fuse(NULL)", "42P01"),
        ("reset_fuse('t', 'forget')", "22023"),
        ("reset_fuse('t', NULL)", "22023"),
        ("reset_fuse('t')", "55000"),
        ("pause_stream_table('nope')", "42P01"),
        ("pause_stream_table('t')", "55000"),  # it is being created
        ("refresh_history('nope')", "42P01"),
        ("diagnose_errors('source')", "42P01"),
        ("list_auxiliary_columns('nope')", "42P01"),
    ],
)
def test_errors_in_sql(session: PsycopgSession, call: str, sqlstate: str) -> None:
    add(session, "t", "source", fuse_mode="on")
    with pytest.raises(DatabaseError) as error:
        session.execute(f"SELECT * FROM pgtrickle.{call}")
    assert error.value.sqlstate == sqlstate


def test_pause_and_resume(session: PsycopgSession, listener: psycopg.Connection) -> None:
    add(session, "t", status="suspended", consecutive_errors=3)
    session.execute("SELECT pgtrickle.pause_stream_table('t')")
    session.execute("SELECT pgtrickle.pause_stream_table('t')")
    assert row(session, "t", "status") == ("paused",)
    session.execute("SELECT pgtrickle.resume_stream_table('public.t')")
    session.execute("SELECT pgtrickle.resume_stream_table('t')")
    session.commit()
    assert row(session, "t", "status, consecutive_errors") == ("active", 0)
    assert [event["event"] for event in events(listener)] == ["resumed"]


def test_resuming_does_not_reset_the_fuse(session: PsycopgSession) -> None:
    add(session, "t", fuse_mode="on", status="paused")
    blow(session, "t")
    session.execute("SELECT pgtrickle.resume_stream_table('t')")
    assert row(session, "t", "status, fuse_state") == ("active", "blown")


def waiting(session: PsycopgSession) -> dict[str, list[str]]:
    rows = session.execute(
        "SELECT stream_table, waiting_for FROM pgtrickle.stream_tables_status"
        " WHERE waiting_for IS NOT NULL"
    )
    return {one["stream_table"]: one["waiting_for"] for one in rows}


def test_descendants_wait(session: PsycopgSession) -> None:
    add(session, "a", "source", fuse_mode="on", status="active")
    add(session, "b", "a", status="active")
    add(session, "c", "b", status="active")
    add(session, "beside", "source", status="active")
    assert waiting(session) == {}
    blow(session, "a")
    assert waiting(session) == {"public.b": ["public.a"], "public.c": ["public.a"]}
    session.execute("UPDATE pgtrickle.pgt_stream_tables SET status = 'error' WHERE pgt_name = 'b'")
    assert waiting(session)["public.c"] == ["public.a", "public.b"]


@pytest.mark.parametrize(
    ("consistency", "expected"),
    [
        ("atomic", {"public.c": ["public.b"], "public.d": ["public.b"], "public.e": ["public.b"]}),
        ("none", {"public.d": ["public.b"], "public.e": ["public.b"]}),
    ],
)
def test_tables_of_an_atomic_diamond_wait_together(
    session: PsycopgSession, consistency: str, expected: dict[str, list[str]]
) -> None:
    add(session, "b", "source", fuse_mode="on", status="active")
    add(session, "c", "source", status="active")
    add(session, "d", "b", "c", status="active", diamond_consistency=consistency)
    add(session, "e", "d", status="active")
    add(session, "apart", "source", status="active")
    blow(session, "b")
    assert waiting(session) == expected


def test_dependency_tree(session: PsycopgSession) -> None:
    add(session, "b", "source", status="active")
    add(session, "c", "source", status="paused")
    add(session, "d", "b", "c", status="active")
    lines = session.execute(
        "SELECT tree_line, node_type, depth, status FROM pgtrickle.dependency_tree()"
    )
    assert [tuple(line.values()) for line in lines] == [
        ("public.source", "table", 0, None),
        ("  public.b", "stream_table", 1, "active"),
        ("    public.d", "stream_table", 2, "active"),
        ("  public.c", "stream_table", 1, "paused"),
        ("    public.d", "stream_table", 2, "active"),
    ]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("TR402", "correctness"),
        ("TR302", "config"),
        ("TR501", "infrastructure"),
        ("40001", "performance"),
        ("55P03", "performance"),
        ("57014", "performance"),
        ("57P01", "infrastructure"),
        ("42501", "infrastructure"),
        ("08006", "infrastructure"),
        ("42703", "config"),
        ("22012", "config"),
        ("23505", "correctness"),
        (None, "infrastructure"),
    ],
)
def test_diagnosis(session: PsycopgSession, code: str | None, kind: str) -> None:
    pgt_id = add(session, "t")
    session.execute(
        "INSERT INTO pgtrickle.pgt_refresh_history"
        " (pgt_id, action, status, error_code, error_message, ended_at)"
        " SELECT %(id)s, 'DIFFERENTIAL', 'failed', %(code)s, 'message ' || n, now()"
        " FROM generate_series(1, 7) AS n",
        {"id": pgt_id, "code": code},
    )
    rows = session.execute("SELECT * FROM pgtrickle.diagnose_errors('t')")
    assert [one["error_message"] for one in rows] == [f"message {n}" for n in (7, 6, 5, 4, 3)]
    assert {one["error_type"] for one in rows} == {kind}
    assert all(one["event_time"] and one["remediation"] for one in rows)


def test_refresh_history_is_newest_first(session: PsycopgSession) -> None:
    pgt_id = add(session, "t")
    history(session, pgt_id, *range(30))
    rows = session.execute("SELECT rows_in FROM pgtrickle.refresh_history('t')")
    assert [one["rows_in"] for one in rows] == list(range(29, 9, -1))
    assert len(session.execute("SELECT * FROM pgtrickle.refresh_history('t', 3)")) == 3


def test_what_is_kept_beside_the_table(session: PsycopgSession) -> None:
    session.execute("CREATE TABLE pgtrickle_state.s1 (k int, n bigint)")
    plan = {"states": [{"name": "pgtrickle_state.s1", "purpose": "counts per group"}]}
    add(session, "t", "source", plan=json.dumps(plan))
    session.execute(
        "CREATE UNIQUE INDEX pgt_identity_0 ON t (id); CREATE INDEX mine ON t (id);"
        "INSERT INTO pgtrickle.pgt_sources"
        " (source_relid, source_name, capture_mode, active_version, system_identifier)"
        " VALUES ('source'::regclass, 'public.source', 'statement', 1, 1);"
        "INSERT INTO pgtrickle.pgt_buffers (source_relid, version, buffer_name, columns)"
        " VALUES ('source'::regclass, 1, 'changes_x_1', '{1}');"
        'CREATE TABLE pgtrickle_changes.changes_x_1 (xid xid8, op "char", c1 int);'
        "INSERT INTO pgtrickle_changes.changes_x_1"
        " VALUES ('1', 'I', 1), ('1', 'B', 1), ('1', 'A', 2)"
    )
    rows = session.execute("SELECT * FROM pgtrickle.list_auxiliary_columns('t')")
    assert [tuple(one.values())[:3] for one in rows] == [
        ("pgtrickle_state.s1", "k", "integer"),
        ("pgtrickle_state.s1", "n", "bigint"),
        ("public.pgt_identity_0", "id", "integer"),
        ("pgtrickle_changes.changes_x_1", "xid", "xid8"),
        ("pgtrickle_changes.changes_x_1", "op", '"char"'),
        ("pgtrickle_changes.changes_x_1", "c1", "integer"),
    ]
    assert rows[0]["purpose"] == "counts per group"
    (stats,) = session.execute("SELECT * FROM pgtrickle.change_buffer_stats()")
    assert stats.pop("bytes") > 0
    assert stats == {
        "source": "public.source",
        "buffer": "pgtrickle_changes.changes_x_1",
        "version": 1,
        "active": True,
        "captured_columns": 1,
        "changes": 2,
        "consumers": ["public.t"],
    }


def test_renamed_and_dropped_tables_keep_a_name(session: PsycopgSession) -> None:
    add(session, "t")
    session.execute(
        'CREATE SCHEMA "S"; ALTER TABLE t SET SCHEMA "S"; ALTER TABLE "S".t RENAME TO "T"'
    )
    names = "SELECT stream_table FROM pgtrickle.stream_tables_status"
    assert session.execute(names) == [{"stream_table": '"S"."T"'}]
    session.execute('DROP TABLE "S"."T"')
    assert session.execute(names) == [{"stream_table": "public.t"}]
