"""The dbt project of the demo, built by a real ``dbt build``.

Invariant: nothing is written into the project's folder; target and logs go to a temporary one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from trickle_runtime import errors

SCHEMA = "shop"
FUSED = "supplier_revenue"

# Of dbt's lines, after the time of day: results of models, failures, totals.
_WORTH_SHOWING = re.compile(r"\d+ of \d+ (OK created|ERROR|FAIL).*|(Finished running|Done\.).*")
_PACKAGE = Path(__file__).parent
# Inside an installed wheel, and in a checkout.
_PLACES = (_PACKAGE / "project", _PACKAGE.parents[1] / "integration_tests")


def find(chosen: Path | None) -> Path:
    """Return the folder of the dbt project."""
    for place in (chosen,) if chosen else _PLACES:
        if (place / "dbt_project.yml").is_file():
            return place
    raise errors.TrickleError(
        "the demo's dbt project is not here", hint="name its folder with --project"
    )


def build(
    project: Path,
    server: Mapping[str, str],
    variables: Mapping[str, object],
    folder: Path,
    say: Callable[[str], None],
) -> None:
    """Run ``dbt build``; ``say`` gets one line per finished model and the totals.

    Raises:
        TrickleError: it ended with an error; the detail has all that it printed.
    """
    command = [
        sys.executable, "-m", "dbt.cli.main", "--no-use-colors", "build",
        "--project-dir", str(project), "--profiles-dir", str(project),
        "--target-path", str(folder / "target"), "--log-path", str(folder / "logs"),
        "--vars", json.dumps(variables),
    ]  # fmt: skip
    environment = {
        **os.environ,
        **server,
        "TRICKLE_SHOP_SCHEMA": SCHEMA,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as dbt:
        printed: list[str] = []
        for line in dbt.stdout or ():
            printed.append(line.rstrip())
            if (shown := _WORTH_SHOWING.search(line)) is not None:
                say(shown.group().strip())
    if dbt.returncode != 0:
        raise errors.TrickleError(
            f"dbt build ended with exit code {dbt.returncode}", detail="\n".join(printed)
        )
