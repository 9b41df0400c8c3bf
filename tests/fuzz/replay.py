"""``python -m tests.fuzz.replay FILES``: plays case files and says which still fail.

With ``--promote`` those of ``known`` that pass in every way move to ``cases``, where pytest
replays them from then on; their facts then say how they must be maintained.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from tests.fuzz import case_files
from tests.fuzz.checks import Failure
from tests.fuzz.databases import Databases, served
from tests.fuzz.play import player
from tests.fuzz.shrink import Shrinker
from tests.fuzz.steps import Case
from tests.fuzz.ways import WAYS, arranged

CASES = Path(__file__).parent / "cases"


@click.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--promote", is_flag=True, help="Move what passes to the permanent cases.")
@click.option("--shrink-seconds", type=float, default=0.0, help="Shrink what fails, in its file.")
@click.option("--pg-bin", help="PostgreSQL's bin directory.")
def main(
    files: tuple[Path, ...], promote: bool, shrink_seconds: float, pg_bin: str | None
) -> None:
    """Play case files; exit code 1 if any fails."""
    failed = 0
    with served(pg_bin) as databases:
        for file in files:
            case = case_files.load(file)
            failure, modes = play(databases, case)
            click.echo(f"{file.name}: {_said(failure) if failure else 'passes'} ({modes})")
            if failure is None:
                _promote(file, case, modes) if promote else None
                continue
            failed += 1
            if shrink_seconds:
                _shrink(databases, file, case, failure, shrink_seconds)
    sys.exit(1 if failed else 0)


def play(databases: Databases, case: Case) -> tuple[Failure | None, str]:
    """The first failure in any of the ways, and the modes of the stream tables."""
    modes: list[str] = []
    for way in WAYS[:3]:  # an unrelated transaction has never mattered alone
        with databases.database() as dsn, player(dsn, arranged(case, way)) as playing:
            failures = playing.play(until_failure=True)
            modes = sorted({info.effective_mode for info in playing.created.values()})
            if failures:
                return failures[0], " ".join(modes)
    return None, " ".join(modes)


def _said(failure: Failure) -> str:
    return f"{failure.kind}: {failure.message.splitlines()[0][:160]}"


def _promote(file: Path, case: Case, modes: str) -> None:
    facts = {k: v for k, v in case.facts.items() if k != "fails"}
    name = file.stem.partition("_")[2]
    path = case_files.next_path(CASES, name)
    mode = {} if " " in modes else {"mode": modes}
    case_files.save(path, replace(case, facts={**facts, **mode}))
    file.unlink()


def _shrink(
    databases: Databases, file: Path, case: Case, failure: Failure, seconds: float
) -> None:
    found = Shrinker(databases, failure, seconds).shrink(case)
    if found is not None:
        case_files.save(file, replace(found[0], facts=case.facts))


if __name__ == "__main__":
    main()
