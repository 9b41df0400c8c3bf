from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from types import ModuleType
from unittest.mock import MagicMock, create_autospec

import pytest
from click.testing import CliRunner, Result

from trickle_runtime import api, cli, errors
from trickle_runtime.api import Runtime
from trickle_runtime.catalog import migrate
from trickle_runtime.config import Schemas
from trickle_runtime.refresh.result import RefreshResult


@dataclass(frozen=True)
class Check:
    check_name: str
    result: str
    severity: str


class Harness:
    """The command line over a runtime that only records."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runtime: MagicMock = create_autospec(Runtime, instance=True)
        self.runtime.session, self.runtime.schemas = object(), Schemas()
        self.connections: list[tuple[str, Schemas]] = []
        self.refusal: errors.TrickleError | None = None
        monkeypatch.setattr(api, "connect", self._connect)
        monkeypatch.setattr(migrate, "check", lambda *_: None)

    @contextmanager
    def _connect(self, dsn: str, *, schemas: Schemas) -> Iterator[MagicMock]:
        if self.refusal:
            raise self.refusal
        self.connections.append((dsn, schemas))
        yield self.runtime

    def run(self, *args: str, input: str | None = None, **env: str) -> Result:
        return CliRunner().invoke(cli.cli, args, input=input, env=env)


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Harness:
    for name in ("TRICKLE_DSN", "DBT_PROFILES_DIR", "TRICKLE_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return Harness(monkeypatch)


def test_every_command_has_help(harness: Harness) -> None:
    for name in cli.COMMANDS:
        if name in {"demo", "bench"}:
            continue  # they parse their own arguments
        result = harness.run(name, "--help")
        assert result.exit_code == 0, name
        assert result.stdout.startswith("Usage: cli " + name)
    assert harness.connections == []


def test_an_error_has_code_detail_and_hint(harness: Harness) -> None:
    harness.runtime.repair.side_effect = errors.StreamTableNotFound(
        'there is no stream table "x"', "Searched in public.", "See trickle-runtime status."
    )
    result = harness.run("repair", "x")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        'error[TR203]: there is no stream table "x"\n'
        "  detail: Searched in public.\n"
        "  hint: See trickle-runtime status.\n"
    )


def test_debug_raises(harness: Harness) -> None:
    harness.runtime.repair.side_effect = errors.StreamTableNotFound("gone")
    result = harness.run("--debug", "repair", "x")
    assert isinstance(result.exception, errors.StreamTableNotFound)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidConfig("bad"), 2),
        (errors.ConnectionFailed("refused"), 3),
        (errors.DatabaseError("boom", sqlstate="XX000"), 1),
    ],
)
def test_exit_codes(harness: Harness, error: errors.TrickleError, code: int) -> None:
    harness.refusal = error
    assert harness.run("status").exit_code == code


@pytest.mark.parametrize(
    "args",
    [
        ("nonsense",),
        ("refresh",),
        ("refresh", "--all", "x"),
        ("refresh", "--all", "--mode", "full"),
        ("alter", "x"),
        ("explain",),
        ("verify",),
        ("verify", "--all", "x"),
        ("create", "x"),
        ("history", "x", "--limit", "0"),
        ("fuse", "reset", "x", "--action", "explode"),
        ("--target", "prod", "status"),
        ("serve", "--timezone", "Europe/Atlantis"),
    ],
)
def test_wrong_use_is_2(harness: Harness, args: tuple[str, ...]) -> None:
    assert harness.run(*args).exit_code == 2
    assert harness.connections == []


def test_connection_options(harness: Harness) -> None:
    harness.runtime.status.return_value = []
    harness.run("--dsn", "dbname=a", "--runtime-schema", "ivm", "status")
    harness.run("status", TRICKLE_DSN="dbname=b")
    harness.run("status")
    assert harness.connections == [
        ("dbname=a", Schemas("ivm")),
        ("dbname=b", Schemas()),
        ("", Schemas()),
    ]


def test_options_come_from_the_environment(harness: Harness) -> None:
    harness.runtime.history.return_value = []
    harness.run("history", "x", TRICKLE_HISTORY_LIMIT="7")
    harness.runtime.history.assert_called_once_with("x", limit=7)


def test_json_is_one_document(harness: Harness) -> None:
    harness.runtime.cleanup.return_value = 3
    assert json.loads(harness.run("cleanup", "--json").stdout) == {"deleted": 3}


def test_json_of_times(harness: Harness) -> None:
    at = datetime(2026, 11, 22, tzinfo=timezone.utc)
    harness.runtime.diagnose_errors.return_value = [{"event_time": at, "remediation": None}]
    found = json.loads(harness.run("diagnose", "x", "--json").stdout)
    assert found == [{"event_time": "2026-11-22T00:00:00+00:00", "remediation": None}]


def test_plain_tables_are_aligned_and_one_line_a_row(harness: Harness) -> None:
    harness.runtime.validate_query.return_value = [
        Check("resolved_refresh_mode", "differential", "INFO"),
        Check("x", "two\nlines", "WARNING"),
    ]
    result = harness.run("validate", "--query-file", "-", input="select 1")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "check_name             result        severity",
        "resolved_refresh_mode  differential  INFO",
        "x                      two lines     WARNING",
    ]
    harness.runtime.validate_query.assert_called_once_with("select 1")


def test_nothing_is_said_on_stderr(harness: Harness) -> None:
    harness.runtime.history.return_value = []
    result = harness.run("history", "x")
    assert (result.stdout, result.stderr) == ("", "none\n")


def test_validate_of_a_wrong_query_is_a_problem(harness: Harness) -> None:
    harness.runtime.validate_query.return_value = [Check("error", "no such table", "ERROR")]
    assert harness.run("validate", "--query-file", "-", input="select").exit_code == 1


def test_create_passes_only_what_was_given(harness: Harness) -> None:
    harness.runtime.create_stream_table.return_value = {"name": "marts.x"}
    result = harness.run(
        "create", "marts.x", "--query-file", "-", "--schedule", "5m", "--unique-key", "a, b",
        "--no-initialize", input="select 1",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    harness.runtime.create_stream_table.assert_called_once_with(
        "marts.x", "select 1", schedule="5m", unique_key=["a", "b"], initialize=False
    )


def test_alter_passes_only_what_was_given(harness: Harness) -> None:
    harness.runtime.alter_stream_table.return_value = {"action": "altered"}
    assert harness.run("alter", "marts.x", "--tier", "cold", "--fuse-ceiling", "10").exit_code == 0
    harness.runtime.alter_stream_table.assert_called_once_with(
        "marts.x", tier="cold", fuse_ceiling=10
    )


@pytest.mark.parametrize(("status", "code"), [("completed", 0), ("skipped", 0), ("failed", 1)])
def test_refresh_tells_failures(harness: Harness, status: str, code: int) -> None:
    harness.runtime.refresh_all.return_value = [RefreshResult("x", "FULL", status=status)]
    assert harness.run("refresh", "--all").exit_code == code


def test_refresh_goes_on_after_a_failure(harness: Harness) -> None:
    done = RefreshResult("b", "DIFFERENTIAL")
    harness.runtime.refresh.side_effect = [errors.FuseBlown("blown", hint="Reset it."), done]
    result = harness.run("refresh", "a", "b", "--json")
    assert result.exit_code == 1
    assert [one["name"] for one in json.loads(result.stdout)] == ["b"]
    assert result.stderr == "error[TR401]: blown\n  hint: Reset it.\n"


def test_fuse_reset(harness: Harness) -> None:
    assert harness.run("fuse", "reset", "x", "--action", "skip_changes").exit_code == 0
    harness.runtime.reset_fuse.assert_called_once_with("x", action="skip_changes")


def test_uninstall_asks(harness: Harness) -> None:
    assert harness.run("uninstall", input="n\n").exit_code == 1
    harness.runtime.uninstall.assert_not_called()
    assert harness.run("uninstall", "--yes").exit_code == 0
    harness.runtime.uninstall.assert_called_once_with()


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_pause_and_resume(harness: Harness, verb: str) -> None:
    result = harness.run(verb, "marts.x")
    assert result.exit_code == 0
    assert result.stderr == f"{verb}d marts.x\n"
    getattr(harness.runtime, verb).assert_called_once_with("marts.x")


@pytest.mark.parametrize("name", ["demo", "bench"])
def test_some_commands_parse_their_own_arguments(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    module = ModuleType(f"trickle_runtime.{name}")
    module.main = main = MagicMock(return_value=1)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert harness.run(name, "refresh", "--scale", "1", "--help").exit_code == 1
    main.assert_called_once_with(["refresh", "--scale", "1", "--help"])
    assert harness.connections == []
