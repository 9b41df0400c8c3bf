"""The runtime stands alone: no module of it needs dbt or dbt's driver."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMPORT_ALL = """
import importlib, pkgutil, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"dbt", "dbt_common", "psycopg2", "agate", "jinja2"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
import trickle_runtime

for module in pkgutil.walk_packages(trickle_runtime.__path__, "trickle_runtime."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


def test_every_module_is_imported_without_dbt() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
