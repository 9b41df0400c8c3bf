"""Install, upgrade, check and remove the catalog.

Numbered files in ``migrations`` are the only source of the schema; they go forward only and are
recorded in ``pgt_migrations``. What is missing is applied in one transaction under an advisory
lock, so two sessions may install at the same time, no other session sees a version in between,
and an interrupted run leaves nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

from trickle_runtime import errors
from trickle_runtime.config import Schemas
from trickle_runtime.db import sql
from trickle_runtime.db.session import Session

_FILE = re.compile(r"(\d{4})_(\w+)\.sql")
_QUERIES = "catalog/migrate.sql"


@dataclass(frozen=True)
class Migration:
    """A numbered file."""

    number: int
    name: str
    file: str


@cache
def migrations() -> tuple[Migration, ...]:
    """Return the package's migrations in order; their numbers have no gap."""
    folder = resources.files("trickle_runtime").joinpath("catalog/migrations")
    matches = [m for file in folder.iterdir() if (m := _FILE.fullmatch(file.name))]
    found = tuple(
        Migration(int(m[1]), m[2], f"catalog/migrations/{m[0]}")
        for m in sorted(matches, key=lambda m: m[0])
    )
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise errors.InternalError(f"migrations are not numbered without gaps: {found}")
    return found


def install(session: Session, schemas: Schemas) -> int:
    """Create what is missing, up to this program's version; return how many files were applied.

    Commits. The role needs CREATE on the database, or must own the three schemas.
    """
    queries = sql.load_queries(_QUERIES, schemas)
    session.execute(queries["lock"], {"key": schemas.prefix})
    for name in (schemas.catalog, schemas.changes, schemas.state):
        if not session.execute(queries["has_schema"], {"schema": name})[0]["present"]:
            session.execute(sql.render(queries["create_schema"], schema=sql.quote_ident(name)))
    session.execute(queries["create_migrations"])
    return _apply_missing(session, schemas)


def upgrade(session: Session, schemas: Schemas) -> int:
    """Bring an installed catalog to this program's version; return how many files were applied.

    Commits.

    Raises:
        NotInstalled: there is nothing to upgrade.
        VersionMismatch: the catalog is newer than this program.
    """
    _installed(session, schemas)
    return _apply_missing(session, schemas)


def check(session: Session, schemas: Schemas) -> None:
    """Make sure that the catalog fits this program; one round trip, in the open transaction.

    Raises:
        NotInstalled: there is no catalog.
        VersionMismatch: the catalog is older or newer than this program.
    """
    installed = _installed(session, schemas)
    if installed < len(migrations()):
        raise errors.VersionMismatch(
            f"the catalog has version {installed}, this program needs {len(migrations())}",
            hint="Run trickle-runtime upgrade.",
        )


def uninstall(session: Session, schemas: Schemas) -> None:
    """Remove every trace from the sources, then our schemas; stream tables stay as plain tables.

    Commits after each source, so that no two sources are locked at once; can be repeated.
    """
    queries = sql.load_queries(_QUERIES, schemas)
    for row in session.execute(queries["captured"], {"schema": schemas.changes}):
        session.execute(queries["drop_functions"], {"relid": row["relid"]})
        session.commit()
    names = (schemas.state, schemas.changes, schemas.catalog)
    for name in names:
        if session.execute(queries["has_schema"], {"schema": name})[0]["present"]:
            session.execute(sql.render(queries["drop_schema"], schema=sql.quote_ident(name)))
    session.commit()


def _installed(session: Session, schemas: Schemas) -> int:
    """Return the catalog's version, which is never above this program's."""
    queries = sql.load_queries(_QUERIES, schemas)
    # to_regclass() fails, instead of answering no, on a schema that we may not use.
    if not session.execute(queries["is_installed"], {"schema": schemas.catalog})[0]["present"]:
        raise errors.NotInstalled(
            f"there is no catalog in schema {schemas.catalog}",
            hint="Run trickle-runtime install.",
        )
    installed = int(session.execute(queries["version"])[0]["version"])
    if installed > len(migrations()):
        raise errors.VersionMismatch(
            f"the catalog has version {installed}, this program knows {len(migrations())}",
            hint="Install a newer dbt-trickle.",
        )
    return installed


def _apply_missing(session: Session, schemas: Schemas) -> int:
    """Apply what is not recorded, and commit."""
    queries = sql.load_queries(_QUERIES, schemas)
    session.execute(queries["lock"], {"key": schemas.prefix})
    missing = migrations()[_installed(session, schemas) :]
    for migration in missing:
        session.execute(sql.load_text(migration.file, schemas))
        session.execute(queries["record"], {"number": migration.number, "name": migration.name})
    session.commit()
    return len(missing)
