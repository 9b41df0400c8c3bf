from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.acceptance.conftest import Command


@pytest.fixture
def sales(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE sales (id int PRIMARY KEY, shop text, amount int)")
        connection.execute("INSERT INTO sales VALUES (1, 'a', 10), (2, 'b', 20)")
        yield connection


def ok(command: Command, *args: str, input: str | None = None) -> str:
    result = command(*args, input=input)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_life_of_a_stream_table(
    command: Command, sales: psycopg.Connection, tmp_path: Path
) -> None:
    query = tmp_path / "query.sql"
    query.write_text("SELECT shop, sum(amount) AS amount FROM sales GROUP BY shop")
    ok(command, "validate", "--query-file", str(query))
    ok(command, "create", "revenue", "--query-file", str(query), "--schedule", "1h30m")
    sales.execute("INSERT INTO sales VALUES (3, 'a', 5)")

    status = json.loads(ok(command, "status", "--json"))
    assert [(one["name"], one["pending"]) for one in status] == [("revenue", 1)]

    refreshed = json.loads(ok(command, "refresh", "revenue", "--json"))
    assert (refreshed[0]["action"], refreshed[0]["updated"]) == ("DIFFERENTIAL", 1)
    assert sales.execute("SELECT * FROM revenue ORDER BY 1").fetchall() == [("a", 15), ("b", 20)]

    ok(command, "verify", "revenue")
    ok(command, "verify", "--all")
    history = json.loads(ok(command, "history", "revenue", "--json", "--limit", "1"))
    assert [one["action"] for one in history] == ["DIFFERENTIAL"]
    assert "effective_mode" in ok(command, "explain", "revenue")
    assert ok(command, "explain", "revenue", "--delta", "--plan").startswith("-- 1. ")
    assert json.loads(ok(command, "explain", "--query-file", str(query), "--json"))
    ok(command, "diagnose", "revenue")

    altered = json.loads(ok(command, "alter", "revenue", "--schedule", "5m", "--json"))
    assert altered["changed"] == ["schedule"]
    ok(command, "pause", "revenue")
    ok(command, "resume", "revenue")
    ok(command, "wait", "revenue", "--timeout", "5")
    ok(command, "repair", "revenue")
    ok(command, "cleanup")
    ok(command, "drop", "revenue")
    assert json.loads(ok(command, "status", "--json")) == []


def test_problems_are_1(command: Command, sales: psycopg.Connection) -> None:
    result = command("refresh", "nowhere")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error[TR203]: ")
    assert command("validate", "--query-file", "-", input="SELECT 1 FROM nowhere").returncode == 1
    ok(command, "create", "s", "--query-file", "-", input="SELECT id, amount FROM sales")
    assert command("fuse", "reset", "s").returncode == 1
    sales.execute("INSERT INTO sales VALUES (4, 'c', 1)")
    assert command("wait", "s", "--timeout", "0.2").returncode == 1


def test_a_tampered_table_fails_verify(command: Command, sales: psycopg.Connection) -> None:
    ok(command, "create", "s", "--query-file", "-", input="SELECT id, amount FROM sales")
    sales.execute("ALTER TABLE s DISABLE TRIGGER USER")
    sales.execute("DELETE FROM s WHERE id = 1")
    assert command("verify", "s").returncode == 1
    ok(command, "repair", "s")
    ok(command, "verify", "s")


def test_wrong_use_is_2(command: Command, sales: psycopg.Connection) -> None:
    result = command("create", "s", "--query-file", "-", "--schedule", "0s", input="SELECT 1 AS a")
    assert result.returncode == 2
    assert result.stderr.startswith("error[TR110]: ")
    assert command("create", "s").returncode == 2


def test_no_connection_is_3() -> None:
    result = Command("host=/nowhere")("status")
    assert result.returncode == 3
    assert result.stderr.startswith("error[TR501]: ")


def test_install_upgrade_uninstall(empty_database: str) -> None:
    command = Command(empty_database)
    result = command("status")
    assert result.returncode == 1
    assert result.stderr.startswith("error[TR201]: ")
    ok(command, "install")
    ok(command, "install")
    ok(command, "upgrade")
    ok(command, "doctor")
    ok(command, "uninstall", "--yes")
    assert command("status").returncode == 1


def test_other_ways_to_connect(database: str, tmp_path: Path) -> None:
    facts = conninfo_to_dict(database)
    environment = {
        "PGHOST": str(facts["host"]),
        "PGPORT": str(facts.get("port", 5432)),
        "PGUSER": str(facts["user"]),
        "PGDATABASE": str(facts["dbname"]),
    }
    assert Command(None)("status", "--json", **environment).returncode == 0
    assert Command(None)("status", "--json", TRICKLE_DSN=database).returncode == 0
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    target = {
        "type": "trickle",
        "host": facts["host"],
        "port": int(facts.get("port", 5432)),
        "user": facts["user"],
        "pass": "{{ env_var('SECRET', 'none') }}",
        "dbname": facts["dbname"],
        "schema": "public",
    }
    profiles = {"shop": {"target": "dev", "outputs": {"dev": target}}}
    (tmp_path / "profiles.yml").write_text(json.dumps(profiles))
    result = Command(None)("--project-dir", str(tmp_path), "status", "--json")
    assert (result.returncode, result.stdout) == (0, "[]\n"), result.stderr
