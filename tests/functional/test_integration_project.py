"""``integration_tests/`` can be copied: this does so, and runs what its page says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo, sql

from tests.fix_server import TestServer

PROJECT = Path(__file__).parents[2] / "integration_tests"


@pytest.mark.slow
def test_a_copy_runs(server: TestServer, tmp_path: Path) -> None:
    copy = shutil.copytree(PROJECT, tmp_path / "shop", ignore=shutil.ignore_patterns("target"))
    name = f"trickle_copy_{os.getpid()}"
    database = sql.Identifier(name)
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(database))
        try:
            printed = _run(copy, server.dsn(name))
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(database))
    assert printed.count("Completed successfully") == 3
    assert "STREAM TABLE refreshed +1" in printed


def _run(copy: Path, dsn: str) -> str:
    parts = conninfo.conninfo_to_dict(dsn)
    environment = {
        **os.environ,
        "PATH": f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}",
        "PGHOST": str(parts["host"]),
        "PGPORT": str(parts.get("port", 5432)),
        "PGUSER": str(parts["user"]),
        "PGDATABASE": str(parts["dbname"]),
    }
    done = subprocess.run(
        ["sh", str(copy / "run.sh")], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
