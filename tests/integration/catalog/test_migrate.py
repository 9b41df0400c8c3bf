"""Install, upgrade, check, uninstall."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from trickle_runtime import errors
from trickle_runtime.catalog import migrate
from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import connect

S = Schemas()


def test_life(empty_database):
    with connect(empty_database) as session:
        with pytest.raises(errors.NotInstalled):
            migrate.check(session, S)
        session.rollback()
        with pytest.raises(errors.NotInstalled):
            migrate.upgrade(session, S)
        session.rollback()
        assert migrate.install(session, S) == len(migrate.migrations())
        assert migrate.install(session, S) == 0
        assert migrate.upgrade(session, S) == 0
        migrate.check(session, S)
        session.commit()
        migrate.uninstall(session, S)
        migrate.uninstall(session, S)
        assert session.execute("SELECT 1 FROM pg_namespace WHERE nspname LIKE 'pgtrickle%'") == []


def test_versions_must_match(session):
    session.execute("DELETE FROM pgtrickle.pgt_migrations WHERE number > 0")
    with pytest.raises(errors.VersionMismatch, match="version 0"):
        migrate.check(session, S)
    session.rollback()
    session.execute("INSERT INTO pgtrickle.pgt_migrations (number, name) VALUES (9999, 'later')")
    with pytest.raises(errors.VersionMismatch, match="version 9999"):
        migrate.check(session, S)
    with pytest.raises(errors.VersionMismatch):
        migrate.upgrade(session, S)
    session.rollback()


def test_two_sessions_install_at_once(empty_database):
    with (
        connect(empty_database) as one,
        connect(empty_database) as two,
        ThreadPoolExecutor() as pool,
    ):
        applied = [pool.submit(migrate.install, session, S) for session in (one, two)]
        assert sum(future.result() for future in applied) == len(migrate.migrations())


def test_an_interrupted_install_leaves_nothing(empty_database, monkeypatch):
    """And what another session sees meanwhile is that there is no catalog, never half of one."""
    texts = migrate.sql.load_text

    def broken(file, schemas):
        with connect(empty_database) as other, pytest.raises(errors.NotInstalled):
            migrate.check(other, S)
        return texts(file, schemas) if file != migrate.migrations()[-1].file else "SELECT 1/0"

    with connect(empty_database) as session:
        with monkeypatch.context() as patch:
            patch.setattr(migrate.sql, "load_text", broken)
            with pytest.raises(errors.DatabaseError, match="division by zero"):
                migrate.install(session, S)
        session.rollback()
        with pytest.raises(errors.NotInstalled):
            migrate.check(session, S)
        session.rollback()
        assert migrate.install(session, S) == len(migrate.migrations())
        migrate.check(session, S)


def test_an_upgrade_shows_no_version_in_between(session, database, monkeypatch):
    session.execute("DELETE FROM pgtrickle.pgt_migrations WHERE number > 3")
    session.commit()
    seen = []

    def watched(_file, _schemas):
        with connect(database) as other, pytest.raises(errors.VersionMismatch) as raised:
            migrate.check(other, S)
        seen.append(raised.value.message)
        return "SELECT 1"

    monkeypatch.setattr(migrate.sql, "load_text", watched)
    assert migrate.upgrade(session, S) == len(seen)
    assert {"version 3" in message for message in seen} == {True}
    migrate.check(session, S)


def test_a_role_without_rights_is_told(role_session, role_admin):
    with pytest.raises(errors.DatabaseError) as raised:
        migrate.install(role_session, Schemas("elsewhere"))
    assert raised.value.sqlstate == "42501"


def test_a_schema_that_is_closed_to_us_is_an_answer(empty_database, role):
    """to_regclass() would fail; the answer is that it is not installed, or not for us."""
    from psycopg.conninfo import make_conninfo

    with (
        connect(empty_database) as admin,
        connect(make_conninfo(empty_database, user=role, password="trickle")) as session,
    ):
        with pytest.raises(errors.NotInstalled):
            migrate.check(session, S)
        session.rollback()
        migrate.install(admin, S)
        with pytest.raises(errors.DatabaseError) as raised:
            migrate.check(session, S)
        assert raised.value.sqlstate == "42501"
