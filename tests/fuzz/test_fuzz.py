"""The random-query oracle with a fixed seed, and every failure that it once found.

A failure here is investigated with ``make fuzz``; what it shrinks becomes a file in ``cases``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.fix_server import TestServer
from tests.fuzz import case_files
from tests.fuzz.databases import Databases
from tests.fuzz.play import player
from tests.fuzz.ways import WAYS, arranged
from tests.fuzz.world_run import run_world
from tests.fuzz.worlds import Plan

FOLDER = Path(__file__).parent / "cases"
SEED = "ci2"
WORLDS = 12  # about a minute on two cores


@pytest.fixture(scope="session")
def fuzz_databases(server: TestServer) -> Iterator[Databases]:
    databases = Databases(server)
    yield databases
    databases.close()


@pytest.mark.parametrize("number", range(WORLDS))
def test_world(number: int, fuzz_databases: Databases) -> None:
    report = run_world(fuzz_databases, Plan(SEED), number)
    assert report.counts["queries"] > 0
    assert report.counts["refresh comparisons"] > 0
    problems = [(found.kind, found.message, case) for found, case in report.failures]
    assert not problems


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "file", [pytest.param(f, id=f.stem) for f in sorted(FOLDER.glob("*.yml"))]
)
def test_case(file: Path, way: str, database: str) -> None:
    case = case_files.load(file)
    with ExitStack() as stack:
        if way == "open":
            stack.enter_context(_unrelated(database))
        playing = stack.enter_context(player(database, arranged(case, way)))
        assert not playing.play()
        assert playing.created.keys() == case.streams.keys()
        wanted = case.facts.get("mode")
        modes = {info.effective_mode for info in playing.created.values()}
        assert wanted is None or modes == {wanted}


def test_same_seed_same_world(fuzz_databases: Databases) -> None:
    first, second = (run_world(fuzz_databases, Plan("same", 3, 2), 7) for _ in range(2))
    assert first.counts == second.counts
    assert first.reasons == second.reasons


def _unrelated(dsn: str) -> psycopg.Connection[Any]:
    """A transaction that stays open; it ends with its connection."""
    connection = psycopg.connect(dsn)
    connection.execute("CREATE TABLE unrelated (x int)")
    connection.execute("INSERT INTO unrelated VALUES (1)")
    return connection
