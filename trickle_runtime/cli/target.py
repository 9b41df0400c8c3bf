"""Where to connect: ``--dsn``, a dbt profile, or libpq's environment, in this order.

Invariant: nothing is read or opened before a command asks for it, so ``--help`` never fails.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from trickle_runtime.cli import profile
from trickle_runtime.config import Schemas
from trickle_runtime.errors import InvalidConfig

if TYPE_CHECKING:
    from trickle_runtime.api import Runtime


@dataclass(frozen=True)
class Target:
    """The connection that the options of the command line describe."""

    given_dsn: str | None
    where: profile.Where | None
    prefix: str | None

    @classmethod
    def from_options(
        cls,
        dsn: str | None,
        project_dir: str | None,
        profiles_dir: str | None,
        profile: str | None,
        target: str | None,
        runtime_schema: str | None,
    ) -> Target:
        """Make a target of the options as click hands them over."""
        return cls(dsn, _where(project_dir, profiles_dir, profile, target), runtime_schema)

    @cached_property
    def _profile(self) -> profile.Connection | None:
        if self.given_dsn is not None or self.where is None:
            return None
        return profile.read(self.where, os.environ)

    @property
    def dsn(self) -> str:
        """The connection string; empty where libpq's environment says it all."""
        if self.given_dsn is not None:
            return self.given_dsn
        return self._profile.dsn if self._profile else ""

    @property
    def schemas(self) -> Schemas:
        """The names of the runtime's schemas."""
        from_profile = self._profile.runtime_schema if self._profile else None
        return Schemas(self.prefix or from_profile or Schemas().prefix)

    @contextmanager
    def runtime(self, *, installed: bool = True) -> Generator[Runtime]:
        """Connect, and close at the end.

        Raises:
            ConnectionFailed: there is no connection to be had.
            NotInstalled, VersionMismatch: ``installed`` is wanted, and the catalog does not fit.
        """
        from trickle_runtime import api  # costs 0.3 s, which --help need not pay
        from trickle_runtime.catalog import migrate

        with api.connect(self.dsn, schemas=self.schemas) as runtime:
            if installed:
                migrate.check(runtime.session, runtime.schemas)
            yield runtime


def _where(
    project_dir: str | None, profiles_dir: str | None, name: str | None, target: str | None
) -> profile.Where | None:
    if project_dir is None and name is None:
        if target is not None:
            raise InvalidConfig("--target needs --project-dir or --profile")
        return None
    return profile.Where(
        project_dir=Path(project_dir or "."),
        profiles_dir=Path(profiles_dir) if profiles_dir else None,
        profile=name,
        target=target,
    )
