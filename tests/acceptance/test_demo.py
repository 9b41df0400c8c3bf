"""The demo as a user runs it, only smaller."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

PYTHON = sys.executable
CHANGE = "UPDATE tpch.lineitem SET l_quantity = l_quantity + 1 WHERE l_orderkey % 50 = 1"
PENDING = "SELECT count(*) FROM pgtrickle.pgt_pending()"


def run(*options: str) -> str:
    command = [PYTHON, "-m", "trickle_runtime", "demo", "--scale", "0.01", *options]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "all 15 stream tables equal their queries" in ran.stdout
    return ran.stdout


def said(output: str, what: str) -> str:
    """What the demo says at its end of one thing."""
    lines = [line.strip() for line in output.splitlines()]
    (line,) = [line for line in lines if line.startswith(f"{what}:")]
    return line.removeprefix(f"{what}:").strip()


def test_demo_ends_with_every_table_equal_to_its_query():
    output = run("--seconds", "3")
    assert "stopped itself" in output
    assert "everything stopped and removed" in output


@pytest.mark.once
def test_what_it_keeps_goes_on_until_it_is_stopped(wait_until: Callable[..., object]):
    output = run("--seconds", "1", "--keep")
    stop, log = said(output, "stop all"), Path(said(output, "log"))
    try:
        with psycopg.connect(said(output, "DSN"), autocommit=True) as connection:
            assert connection.execute(CHANGE).rowcount > 0
            wait_until(lambda: connection.execute(PENDING).fetchone() == (0,), timeout=60)
        command = said(output, "look").replace("trickle-runtime", f"{PYTHON} -m trickle_runtime")
        looked = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
        assert looked.returncode == 0, looked.stderr
        assert "daily_revenue" in looked.stdout
        assert log.stat().st_size > 0
    finally:
        subprocess.run(stop, shell=True, check=True, timeout=60)
    assert not log.parent.exists()
    daemon = Path("/proc", stop.split(";")[0].removeprefix("kill "), "stat")
    wait_until(lambda: not daemon.exists() or " Z " in daemon.read_text(), timeout=60)
