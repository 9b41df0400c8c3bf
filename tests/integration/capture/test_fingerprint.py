"""What leaves no trace in the buffers is noticed (protocol A1-A6), and harmless DDL is not."""

from __future__ import annotations

import pytest

from trickle_runtime import errors
from trickle_runtime.capture import fingerprint, install
from trickle_runtime.config import Schemas

from .conftest import Consumer

S = Schemas()


@pytest.fixture(autouse=True)
def source(write):
    write(
        "CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY, a int, hidden int);"
        "INSERT INTO app.t SELECT i, i, i FROM generate_series(1, 5) i"
    )


HARMLESS = {
    "vacuum_full": "VACUUM FULL app.t",
    "cluster": "CLUSTER app.t USING t_pkey",
    "analyze": "ANALYZE app.t",
    "new_column": "ALTER TABLE app.t ADD COLUMN n int DEFAULT 5",
    "new_volatile_column": "ALTER TABLE app.t ADD COLUMN u uuid DEFAULT gen_random_uuid()",
    "unused_column_dropped": "ALTER TABLE app.t DROP COLUMN hidden",
    "unused_column_retyped": "ALTER TABLE app.t ALTER hidden TYPE text",
    "index": "CREATE INDEX CONCURRENTLY ON app.t (a)",
    "own_trigger": (
        "CREATE TRIGGER x BEFORE UPDATE ON app.t FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    ),
    "grant": "GRANT SELECT ON app.t TO PUBLIC",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless(consumer, session, issues, name):
    consumer("app.t", "id", "a")
    session.autocommit(HARMLESS[name])
    assert issues() == []


ISSUES = {
    "same_type_other_values": (
        "ALTER TABLE app.t ALTER a TYPE int USING a * 10",
        "columns_changed",
    ),
    "retyped": ("ALTER TABLE app.t ALTER a TYPE bigint", "columns_changed"),
    "renamed": ("ALTER TABLE app.t RENAME a TO b", "columns_changed"),
    "dropped": ("ALTER TABLE app.t DROP a", "columns_changed"),
    "renamed_table": ("ALTER TABLE app.t RENAME TO u", "renamed"),
    "renamed_schema": ("ALTER SCHEMA app RENAME TO apps", "renamed"),
    "collation": ('ALTER TABLE app.t ALTER a TYPE text COLLATE "C"', "columns_changed"),
    "disabled": ("ALTER TABLE app.t DISABLE TRIGGER ALL", "trigger_changed"),
    "load_between": (
        "ALTER TABLE app.t DISABLE TRIGGER ALL; INSERT INTO app.t VALUES (9, 9, 9);"
        "ALTER TABLE app.t ENABLE TRIGGER ALL",
        "trigger_changed",
    ),
    "user_triggers": (
        "ALTER TABLE app.t DISABLE TRIGGER USER; DELETE FROM app.t WHERE id = 2;"
        "ALTER TABLE app.t ENABLE TRIGGER USER",
        "trigger_changed",
    ),
    "trigger_dropped": ('DROP TRIGGER "pgtrickle_{relid}_update" ON app.t', "trigger_changed"),
    "function_dropped": (
        "DROP FUNCTION pgtrickle_changes.capture_{relid}_1_delete() CASCADE",
        "trigger_changed",
    ),
    "unlogged": ("ALTER TABLE app.t SET UNLOGGED", "trigger_changed"),
    "child": ("CREATE TABLE app.child () INHERITS (app.t)", "partitions_changed"),
    "gone": ("DROP TABLE app.t", "gone"),
    "moved": ("ALTER TABLE app.t RENAME TO old; CREATE TABLE app.t (LIKE app.old)", "swapped"),
    "recreated": ("DROP TABLE app.t; CREATE TABLE app.t (id int, a int)", "swapped"),
    "view_now": (
        "ALTER TABLE app.t RENAME TO old; CREATE VIEW app.t AS SELECT 1 AS id, 2 AS a",
        "swapped",
    ),
}


@pytest.mark.parametrize("name", ISSUES)
def test_issue(consumer, session, write, issues, name):
    kept = consumer("app.t", "id", "a")
    statement, kind = ISSUES[name]
    write(statement.format(relid=kept.relid))
    assert issues() == [kind]
    if kind in {"gone", "renamed", "swapped"}:
        return
    install.repair(session, S, kept.relid, kind)
    assert issues() == []
    if name == "dropped":
        return
    assert kept.refresh() == "difference"
    write("DELETE FROM app.t WHERE id = 1")
    assert kept.refresh() == "differential"


def test_swapped_source_is_found_by_name(consumer, session, write):
    kept = consumer("app.t", "id", "a")
    write(
        "ALTER TABLE app.t RENAME TO t__dbt_backup; CREATE TABLE app.t AS SELECT 1 AS id, 2 AS a"
    )
    (issue,) = fingerprint.check(session, S, [kept.relid])
    assert issue.new_relid == kept.store.resolve("app.t")
    assert issue.relid == kept.relid
    session.commit()
    write("DROP TABLE app.t__dbt_backup")
    (issue,) = fingerprint.check(session, S)
    assert issue.new_relid == kept.store.resolve("app.t")


def test_a_name_that_is_closed_to_us_is_not_asked_for(role_session, role_admin):
    """to_regclass() fails on a schema without USAGE; a source under its own name needs none."""
    role_admin.execute("CREATE SCHEMA app; CREATE TABLE app.t (id int)")
    role = role_session.execute("SELECT current_user::text AS u")[0]["u"]
    role_session.commit()
    role_admin.execute(
        f'GRANT USAGE ON SCHEMA app TO "{role}"; GRANT SELECT, TRIGGER ON app.t TO "{role}"'
    )
    role_admin.commit()
    role_session.execute("SET search_path = marts")
    made = Consumer(role_session, "app.t", (1,)).register()
    made.capture()
    role_admin.execute(f'REVOKE USAGE ON SCHEMA app FROM "{role}"')
    role_admin.commit()
    assert fingerprint.check(role_session, S) == []


def test_a_restart_may_have_emptied_an_unlogged_source(consumer, session, write, issues):
    """A6; the restart is played by changing what was noted."""
    write("CREATE UNLOGGED TABLE u (id int); INSERT INTO u VALUES (1)")
    kept = consumer("u")
    assert issues() == []
    write(
        "UPDATE pgtrickle.pgt_sources SET fingerprint ="
        " jsonb_set(fingerprint, '{started}', '\"2001-01-01\"')"
    )
    assert issues() == ["unlogged_restart"]
    install.repair(session, S, kept.relid, "restart")
    assert issues() == []
    assert kept.refresh() == "difference"


def test_row_security_that_applies_to_us_is_refused(role_session, role_admin):
    """A4."""
    role_admin.execute(
        "CREATE TABLE public.t (id int); ALTER TABLE public.t ENABLE ROW LEVEL SECURITY;"
        "GRANT SELECT, TRIGGER ON public.t TO PUBLIC"
    )
    role_admin.commit()
    role_session.execute("SET search_path = marts")
    made = Consumer(role_session, "public.t", (1,)).register()
    with pytest.raises(errors.RowSecurity):
        made.capture()
    role_admin.execute("ALTER TABLE public.t DISABLE ROW LEVEL SECURITY")
    role_admin.commit()
    made.capture()
    assert fingerprint.check(role_session, S) == []
    role_session.commit()
    role_admin.execute("ALTER TABLE public.t ENABLE ROW LEVEL SECURITY")
    role_admin.commit()
    assert [issue.kind for issue in fingerprint.check(role_session, S)] == ["row_security"]


@pytest.mark.parametrize("ddl", ["ADD COLUMN u uuid DEFAULT gen_random_uuid()", "SET UNLOGGED"])
def test_a_pass_that_locks_first_reads_a_rewritten_source(consumer, other, until_blocked, ddl):
    """A1: LOCK takes no snapshot, so what it waited for is seen."""
    kept = consumer("app.t")
    writer = other()
    writer.execute(f"ALTER TABLE app.t {ddl}")
    begun = until_blocked(kept.session, kept.begin)
    writer.commit()
    begun.result()
    assert kept.session.execute("SELECT count(*) AS n FROM app.t") == [{"n": 5}]


def test_a_source_that_is_not_registered(consumer, session, write):
    kept = consumer("app.t")
    write(f"DELETE FROM pgtrickle.pgt_sources WHERE source_relid = {kept.relid}")
    assert [issue.kind for issue in fingerprint.check(session, S)] == ["trigger_changed"]
