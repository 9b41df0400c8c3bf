"""Run the integration tests on several majors of PostgreSQL: ``test_matrix.py 15 16 -- -n 2``.

Invariant: exit code 0 only if every major that was asked for was there, ran, and passed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import fetch_postgres

ROOT = Path(__file__).resolve().parents[1]
EMBEDDED_MAJOR = 18  # of the wheel in requirements.lock


def programs(major: int) -> list[str]:
    """Return the pytest options that choose this major."""
    if major == EMBEDDED_MAJOR:
        return []
    debian = Path(f"/usr/lib/postgresql/{major}/bin")
    try:
        return ["--pg-bin", str(fetch_postgres.fetch(major))]
    except fetch_postgres.FetchError as error:
        if not (debian / "initdb").exists():
            raise
        sys.stderr.write(f"test-matrix: {error}; using {debian}\n")
        return ["--pg-bin", str(debian)]


def run(major: int, options: list[str]) -> str | None:
    """Run the tests on one major; return what went wrong, if anything."""
    sys.stdout.write(f"\n=== PostgreSQL {major} ===\n")
    sys.stdout.flush()
    try:
        chosen = programs(major)
    except fetch_postgres.FetchError as error:
        return f"not there: {error}"
    command = [sys.executable, "-m", "pytest", "tests/integration", *chosen, *options]
    code = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL).returncode
    return None if code == 0 else f"pytest ended with {code}"


def main(arguments: list[str]) -> int:
    """Run every major, then say how each ended."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    majors, options = [int(text) for text in arguments[:split]], arguments[split + 1 :]
    problems = {major: run(major, options) for major in majors}
    for major, problem in problems.items():
        sys.stdout.write(f"PostgreSQL {major}: {problem or 'passed'}\n")
    return 1 if any(problems.values()) or not problems else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
