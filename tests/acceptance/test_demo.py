"""The demo as a user runs it, only smaller."""

from __future__ import annotations

import subprocess
import sys


def test_demo_ends_with_every_table_equal_to_its_query():
    command = [
        sys.executable,
        "-m",
        "trickle_runtime",
        "demo",
        "--scale",
        "0.01",
        "--seconds",
        "3",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "all 15 stream tables equal their queries" in ran.stdout
    assert "stopped itself" in ran.stdout
    assert "everything stopped and removed" in ran.stdout
