from __future__ import annotations

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from trickle_runtime.cli import profile
from trickle_runtime.errors import InvalidConfig

PROFILES = """
config: {send_anonymous_usage_stats: false}
shop:
  target: "{{ env_var('SHOP_TARGET', 'dev') }}"
  outputs:
    dev:
      type: trickle
      host: localhost
      port: "{{ env_var('SHOP_PORT') | int }}"
      user: "{{ env_var(\\"SHOP_USER\\") }}"
      password: "it's a \\\\ {{ env_var('SHOP_SECRET', '') }}"
      dbname: shop
      schema: marts
      threads: 4
      role: owner of marts
      search_path: "a, b"
      runtime_schema: ivm
      connect_timeout: 7
    odd:
      type: trickle
      dbname: "{{ var('name') }}"
    loop: {type: trickle, dbname: "{% if true %}x{% endif %}"}
    other: {type: snowflake}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    (tmp_path / "profiles.yml").write_text(PROFILES)
    return tmp_path


ENVIRONMENT = {"SHOP_PORT": "5433", "SHOP_USER": "ann", "SHOP_SECRET": "x"}


def read(folder: Path, target: str | None = None, **environment: str) -> profile.Connection:
    where = profile.Where(folder, None, None, target)
    return profile.read(where, {**ENVIRONMENT, **environment})


def test_a_profile_becomes_a_connection_string(project: Path) -> None:
    found = read(project)
    assert found.runtime_schema == "ivm"
    assert conninfo_to_dict(found.dsn) == {
        "host": "localhost",
        "port": "5433",
        "user": "ann",
        "password": "it's a \\ x",
        "dbname": "shop",
        "connect_timeout": "7",
        "options": "-c role=owner\\ of\\ marts -c search_path=a,\\ b",
    }


def test_profiles_dir_comes_first(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("profiles")
    (folder / "profiles.yml").write_text("mine: {outputs: {default: {type: postgres, host: h}}}")
    found = profile.read(profile.Where(project, folder, "mine", None), {})
    assert conninfo_to_dict(found.dsn) == {"host": "h"}


@pytest.mark.parametrize("target", ["odd", "loop"])
def test_more_of_jinja_is_refused(project: Path, target: str) -> None:
    with pytest.raises(InvalidConfig, match="can't render") as error:
        read(project, target)
    assert "--dsn" in str(error.value.hint)


@pytest.mark.parametrize(
    ("target", "message"),
    [("nowhere", "there is no target"), ("other", "of type 'snowflake'")],
)
def test_unusable_targets(project: Path, target: str, message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        read(project, target)


def test_a_missing_variable_is_named(project: Path) -> None:
    with pytest.raises(InvalidConfig, match="SHOP_PORT is not set"):
        profile.read(profile.Where(project, None, None, None), {})


def test_missing_files_and_profiles_are_named(project: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"dbt_project\.yml"):
        read(project / "elsewhere")
    with pytest.raises(InvalidConfig, match="there is no profile 'other'"):
        profile.read(profile.Where(project, None, "other", None), {})
    (project / "profiles.yml").write_text("a: [")
    with pytest.raises(InvalidConfig, match="not valid YAML"):
        read(project)
