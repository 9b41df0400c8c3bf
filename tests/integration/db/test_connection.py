"""Transactions, results and errors of the psycopg session."""

from __future__ import annotations

import pytest

from tests.fix_db import spied
from trickle_runtime import errors
from trickle_runtime.db.connection import connect
from trickle_runtime.db.session import commits_itself


@pytest.fixture
def session(server):
    with connect(server.dsn()) as session:
        yield session


def test_rows_are_those_of_the_last_statement_that_has_any(session):
    assert session.execute("SELECT 1 AS a; SET LOCAL work_mem = '1MB'; SELECT 2 AS b") == [
        {"b": 2}
    ]
    assert session.execute("SELECT 3 AS c; SET LOCAL work_mem = '2MB'") == [{"c": 3}]
    assert session.execute("SET LOCAL work_mem = '3MB'") == []


def test_percent_is_ordinary_without_parameters(session):
    assert session.execute("SELECT '100%s %(x)s %' AS a") == [{"a": "100%s %(x)s %"}]
    rows = session.execute("SELECT %(x)s AS a, '100%%' AS b", {"x": "%s'\\"})
    assert rows == [{"a": "%s'\\", "b": "100%"}]


def test_a_transaction_begins_with_the_first_statement(session):
    before = "SELECT now() AS at"
    assert session.execute(before) == session.execute(before)
    session.execute("CREATE TEMPORARY TABLE x (a int)")
    session.rollback()
    session.rollback()
    assert session.execute("SELECT to_regclass('x') AS x") == [{"x": None}]
    session.commit()
    session.commit()


def test_isolation_can_be_set_in_the_first_statement(session):
    session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1")
    assert session.execute("SHOW transaction_isolation")[0] == {
        "transaction_isolation": "repeatable read"
    }


def test_errors_have_their_sqlstate(session):
    with pytest.raises(errors.DatabaseError) as raised:
        session.execute("SELECT 1/0")
    assert (raised.value.sqlstate, raised.value.transient) == ("22012", False)
    with pytest.raises(errors.DatabaseError) as raised:
        session.execute("SELECT 1")
    assert raised.value.sqlstate == "25P02"
    session.rollback()
    assert session.execute("SELECT 1 AS a") == [{"a": 1}]


def test_commit_of_a_failed_transaction_is_an_error(session):
    """The server would answer COMMIT with a silent rollback."""
    with pytest.raises(errors.DatabaseError):
        session.execute("SELECT 1/0")
    with pytest.raises(errors.DatabaseError) as raised:
        session.commit()
    assert raised.value.sqlstate == "25P02"
    assert session.execute("SELECT 1 AS a") == [{"a": 1}]


def test_a_wrong_parameter_is_not_worth_a_retry(session):
    with pytest.raises(errors.DatabaseError) as raised:
        session.execute("SELECT %(missing)s", {})
    assert not raised.value.transient


def test_autocommit(session):
    assert commits_itself(session)
    session.autocommit("VACUUM pg_class")
    session.execute("SELECT 1")
    with pytest.raises(errors.InternalError):
        session.autocommit("VACUUM pg_class")


def test_what_is_queued_is_sent_with_the_next_statements(session, monkeypatch):
    sent = spied(session, monkeypatch)
    session.queue_alone("CREATE TEMPORARY TABLE x AS SELECT %(a)s AS a", {"a": "5 %"})
    session.queue("SET LOCAL work_mem = '3MB'")
    session.queue("INSERT INTO x VALUES (%(a)s)", {"a": "%s"})
    assert sent == []
    query = "SELECT a, current_setting('work_mem') AS m FROM x WHERE a <> %(b)s"
    rows = session.execute(query, {"b": ""})
    assert rows == [{"a": "5 %", "m": "3MB"}, {"a": "%s", "m": "3MB"}]
    assert len(sent) == 1
    session.rollback()
    assert session.execute("SELECT a FROM x") == [{"a": "5 %"}]


def test_what_is_queued_is_committed_or_never_sent(session):
    session.execute("CREATE TEMPORARY TABLE x (a int)")
    session.queue("INSERT INTO x VALUES (1)")
    session.commit()
    session.queue("INSERT INTO x VALUES (2)")
    session.rollback()
    session.commit()
    session.queue_alone("INSERT INTO x VALUES (3)")
    session.rollback()
    assert session.execute("SELECT a FROM x") == [{"a": 1}]


def test_the_error_of_what_is_queued_is_that_of_the_next(session):
    session.queue("SELECT 1/0")
    with pytest.raises(errors.DatabaseError) as raised:
        session.execute("CREATE TABLE never (a int)")
    assert raised.value.sqlstate == "22012"
    session.rollback()
    session.queue_alone("CREATE TEMPORARY TABLE x (a int)")
    with pytest.raises(errors.DatabaseError):
        session.execute("SELECT 1/0")
    session.rollback()
    assert session.execute("SELECT FROM x") == []


def test_autocommit_sends_what_is_queued_before(session):
    session.queue_alone("CREATE TEMPORARY TABLE x (a int)")
    session.autocommit("VACUUM x")
    session.queue("INSERT INTO x VALUES (1)")
    with pytest.raises(errors.InternalError):
        session.autocommit("VACUUM x")
    with pytest.raises(errors.InternalError):
        session.queue_alone("SELECT 1")


def test_a_lost_connection_is_transient(session, server):
    session.execute("SELECT 1")
    with connect(server.dsn()) as other:
        pid = session.connection.info.backend_pid
        other.execute("SELECT pg_terminate_backend(%(pid)s, 5000)", {"pid": pid})
    with pytest.raises(errors.DatabaseError) as raised:
        session.execute("SELECT 1")
    assert raised.value.transient
    session.rollback()


def test_no_server():
    with pytest.raises(errors.ConnectionFailed) as raised:
        connect("host=/nonexistent/path dbname=x connect_timeout=2")
    assert raised.value.transient


def test_the_application_has_a_name(server):
    with connect(server.dsn(), application_name="trickle test") as session:
        assert session.execute("SHOW application_name") == [{"application_name": "trickle test"}]
