"""The runtime's session on dbt's own connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dbt.adapters.trickle.session import DbtSession
from dbt.adapters.trickle.statements import split_after_rows
from tests.functional import observe
from trickle_runtime.errors import DatabaseError


class SessionCases:
    """Each case runs on a normal connection, and on one of a profile with ``autocommit: true``."""

    autocommit = False

    @pytest.fixture(scope="class")
    def dbt_profile_target(
        self, dbt_profile_target: dict[str, Any], unique_schema: str
    ) -> dict[str, Any]:
        more = {"search_path": unique_schema, "autocommit": self.autocommit}
        return {**dbt_profile_target, **more}

    @pytest.fixture
    def dbt_adapter(self, project: Any) -> Iterator[Any]:
        project.run_sql("create table if not exists marks (id int primary key, note text)")
        project.run_sql("truncate marks")
        with project.adapter.connection_named("session"):
            yield project.adapter

    @pytest.fixture
    def session(self, dbt_adapter: Any) -> DbtSession:
        return DbtSession(dbt_adapter.connections)

    @staticmethod
    def stored(project: Any) -> list[int]:
        rows = project.run_sql("select id from marks order by id", fetch="all")
        return [row[0] for row in rows]

    @staticmethod
    def isolation(session: DbtSession) -> str:
        return session.execute("show transaction_isolation")[0]["transaction_isolation"]

    def test_rows_are_dictionaries(self, session: DbtSession) -> None:
        assert session.execute("select 1 as a, 'x' as b") == [{"a": 1, "b": "x"}]

    def test_rollback_undoes_and_commit_keeps(self, session: DbtSession, project: Any) -> None:
        session.execute("insert into marks values (1)")
        session.rollback()
        session.execute("insert into marks values (2)")
        session.commit()
        session.execute("insert into marks values (3)")
        session.rollback()
        assert self.stored(project) == [2]

    def test_an_error_in_a_savepoint_keeps_the_transaction(
        self, session: DbtSession, project: Any
    ) -> None:
        session.execute("insert into marks values (1); savepoint s")
        with pytest.raises(DatabaseError) as error:
            session.execute("insert into marks values (1)")
        session.execute("rollback to savepoint s; insert into marks values (2)")
        session.commit()
        assert error.value.sqlstate == "23505"
        assert error.value.detail is not None
        assert "already exists" in error.value.detail
        assert self.stored(project) == [1, 2]

    def test_isolation_can_be_set_first_in_every_transaction(
        self, session: DbtSession, dbt_adapter: Any
    ) -> None:
        for _ in range(2):
            session.execute("set transaction isolation level repeatable read")
            assert self.isolation(session) == "repeatable read"
            session.commit()
        dbt_adapter.execute("select 1", auto_begin=True)
        dbt_adapter.commit_if_has_connection()
        session.execute("set transaction isolation level repeatable read")
        assert self.isolation(session) == "repeatable read"
        session.rollback()

    def test_a_percent_sign_is_an_ordinary_character(self, session: DbtSession) -> None:
        assert session.execute("select '100%s' as a, 5 % 2 as b") == [{"a": "100%s", "b": 1}]

    def test_parameters(self, session: DbtSession) -> None:
        sql = "select %(text)s as a, %(list)s::int[] as b, %(map)s::jsonb as c, 7 %% 4 as d"
        params = {"text": "it's 100%", "list": (1, 2), "map": {"k": [1, None]}}
        assert session.execute(sql, params) == [
            {"a": "it's 100%", "b": [1, 2], "c": {"k": [1, None]}, "d": 3}
        ]

    def test_rows_of_a_statement_in_the_middle(self, session: DbtSession) -> None:
        assert session.execute("savepoint s; select 1 as a; release s") == [{"a": 1}]

    def test_text_that_commits_itself(self, session: DbtSession, project: Any) -> None:
        session.execute("insert into marks values (1); commit")
        session.execute("insert into marks values (2)")
        session.rollback()
        assert self.stored(project) == [1]

    def test_vacuum_runs_outside_a_transaction(self, session: DbtSession) -> None:
        session.execute("insert into marks values (1)")
        session.commit()
        session.autocommit("vacuum marks")
        params = {"note": "100%"}
        assert session.autocommit("select %(note)s as a", params) == [{"a": "100%"}]
        assert session.execute("select count(*) as n from marks") == [{"n": 1}]

    def test_dbts_next_statement_begins_a_transaction(
        self, session: DbtSession, dbt_adapter: Any
    ) -> None:
        session.execute("select 1")
        session.commit()
        connection = dbt_adapter.connections.get_thread_connection()
        assert connection.transaction_open is False
        dbt_adapter.execute("select 1", auto_begin=True)
        assert connection.transaction_open is True


class TestSession(SessionCases):
    def test_dbts_transaction_is_joined(
        self, session: DbtSession, dbt_adapter: Any, project: Any
    ) -> None:
        dbt_adapter.execute("insert into marks values (1)", auto_begin=True)
        session.execute("insert into marks values (2)")
        session.rollback()
        assert self.stored(project) == []

    def test_dbts_transaction_is_real_after_a_commit(
        self, session: DbtSession, dbt_adapter: Any, project: Any
    ) -> None:
        """Stock dbt-postgres would run the second insert in autocommit."""
        dbt_adapter.execute("insert into marks values (1)", auto_begin=True)
        dbt_adapter.commit_if_has_connection()
        dbt_adapter.execute("insert into marks values (2)", auto_begin=True)
        dbt_adapter.connections.rollback_if_open()
        assert self.stored(project) == [1]

    def test_a_lost_connection_is_an_error_of_the_database(
        self, session: DbtSession, project: Any
    ) -> None:
        """dbt cancels so: the backend is terminated while the runtime is at work."""
        (row,) = session.execute("select pg_backend_pid() as pid")
        observe.execute(project, f"select pg_terminate_backend({row['pid']})")
        with pytest.raises(DatabaseError):
            session.execute("select 1")
        session.rollback()
        with pytest.raises(DatabaseError) as error:
            session.execute("select 1")
        assert error.value.transient


class TestAutocommitSession(SessionCases):
    autocommit = True


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("select 1", ("select 1", "")),
        ("set x = 1; select 1;", ("set x = 1; select 1;", "")),
        ("select 1; set x = 1", ("select 1;", " set x = 1")),
        ("select 1; -- done;", ("select 1; -- done;", "")),
        ("select $a$;$a$; set x = ';'", ("select $a$;$a$;", " set x = ';'")),
        ("delete from t returning a; commit", ("delete from t returning a;", " commit")),
        ("create function f() as $$ select 1; $$", ("create function f() as $$ select 1; $$", "")),
        ("set x = 1; commit", ("set x = 1; commit", "")),
        (r"select E'\';'; commit", (r"select E'\';';", " commit")),
    ],
)
def test_split_after_rows(text: str, parts: tuple[str, str]) -> None:
    assert split_after_rows(text) == parts
