"""Which user PostgreSQL runs as, and which folders that user can reach.

PostgreSQL refuses to run as root. Started by root it runs as ``nobody``; its programs are copied
once where they lie below a folder closed to others. Invariant: permissions and owners are only
ever set on files and folders made here.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trickle_runtime.errors import EmbeddedServerError

# A socket's whole path has a limit of 103 bytes on some systems; ours adds about 40.
_LONGEST_BASE = 60


@dataclass(frozen=True)
class Account:
    """The user that PostgreSQL runs as; ``None`` is whoever runs this program."""

    uid: int | None
    gid: int | None

    @classmethod
    def for_server(cls, data_dir: Path | None) -> Account:
        """Choose the account: ourselves, or for root the owner of the data, or ``nobody``."""
        if os.geteuid() != 0:
            return cls(None, None)
        if data_dir is not None and (data_dir / "PG_VERSION").exists():
            owner = data_dir.stat()
            return cls(owner.st_uid, owner.st_gid)
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            return cls(65534, 65534)
        return cls(nobody.pw_uid, nobody.pw_gid)

    def popen(
        self,
        command: Sequence[str | Path],
        *,
        home: Path,
        output: int,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a program under this account, in a session of its own (Ctrl-C is not for it)."""
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=home,
            env=_environment(home),
            start_new_session=True,
            pass_fds=pass_fds,
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
        )

    def run(self, command: Sequence[str | Path], *, home: Path) -> None:
        """Run a program under this account to its end.

        Raises:
            EmbeddedServerError: it failed; the detail has what it printed.
        """
        process = self.popen(command, home=home, output=subprocess.PIPE)
        printed, _ = process.communicate(timeout=300)
        if process.returncode != 0:
            raise EmbeddedServerError(
                f"{Path(command[0]).name} ended with exit code {process.returncode}",
                detail=printed.decode(errors="replace").strip(),
            )

    def own(self, directory: Path) -> None:
        """Give a folder that the caller has just made to this account, closed to others."""
        directory.chmod(0o700)
        if self.uid is not None and self.gid is not None:
            os.chown(directory, self.uid, self.gid)

    def temporary_base(self) -> Path:
        """Return a folder for temporary files that this account can reach, with a short name."""
        for base in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):
            short = len(str(base)) <= _LONGEST_BASE
            if base.is_dir() and short and (self.uid is None or _open_to_others(base)):
                return base
        raise EmbeddedServerError(
            "no temporary folder that PostgreSQL can use",
            detail="each of TMPDIR, /tmp and /var/tmp is missing, closed to others or too long",
        )

    def cache(self) -> Path:
        """Return our cache folder, below the temporary one."""
        directory = self.temporary_base() / f"trickle-embedded-{os.geteuid()}"
        directory.mkdir(mode=0o755, exist_ok=True)
        found = directory.lstat()
        # The name can be guessed: whoever else made it first could hand us other programs.
        if (
            not stat.S_ISDIR(found.st_mode)
            or found.st_uid != os.geteuid()
            or found.st_mode & 0o022
        ):
            raise EmbeddedServerError(
                f"{directory} belongs to someone else", hint="remove it, or set TMPDIR"
            )
        return directory

    def reachable(self, bin_directory: Path) -> Path:
        """Return ``bin_directory``, or a copy of it that this account can execute."""
        if self.uid is None or self._can_run(bin_directory):
            return bin_directory
        copy = self._copy(bin_directory.parent) / bin_directory.name
        if not self._can_run(copy):
            raise EmbeddedServerError(f"user {self.uid} can't execute {copy}/postgres")
        return copy

    def _can_run(self, bin_directory: Path) -> bool:
        try:
            self.run([bin_directory / "postgres", "--version"], home=Path("/"))
        except (OSError, EmbeddedServerError):
            return False
        return True

    def _copy(self, installation: Path) -> Path:
        """Copy a PostgreSQL and the libraries that its wheel keeps beside the package.

        The programs find those libraries by a relative path, so the copy keeps the shape.
        """
        package = installation.parent
        libraries = package.parent / f"{package.name}.libs"
        key = hashlib.sha256(f"{installation} {_made_at(installation)}".encode()).hexdigest()[:16]
        target = self.cache() / f"programs-{key}"
        copied = target / package.name / installation.name
        if target.is_dir():
            return copied
        building = Path(tempfile.mkdtemp(dir=self.cache()))
        _copy_tree(installation, building / package.name / installation.name)
        if libraries.is_dir():
            _copy_tree(libraries, building / libraries.name)
        building.chmod(0o755)
        publish(building, target)
        return copied


def publish(building: Path, target: Path) -> None:
    """Give a finished folder its name at once; another process may have been first."""
    try:
        building.rename(target)
    except OSError:
        shutil.rmtree(building, ignore_errors=True)
        if not target.is_dir():
            raise


def _copy_tree(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True)
    for path in (target.parent, target, *target.rglob("*")):
        if not path.is_symlink():
            readable = 0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644
            path.chmod(readable)


def _made_at(installation: Path) -> int:
    return (installation / "bin" / "postgres").stat().st_mtime_ns


def _open_to_others(directory: Path) -> bool:
    resolved = directory.resolve()
    return all(path.stat().st_mode & stat.S_IXOTH for path in (resolved, *resolved.parents))


def _environment(home: Path) -> Mapping[str, str]:
    """Ours without libpq's settings; the server's own connections look for files in HOME."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "HOME": str(home), "LC_ALL": "C", "TZ": "UTC"}
