"""The catalog is upgraded from each earlier version while stream tables are there.

A catalog of an earlier version is made of the present one: what a fresh installation of that
version does not have is dropped, which is right as long as migrations only add (a test sees that
they do).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from trickle_runtime import errors
from trickle_runtime.api import Runtime
from trickle_runtime.catalog import migrate
from trickle_runtime.config import GateTest, Schemas
from trickle_runtime.db.connection import PsycopgSession, connect

S = Schemas()
VERSIONS = range(1, len(migrate.migrations()))
CAN_PROTECT = 3  # the version that came with a trigger against writes to stream tables
OBJECTS = """
SELECT 'DROP TRIGGER ' || quote_ident(t.tgname) || ' ON ' || t.tgrelid::regclass AS statement
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'pgtrickle'::regnamespace AND NOT t.tgisinternal
UNION ALL
SELECT 'DROP ' || CASE c.relkind WHEN 'v' THEN 'VIEW ' WHEN 'i' THEN 'INDEX ' ELSE 'TABLE ' END
       || c.oid::regclass || ' CASCADE'
FROM pg_class c
WHERE c.relnamespace = 'pgtrickle'::regnamespace AND c.relkind IN ('r', 'v', 'i')
UNION ALL
SELECT 'ALTER TABLE ' || c.oid::regclass || ' DROP COLUMN ' || quote_ident(a.attname)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'pgtrickle'::regnamespace AND c.relkind = 'r'
UNION ALL
SELECT 'DROP ROUTINE ' || oid::regprocedure || ' CASCADE' FROM pg_proc
WHERE pronamespace = 'pgtrickle'::regnamespace
UNION ALL
SELECT 'DELETE FROM pgtrickle.pgt_settings WHERE name = ' || quote_literal(name)
FROM pgtrickle.pgt_settings
"""
GONE = ("3F000", "42P01", "42883", "42704", "42703")  # went with something before it


def objects(session: PsycopgSession) -> set[str]:
    """What the catalog consists of, as statements that drop it."""
    found = {str(row["statement"]) for row in session.execute(OBJECTS)}
    session.commit()
    return found


@pytest.fixture
def fresh(empty_database: str) -> Iterator[PsycopgSession]:
    """A session in a database without a catalog."""
    with connect(empty_database) as session:
        yield session


def go_back(session: PsycopgSession, wanted: set[str], version: int) -> None:
    """Make the catalog one of an earlier version."""
    for statement in sorted(objects(session) - wanted):
        session.execute("SAVEPOINT one")
        try:
            session.execute(statement)
        except errors.DatabaseError as error:
            if error.sqlstate not in GONE:
                raise
            session.execute("ROLLBACK TO SAVEPOINT one")
    session.execute(f"DELETE FROM pgtrickle.pgt_migrations WHERE number > {version}")
    session.commit()


def create(rt: Runtime, session: PsycopgSession) -> None:
    """Make stream tables of several kinds, with pending changes."""
    session.execute(
        "CREATE TABLE items (id int PRIMARY KEY, part int, value int);"
        "INSERT INTO items SELECT i, i % 3, i FROM generate_series(1, 20) i"
    )
    session.commit()
    rt.create_stream_table("public.parts", "SELECT part, sum(value) AS v FROM items GROUP BY part")
    rt.create_stream_table("public.above", "SELECT max(v) AS v FROM parts", fuse="auto")
    rt.create_stream_table(
        "public.pieces", "SELECT id, part FROM items", partition_by="HASH:id:2", schedule="5m"
    )
    rt.create_stream_table("public.late", "SELECT count(*) AS n FROM items", initialize=False)
    session.execute("UPDATE items SET value = value + 1 WHERE id < 5")
    session.commit()


def require_life(rt: Runtime, session: PsycopgSession) -> None:
    """See that everything a user does with these stream tables works."""
    rt.refresh("above")
    assert rt.refresh("pieces").action == "DIFFERENTIAL"
    rt.refresh_all()
    rt.alter_stream_table(
        "parts", query="SELECT part, min(value)::bigint AS v FROM items GROUP BY part"
    )
    gate = [GateTest("few", "SELECT count(*) FROM parts HAVING count(*) > 3")]
    rt.alter_stream_table("parts", gate=gate)
    session.execute("INSERT INTO items VALUES (100, 9, 1)")
    session.commit()
    with pytest.raises(errors.GateFailed):
        rt.refresh("parts")
    rt.reset_fuse("parts", action="apply")
    rt.refresh_all()
    assert {one.name: one.status for one in rt.status()} == dict.fromkeys(
        ("parts", "above", "pieces", "late"), "active"
    )
    assert rt.options("pieces").schedule == "5m"
    for one in rt.status():
        assert rt.verify(one.name).equal
    session.execute("SELECT * FROM pgtrickle.stream_tables_status")
    session.commit()


@pytest.mark.parametrize("version", VERSIONS)
def test_with_stream_tables(
    rt: Runtime,
    session: PsycopgSession,
    fresh: PsycopgSession,
    monkeypatch: pytest.MonkeyPatch,
    version: int,
) -> None:
    create(rt, session)
    newest = objects(session)
    with monkeypatch.context() as patch:
        known = migrate.migrations()[:version]
        patch.setattr(migrate, "migrations", lambda: known)
        migrate.install(fresh, S)
    older = objects(fresh)
    assert older < newest, "a migration has taken something away: go_back has to know it"
    go_back(session, older, version)
    assert objects(session) == older

    session.execute("INSERT INTO items VALUES (21, 1, 1); DELETE FROM items WHERE id = 6")
    session.commit()
    with pytest.raises(errors.VersionMismatch, match=f"version {version}") as raised:
        rt.check()
    assert "trickle-runtime upgrade" in str(raised.value.hint)
    session.rollback()
    assert rt.upgrade() == len(migrate.migrations()) - version
    rt.check()
    assert objects(session) == newest
    found = {one.check for one in rt.doctor() if one.severity != "OK"}
    assert found == (set() if version >= CAN_PROTECT else {"protection"})
    require_life(rt, session)
