from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("dbt/adapters/trickle", "dbt/include/trickle", "trickle_runtime")
# dbt-core and dbt-adapters own these: a second copy would hide every other adapter.
FORBIDDEN = ("dbt/__init__.py", "dbt/adapters/__init__.py", "dbt/include/__init__.py")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """The names of the files in the wheel, built with the installed backend: no network."""
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = target.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return frozenset(archive.namelist())


def test_wheel_holds_every_file_of_the_three_folders(wheel: frozenset[str]) -> None:
    in_tree = {
        path.relative_to(ROOT).as_posix()
        for folder in SHIPPED
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert in_tree <= wheel


def test_wheel_holds_nothing_else(wheel: frozenset[str]) -> None:
    others = {name for name in wheel if not name.startswith(tuple(f"{f}/" for f in SHIPPED))}
    assert {name.split("/")[0].rsplit(".", 1)[-1] for name in others} == {"dist-info"}


@pytest.mark.parametrize(
    "wanted",
    [
        "trickle_runtime/py.typed",
        "trickle_runtime/demo/project/dbt_project.yml",
        "trickle_runtime/demo/project/models/marts/order_totals.sql",
        "trickle_runtime/catalog/migrations/0001_initial.sql",
        "trickle_runtime/catalog/queries.sql",
        "dbt/adapters/trickle/__version__.py",
        "dbt/include/trickle/dbt_project.yml",
        "dbt/include/trickle/macros/materializations/stream_table.sql",
    ],
)
def test_wheel_holds_what_is_read_at_run_time(wheel: frozenset[str], wanted: str) -> None:
    assert wanted in wheel


@pytest.mark.parametrize("forbidden", FORBIDDEN)
def test_no_init_file_of_dbt_is_made_or_shipped(wheel: frozenset[str], forbidden: str) -> None:
    assert forbidden not in wheel
    assert not (ROOT / forbidden).exists()
