"""Dump and restore: names stay, oids don't (B6, D29)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.integration.refresh.conftest import TOTALS
from trickle_runtime.api import Runtime
from trickle_runtime.db.connection import connect
from trickle_runtime.embedded import bin_directory


@pytest.fixture
def programs(pg_bin, server_major) -> Path:
    """Where pg_dump and psql are; packages of a server alone have neither, the wheel has both."""
    chosen = bin_directory(pg_bin)
    programs = chosen if (chosen / "pg_dump").exists() else bin_directory(None)
    version = subprocess.run(
        [programs / "pg_dump", "--version"], capture_output=True, text=True, check=True
    ).stdout
    if int(version.split()[2].split(".")[0]) < server_major:
        pytest.skip("pg_dump is older than the server")
    return programs


@pytest.fixture
def restored(rt, sql, orders, database, empty_database, programs):
    """A database restored from a dump, whose oids all belong to something else."""
    rt.create_stream_table("public.totals", TOTALS)
    sql("CREATE VIEW v AS SELECT region, total FROM totals")
    rt.create_stream_table("public.above", "SELECT count(*) AS n, max(total) AS most FROM v")
    sql("UPDATE orders SET amount = amount + 1 WHERE id < 10")
    environment = {**os.environ, "LC_ALL": "C"}
    dump = subprocess.run(
        [programs / "pg_dump", database], capture_output=True, check=True, env=environment
    )
    loaded = subprocess.run(
        [programs / "psql", "-v", "ON_ERROR_STOP=1", "-q", "-d", empty_database],
        # A newer pg_dump sets what an older server does not know.
        input=dump.stdout.replace(b"SET transaction_timeout = 0;", b""),
        capture_output=True,
        env=environment,
    )
    assert loaded.returncode == 0, loaded.stderr.decode()
    session = connect(empty_database)
    yield Runtime(session)
    session.close()


@pytest.mark.parametrize("foreign", [False, True])
def test_everything_is_found_again(restored, oracle, foreign):
    session = restored.session
    if foreign:
        session.execute("UPDATE pgtrickle.pgt_frontiers SET system_identifier = 1")
    session.execute("INSERT INTO orders VALUES (1000, 1, 5)")
    session.commit()
    assert restored.refresh("public.above").status == "completed"
    oracle(restored, "public.totals")
    oracle(restored, "public.above")
    session.execute("DELETE FROM orders WHERE id < 20")
    session.commit()
    assert restored.refresh("public.above").action == "DIFFERENTIAL"
    oracle(restored, "public.totals")
    oracle(restored, "public.above")
    triggers = session.execute(
        "SELECT count(*) AS n FROM pg_trigger WHERE tgrelid = 'orders'::regclass"
    )
    assert triggers[0]["n"] == 4
    assert [one.name for one in restored.status()] == ["above", "totals"]
