"""The fixtures themselves: what every other test relies on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.oracle import differences
from trickle_runtime.errors import DatabaseError

if TYPE_CHECKING:
    from tests.fix_db import RoleDatabase
    from trickle_runtime.api import Runtime
    from trickle_runtime.db.connection import PsycopgSession


def test_a_database_has_the_catalog(session: PsycopgSession) -> None:
    assert session.execute("SELECT count(*) AS n FROM pgtrickle.pgt_migrations")[0]["n"] >= 1


@pytest.mark.parametrize("turn", [1, 2])
def test_a_database_is_new_for_every_test(session: PsycopgSession, turn: int) -> None:
    session.execute("CREATE TABLE public.only_once (turn int)")
    session.commit()
    assert turn in (1, 2)


def test_an_empty_database_has_no_catalog(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT to_regnamespace('pgtrickle')").fetchone() == (None,)


def test_the_role_is_unprivileged_and_owns_the_schemas(role_session: PsycopgSession) -> None:
    owners = role_session.execute(
        "SELECT DISTINCT nspowner::regrole::text = quote_ident(current_user) AS own,"
        " rolsuper OR rolcreatedb OR rolcreaterole OR rolbypassrls AS privileged"
        " FROM pg_namespace, pg_roles WHERE rolname = current_user"
        " AND (nspname LIKE 'pgtrickle%' OR nspname = 'marts')"
    )
    assert owners == [{"own": True, "privileged": False}]
    with pytest.raises(DatabaseError, match="permission denied"):
        role_session.execute("CREATE SCHEMA another")


def test_the_roles_sources_are_made_by_an_administrator(
    role_database: RoleDatabase, role_admin: PsycopgSession, role_session: PsycopgSession
) -> None:
    role_admin.execute(f"CREATE TABLE s (a int); GRANT SELECT ON s TO {role_database.role}")
    role_admin.commit()
    assert role_session.execute("SELECT a FROM public.s") == []


@pytest.mark.parametrize(
    ("stored", "query", "problems"),
    [
        ("VALUES (1), (1)", "VALUES (1), (1)", []),
        ("VALUES (1)", "VALUES (1), (1)", [("missing", "1")]),
        ("VALUES (1), (1)", "VALUES (1);", [("unexpected", "1")]),
        ("VALUES (1.0)", "VALUES (1.00)", [("missing", "1.00"), ("unexpected", "1.0")]),
        ("VALUES (NULL::json)", "VALUES ('1'::json)", [("missing", "1"), ("unexpected", None)]),
    ],
)
def test_the_oracle_sees_every_difference(
    session: PsycopgSession, stored: str, query: str, problems: list[tuple[str, str | None]]
) -> None:
    session.execute(f"CREATE TABLE stored AS {stored}")
    found = differences(session, "stored", query, 1)
    assert [(row["problem"], row["c0"]) for row in found] == problems


def test_the_oracle_reads_the_query_that_the_user_wrote(
    rt: Runtime, oracle: Callable[[Runtime, str], None]
) -> None:
    rt.session.execute("CREATE TABLE s AS SELECT i AS a FROM generate_series(1, 3) i")
    rt.session.commit()
    rt.create_stream_table("public.kept", "SELECT a, a * 2 AS b FROM s WHERE a > 1;")
    oracle(rt, "public.kept")
    rt.session.execute("ALTER TABLE kept DISABLE TRIGGER USER; UPDATE kept SET b = 5 WHERE a = 2")
    with pytest.raises(AssertionError, match="unexpected"):
        oracle(rt, "public.kept")
