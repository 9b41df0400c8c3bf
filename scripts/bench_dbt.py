"""What an unchanged ``dbt run`` costs: stream tables beside the same project as views.

    python scripts/bench_dbt.py --models 100 --rounds 5

Both projects are in one private PostgreSQL, and their runs take turns, so that a busy machine is
busy for both. Invariant: exit code 0 only if every measured run was of unchanged models, and
stream tables cost at most ``--limit`` times what views cost.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from psycopg import conninfo

from trickle_runtime.embedded import Server

SOURCES = 10
MODEL = """select id % 10 as part, count(*) as n, sum(value) as total
from {{{{ ref('numbers_{source}') }}}} group by 1
"""
PROJECT = """name: {name}
version: "1.0"
profile: bench
flags: {{send_anonymous_usage_stats: false}}
models: {{+materialized: {materialized}}}
"""
DBT = os.path.join(os.path.dirname(sys.executable), "dbt")


def write_project(folder: Path, materialized: str, models: int, target: dict[str, object]) -> None:
    """Write a project of ``models`` models over a few seeds."""
    for name in ("models", "seeds"):
        (folder / name).mkdir(parents=True)
    rows = "".join(f"{n},{n * 7 % 100}\n" for n in range(1, 101))
    for source in range(SOURCES):
        (folder / "seeds" / f"numbers_{source}.csv").write_text(f"id,value\n{rows}")
    for number in range(models):
        text = MODEL.format(source=number % SOURCES)
        (folder / "models" / f"model_{number}.sql").write_text(text)
    (folder / "dbt_project.yml").write_text(
        PROJECT.format(name=folder.name, materialized=materialized)
    )
    profile = {"bench": {"target": "dev", "outputs": {"dev": {**target, "schema": folder.name}}}}
    (folder / "profiles.yml").write_text(json.dumps(profile))


def dbt(folder: Path, *arguments: str) -> float:
    """Run dbt as a user does; return the seconds."""
    started = time.perf_counter()
    done = subprocess.run(
        [DBT, *arguments, "--profiles-dir", "."], cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return time.perf_counter() - started


def unchanged(folder: Path) -> bool:
    """Whether the last run found every stream table unchanged."""
    results = json.loads((folder / "target" / "run_results.json").read_text())["results"]
    return {one["message"] for one in results} == {"STREAM TABLE unchanged"}


def execution(folder: Path) -> float:
    """Return the seconds that the last run spent on models, over its threads."""
    results = json.loads((folder / "target" / "run_results.json").read_text())["results"]
    return sum(one["execution_time"] for one in results)


def measure(options: argparse.Namespace, root: Path, target: dict[str, object]) -> int:
    """Measure both, print the medians, and return the exit code."""
    folders = {"view": root / "views", "stream_table": root / "stream_tables"}
    for materialized, folder in folders.items():
        write_project(folder, materialized, options.models, target)
        dbt(folder, "seed")
        dbt(folder, "run")
    wall: dict[str, list[float]] = {name: [] for name in folders}
    inside: dict[str, list[float]] = {name: [] for name in folders}
    for _ in range(options.rounds):
        for materialized, folder in folders.items():
            wall[materialized].append(dbt(folder, "run"))
            inside[materialized].append(execution(folder))
        if not unchanged(folders["stream_table"]):
            raise SystemExit("a stream table was not unchanged")
    for name in folders:
        sys.stdout.write(
            f"{options.models} models as {name}: {median(wall[name]):.2f} s"
            f" ({min(wall[name]):.2f} to {max(wall[name]):.2f}),"
            f" in models {1000 * median(inside[name]) / options.models:.0f} ms each\n"
        )
    ratio = median(wall["stream_table"]) / median(wall["view"])
    models = median(inside["stream_table"]) / median(inside["view"])
    sys.stdout.write(f"ratio {ratio:.2f} (in models {models:.2f}), limit {options.limit}\n")
    return 0 if ratio <= options.limit else 1


def main() -> int:
    """Start a server and measure."""
    parser = argparse.ArgumentParser(description="dbt run over unchanged stream tables and views.")
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--limit", type=float, default=1.5)
    options = parser.parse_args()
    with Server() as server, tempfile.TemporaryDirectory(prefix="trickle-bench-") as root:
        parts = conninfo.conninfo_to_dict(server.dsn())
        target: dict[str, object] = {
            "type": "trickle",
            "threads": options.threads,
            "host": parts["host"],
            "port": int(parts["port"] or 5432),
            "user": parts["user"],
            "pass": "unused",
            "dbname": parts["dbname"],
        }
        return measure(options, Path(root), target)


if __name__ == "__main__":
    raise SystemExit(main())
