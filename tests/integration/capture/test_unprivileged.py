"""An ordinary role: its own schemas, SELECT and TRIGGER on the sources, nothing more (C17)."""

from __future__ import annotations

import pytest

from trickle_runtime.capture import cleanup, fingerprint, install
from trickle_runtime.catalog import migrate
from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import connect

from .conftest import Consumer

S = Schemas()


@pytest.fixture
def source(role_admin, role_session):
    role = role_session.execute("SELECT current_user::text AS u")[0]["u"]
    role_session.execute("SET search_path = marts")
    role_session.commit()
    role_admin.execute(
        "CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY, a int, b int);"
        "INSERT INTO app.t VALUES (1, 1, 1), (2, 2, 2);"
        f'GRANT USAGE ON SCHEMA app TO "{role}"; GRANT SELECT, TRIGGER ON app.t TO "{role}"'
    )
    role_admin.commit()
    return "app.t"


@pytest.fixture
def write(role_admin):
    def run(statements):
        role_admin.execute(statements)
        role_admin.commit()

    return run


@pytest.fixture
def kept(role_session, source):
    made = Consumer(role_session, source, (1, 2)).register()
    made.capture()
    return made.fill()


def test_the_whole_life(kept, role_session, write):
    result = kept.capture()
    assert result.mode == "statement"
    assert "not ours" in (result.reason or "")
    write("INSERT INTO app.t VALUES (3, 3, 3); UPDATE app.t SET a = 9 WHERE id = 1")
    assert kept.refresh() == "differential"
    wide = Consumer(role_session, "app.t", (1, 2, 3)).register()
    wide.capture()
    wide.fill()
    write("DELETE FROM app.t WHERE id = 2; UPDATE app.t SET b = 8")
    assert wide.refresh() == "differential"
    assert kept.refresh() == "differential"
    write("TRUNCATE app.t")
    assert kept.refresh() == "difference"
    assert wide.refresh() == "difference"
    cleanup.cleanup(role_session, S)
    assert len(kept.store.buffers(kept.relid)) == 1
    assert fingerprint.check(role_session, S) == []


def test_the_writer_needs_no_rights_here(kept, role_admin, write):
    write(
        "CREATE ROLE writer; GRANT USAGE ON SCHEMA app TO writer;"
        "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON app.t TO writer"
    )
    try:
        write(
            "SET LOCAL ROLE writer; INSERT INTO app.t VALUES (5, 5, 5); UPDATE app.t SET a = 0;"
            "DELETE FROM app.t WHERE id = 1"
        )
        assert kept.refresh() == "differential"
        write("SET LOCAL ROLE writer; TRUNCATE app.t")
        assert kept.refresh() == "difference"
    finally:
        write("DROP OWNED BY writer; DROP ROLE writer")


def test_disabled_triggers_are_mended_without_ownership(kept, role_session, write):
    """CREATE OR REPLACE TRIGGER enables, and needs only the TRIGGER privilege."""
    write("ALTER TABLE app.t DISABLE TRIGGER ALL; INSERT INTO app.t VALUES (5, 5, 5)")
    assert [issue.kind for issue in fingerprint.check(role_session, S)] == ["trigger_changed"]
    install.repair(role_session, S, kept.relid, "disabled")
    assert kept.refresh() == "difference"
    write("INSERT INTO app.t VALUES (6, 6, 6)")
    assert kept.refresh() == "differential"


def test_triggers_that_were_disabled_for_a_while(kept, role_session, write):
    """What pg_restore --disable-triggers does; they are as they should be, so they stay."""
    write(
        "ALTER TABLE app.t DISABLE TRIGGER ALL; INSERT INTO app.t VALUES (5, 5, 5);"
        "ALTER TABLE app.t ENABLE TRIGGER ALL"
    )
    result = install.repair(role_session, S, kept.relid, "disabled")
    assert result.buffer_version == 1
    assert fingerprint.check(role_session, S) == []
    role_session.commit()
    assert kept.refresh() == "difference"
    write("INSERT INTO app.t VALUES (6, 6, 6)")
    assert kept.refresh() == "differential"


def test_the_owner_may_enable_them_always(kept, role_session, write):
    write(
        "DO $$ DECLARE n name; BEGIN FOR n IN SELECT tgname FROM pg_trigger"
        " WHERE tgrelid = 'app.t'::regclass AND tgname LIKE 'pgtrickle%' LOOP"
        " EXECUTE format('ALTER TABLE app.t ENABLE ALWAYS TRIGGER %I', n); END LOOP; END $$"
    )
    assert [issue.kind for issue in fingerprint.check(role_session, S)] == ["trigger_changed"]
    install.repair(role_session, S, kept.relid, "enabled")
    assert kept.refresh() == "difference"
    write("SET LOCAL session_replication_role = replica; INSERT INTO app.t VALUES (6, 6, 6)")
    assert kept.refresh() == "differential"


def test_without_the_trigger_privilege_it_is_polled(role_session, role_admin, source, write):
    write("REVOKE TRIGGER ON app.t FROM PUBLIC")
    role = role_session.execute("SELECT current_user::text AS u")[0]["u"]
    role_session.commit()
    write(f'REVOKE TRIGGER ON app.t FROM "{role}"')
    made = Consumer(role_session, source, (1,)).register()
    result = made.capture()
    assert (result.mode, made.pending().polled) == ("poll", True)
    assert "TRIGGER" in (result.reason or "")


def test_uninstall_removes_every_trace(kept, role_session, role_admin, write):
    write("INSERT INTO app.t VALUES (5, 5, 5); TRUNCATE app.t")
    migrate.uninstall(role_session, S)
    assert (
        role_admin.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = 'app.t'::regclass") == []
    )
    assert (
        role_admin.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'pgtrickle%'")
        == []
    )
    role_admin.commit()
    write("INSERT INTO app.t VALUES (6, 6, 6); TRUNCATE app.t")
    migrate.uninstall(role_session, S)


def test_install_into_schemas_made_by_an_administrator(role_session, role_admin, role_database):
    migrate.uninstall(role_session, S)
    for name in ("pgtrickle", "pgtrickle_changes", "pgtrickle_state"):
        role_admin.execute(f'CREATE SCHEMA {name} AUTHORIZATION "{role_database.role}"')
    role_admin.commit()
    with connect(role_database.dsn) as session:
        assert migrate.install(session, S) == len(migrate.migrations())
        migrate.check(session, S)


def test_system_identifier_is_read_by_everyone(role_session, role_admin):
    query = "SELECT pgtrickle.pgt_system_identifier() AS mine"
    control = (
        "SELECT system_identifier # oid::bigint AS mine FROM pg_control_system(), pg_database"
        " WHERE datname = current_database()"
    )
    assert role_session.execute(query) == role_admin.execute(control)


def test_system_identifier_where_that_is_forbidden(role_session, role_admin):
    """The oid of the database stands in."""
    role_admin.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    role_admin.commit()
    rows = role_session.execute(
        "SELECT pgtrickle.pgt_system_identifier() AS mine, oid::bigint AS oid FROM pg_database"
        " WHERE datname = current_database()"
    )
    assert rows[0]["mine"] == rows[0]["oid"]
