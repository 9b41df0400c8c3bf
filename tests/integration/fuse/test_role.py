"""Fuse and partitions for a role that owns only its schemas, and under another prefix."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fix_db import RoleDatabase
from trickle_runtime.api import Runtime
from trickle_runtime.catalog import migrate
from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import PsycopgSession, connect
from trickle_runtime.errors import DatabaseError

Oracle = Callable[[Runtime, str], None]
QUERY = "SELECT day, sum(v) AS total FROM src GROUP BY day"


def exercise(rt: Runtime, writer: PsycopgSession, oracle: Oracle, name: str) -> None:
    rt.create_stream_table(name, QUERY, fuse="on", fuse_ceiling=10, partition_by="RANGE:day:month")
    for action in ("apply", "skip_changes", "reinitialize"):
        writer.execute(
            "INSERT INTO src SELECT '2026-01-01'::date + g, g FROM generate_series(1, 70) g"
        )
        writer.commit()
        assert {one.status for one in rt.refresh_all()} == {"skipped"}
        rt.reset_fuse(name, action=action)
        rt.refresh_all()
    oracle(rt, name)
    assert rt.alter_stream_table(name, partition_by="HASH:day").action == "rebuilt"
    assert rt.alter_stream_table(name, partition_by=None).action == "rebuilt"
    oracle(rt, name)


def test_an_unprivileged_role(
    role_session: PsycopgSession,
    role_admin: PsycopgSession,
    role_database: RoleDatabase,
    oracle: Oracle,
) -> None:
    role_admin.execute(
        f"CREATE TABLE src (day date, v int);GRANT SELECT, TRIGGER ON src TO {role_database.role}"
    )
    role_admin.commit()
    rt = Runtime(role_session)
    exercise(rt, role_admin, oracle, "marts.t")
    rows = role_session.execute("SELECT fuse_state FROM pgtrickle.fuse_status()")
    assert rows == [{"fuse_state": "armed"}]


def test_another_prefix(empty_database: str, oracle: Oracle) -> None:
    schemas = Schemas("acme")
    with connect(empty_database) as session, connect(empty_database) as writer:
        migrate.install(session, schemas)
        writer.execute("CREATE TABLE src (day date, v int)")
        writer.commit()
        exercise(Runtime(session, schemas), writer, oracle, "t")
        assert session.execute("SELECT stream_table FROM acme.stream_tables_status") == [
            {"stream_table": "public.t"}
        ]
        with pytest.raises(DatabaseError) as error:
            session.execute("SELECT acme.reset_fuse('t')")
        assert error.value.sqlstate == "55000"
