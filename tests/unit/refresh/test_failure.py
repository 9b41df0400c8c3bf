from __future__ import annotations

from dataclasses import asdict

import pytest

from trickle_runtime import errors
from trickle_runtime.refresh import failure
from trickle_runtime.refresh.opening import RelationsMoved
from trickle_runtime.refresh.result import RefreshResult
from trickle_runtime.refresh.settings import Settings, parse


@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "55P03", "08006", "53200", "57P01", None])
def test_transient(sqlstate):
    found = failure.classify(errors.DatabaseError("x", sqlstate=sqlstate))
    assert found.kind == failure.TRANSIENT


@pytest.mark.parametrize("sqlstate", ["22012", "23505", "42703", "42501", "55000"])
def test_permanent(sqlstate):
    found = failure.classify(errors.DatabaseError("x", sqlstate=sqlstate))
    assert (found.kind, found.code) == (failure.PERMANENT, sqlstate)


def test_sources_that_are_gone():
    assert failure.classify(errors.SourceNotFound("x")).kind == failure.GONE
    assert failure.classify(errors.RowSecurity("x")).code == "TR303"


def test_settings():
    assert parse({}) == Settings()
    found = parse({"lock_timeout": "1s", "max_consecutive_errors": " 5 ", "other": "x"})
    assert (found.lock_timeout, found.max_consecutive_errors) == ("1s", 5)
    assert not parse({"block_source_ddl": "off"}).block_source_ddl


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_settings_that_are_no_numbers(text):
    with pytest.raises(errors.InvalidConfig, match="max_consecutive_errors"):
        parse({"max_consecutive_errors": text})


@pytest.mark.parametrize(
    "error", [RelationsMoved(), errors.DatabaseError("x", sqlstate="40001"), errors.FuseBlown("x")]
)
def test_results_with_errors_become_records(error):
    record = asdict(RefreshResult("s", "FULL", status="failed", error=error))
    assert str(record["error"]) == str(error)
