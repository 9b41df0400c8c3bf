"""The connection of a dbt project, read from ``dbt_project.yml`` and ``profiles.yml``.

Invariant: dbt is not imported. Of dbt's Jinja only ``env_var('NAME')`` and
``env_var('NAME', 'default')`` with the filters ``int``, ``as_number``, ``as_bool``, ``as_native``
and ``as_text`` are understood; anything else is refused by name, never passed on unrendered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from trickle_runtime.errors import InvalidConfig

_EXPRESSION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_ENV_VAR = re.compile(
    r"""\s*env_var\(\s*(?P<q>["'])(?P<name>\w+)(?P=q)\s*
    (?:,\s*(?:(?P<p>["'])(?P<default>.*?)(?P=p)|(?P<number>-?\d+))\s*)?\)\s*
    (?:\|\s*(?:int|as_number|as_bool|as_native|as_text)\s*)*""",
    re.VERBOSE,
)
# dbt-postgres' keys and their libpq names
_LIBPQ = {
    "host": "host",
    "port": "port",
    "user": "user",
    "password": "password",
    "pass": "password",
    "dbname": "dbname",
    "database": "dbname",
    "connect_timeout": "connect_timeout",
    "keepalives_idle": "keepalives_idle",
    "sslmode": "sslmode",
    "sslcert": "sslcert",
    "sslkey": "sslkey",
    "sslrootcert": "sslrootcert",
}
_SETTINGS = ("role", "search_path")


@dataclass(frozen=True)
class Where:
    """Which profile: the project's, unless a profile is named."""

    project_dir: Path
    profiles_dir: Path | None
    profile: str | None
    target: str | None


@dataclass(frozen=True)
class Connection:
    """What a profile says about the connection."""

    dsn: str
    runtime_schema: str | None


def read(where: Where, environment: Mapping[str, str]) -> Connection:
    """Return the connection of the profile.

    Raises:
        InvalidConfig: for a missing file, profile, target or variable, and for Jinja beyond
            ``env_var``.
    """
    name = where.profile or _project_profile(where.project_dir, environment)
    profiles = _load(_profiles_file(where))
    profile = _entry(profiles, name, "profile")
    target = where.target or render(profile.get("target", "default"), environment, "target")
    output = _entry(_mapping(profile.get("outputs")), str(target), f"target of profile {name!r}")
    return _connection(output, environment)


def render(value: object, environment: Mapping[str, str], key: str) -> object:
    """Return ``value`` with its ``env_var`` calls replaced."""
    if not isinstance(value, str):
        return value
    text = _EXPRESSION.sub(lambda match: _variable(match[1], environment, key), value)
    if "{%" in value:
        raise _unsupported(key, value)
    return text


def _variable(expression: str, environment: Mapping[str, str], key: str) -> str:
    match = _ENV_VAR.fullmatch(expression)
    if match is None:
        raise _unsupported(key, expression.strip())
    found: dict[str, str | None] = match.groupdict()
    default = found["number"] if found["default"] is None else found["default"]
    value = environment.get(match["name"], default)
    if value is None:
        raise InvalidConfig(f"environment variable {match['name']} is not set", f"Key {key!r}.")
    return value


def _unsupported(key: str, text: str) -> InvalidConfig:
    return InvalidConfig(
        f"can't render the profile's key {key!r}",
        f"Only env_var() is understood outside dbt, not: {text}",
        "Give the connection with --dsn, or use env_var() in the profile.",
    )


def _connection(output: Mapping[str, Any], environment: Mapping[str, str]) -> Connection:
    used = {key: output[key] for key in (*_LIBPQ, *_SETTINGS, "type", "runtime_schema")
            if output.get(key) not in (None, "")}  # fmt: skip
    values = {key: str(render(value, environment, key)) for key, value in used.items()}
    if values.get("type") not in {"trickle", "postgres"}:
        raise InvalidConfig(f"the profile is of type {values.get('type')!r}, not 'trickle'")
    parts = {_LIBPQ[key]: value for key, value in values.items() if key in _LIBPQ}
    settings = [_setting(key, values[key]) for key in _SETTINGS if key in values]
    if settings:
        parts["options"] = " ".join(settings)
    return Connection(" ".join(map(_pair, parts.items())), values.get("runtime_schema"))


def _setting(name: str, value: str) -> str:
    escaped = re.sub(r"([\\\s])", r"\\\1", value)
    return f"-c {name}={escaped}"


def _pair(item: tuple[str, str]) -> str:
    name, value = item
    escaped = re.sub(r"(['\\])", r"\\\1", value)
    return f"{name}='{escaped}'"


def _project_profile(folder: Path, environment: Mapping[str, str]) -> str:
    project = _load(folder / "dbt_project.yml")
    name = render(project.get("profile"), environment, "profile")
    if not name:
        raise InvalidConfig(
            f"{folder / 'dbt_project.yml'} names no profile", hint="Use --profile."
        )
    return str(name)


def _profiles_file(where: Where) -> Path:
    folders = [where.profiles_dir] if where.profiles_dir else [where.project_dir, Path("~/.dbt")]
    files = [folder.expanduser() / "profiles.yml" for folder in folders]
    return next((file for file in files if file.is_file()), files[-1])


def _load(file: Path) -> Mapping[str, Any]:
    try:
        return _mapping(yaml.safe_load(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise InvalidConfig(f"can't read {file}", error.strerror) from error
    except yaml.YAMLError as error:
        raise InvalidConfig(f"{file} is not valid YAML", str(error)) from error


def _entry(among: Mapping[str, Any], name: str, what: str) -> Mapping[str, Any]:
    if name not in among:
        known = ", ".join(key for key in among if key != "config") or "none"
        raise InvalidConfig(f"there is no {what} {name!r}", f"There are: {known}.")
    return _mapping(among[name])


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}
