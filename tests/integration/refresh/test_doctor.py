"""What ``doctor`` finds, each with a way to mend it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest

from tests.integration.refresh.conftest import TOTALS, Sql
from trickle_runtime.api import Runtime
from trickle_runtime.db.connection import connect

PID = 4242


def found(rt: Runtime, checked: str) -> list[str]:
    return [one.message for one in rt.doctor() if one.check == checked]


@contextmanager
def pooler(database: str) -> Iterator[str]:
    """A proxy that announces a process id of its own, as PgBouncer does; gives its DSN."""
    given = psycopg.conninfo.conninfo_to_dict(database)
    with psycopg.connect(database) as direct:
        target = direct.info.host, direct.info.port
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket, key: bytes) -> None:
        with suppress(OSError):  # either side may hang up
            while data := source.recv(65536):
                if key and (at := data.find(key)) >= 0:  # BackendKeyData: K, length, pid, secret
                    data = data[: at + 5] + PID.to_bytes(4, "big") + data[at + 9 :]
                    key = b""
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve() -> None:
        client, _ = listener.accept()
        with client, _to(target) as server:
            there = threading.Thread(target=pump, args=[client, server, b""])
            there.start()
            pump(server, client, b"K\x00\x00\x00\x0c")
            there.join()

    serving = threading.Thread(target=serve)
    serving.start()
    port = listener.getsockname()[1]
    yield psycopg.conninfo.make_conninfo(
        "", **{**given, "host": "127.0.0.1", "port": port, "sslmode": "disable"}
    )
    serving.join()
    listener.close()


def _to(target: tuple[str, int]) -> socket.socket:
    host, port = target
    if host.startswith("/"):
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server
    return socket.create_connection(target)


def test_nothing_is_wrong(rt, orders):
    rt.create_stream_table("public.s", "SELECT id, amount FROM orders")
    assert [(one.check, one.severity) for one in rt.doctor()] == [("all", "OK")]


def test_a_pooler(rt, database):
    assert found(rt, "connection") == []
    with pooler(database) as dsn, connect(dsn) as session:
        assert "pooler" in found(Runtime(session), "connection")[0]


def test_what_holds_a_type(rt, sql):
    """C2: buffers keep the application's enums and composites from being dropped."""
    sql(
        "CREATE TYPE mood AS ENUM ('ok')",
        "CREATE TYPE pair AS (a int, b int)",
        "CREATE TABLE t (id int, m mood, p pair[])",
    )
    rt.create_stream_table("public.s", "SELECT id, m, p FROM t")
    messages = found(rt, "type")
    assert [message.split(" ")[0] for message in messages] == ["mood", "pair"]
    assert all("pgtrickle_changes.changes_" in message for message in messages)
    rt.drop_stream_table("public.s")
    assert found(rt, "type") == []


def test_what_is_missing(rt, sql, orders):
    rt.create_stream_table("public.totals", TOTALS)
    sql("ALTER TABLE totals DISABLE TRIGGER pgt_protect")
    sql("ALTER TABLE orders DISABLE TRIGGER USER")
    sql("CREATE PUBLICATION everything FOR ALL TABLES")
    sql("UPDATE pgtrickle.pgt_stream_tables SET status = 'suspended', last_error = 'boom'")
    sql(
        "INSERT INTO pgtrickle.pgt_workers (worker_id, host, pid, version, heartbeat_at)"
        " VALUES ('w', 'h', 1, '1', now() - interval '1 hour')"
    )
    assert any("disabled" in message for message in found(rt, "source"))
    assert any("orders" in message for message in found(rt, "index"))
    assert "everything" in found(rt, "publication")[0]
    assert "boom" in found(rt, "stream table")[0]
    assert "silent" in found(rt, "worker")[0]
    assert "totals" in found(rt, "protection")[0]


def test_missing_rights(role_database):
    with connect(role_database.admin_dsn) as admin, connect(role_database.dsn) as own:
        sql, rt = Sql(admin), Runtime(own)
        sql("CREATE TABLE t (id int)", f"GRANT SELECT ON t TO {role_database.role}")
        rt.create_stream_table("marts.s", "SELECT id FROM t")
        assert "read by difference" in found(rt, "capture")[0]
        sql(f"REVOKE SELECT ON t FROM {role_database.role}")
        assert "no SELECT privilege" in found(rt, "privileges")[0]
        remedies = [one.remedy for one in rt.doctor() if one.check == "privileges"]
        assert remedies == [f'GRANT SELECT ON "public"."t" TO {role_database.role};']


@pytest.mark.parametrize("query", [TOTALS])
def test_validate_names_missing_indexes(rt, orders, query):
    ddl = [one.result for one in rt.validate_query(query) if one.check_name == "missing_index"]
    assert ddl == ['CREATE INDEX ON "public"."orders" ("customer")']
