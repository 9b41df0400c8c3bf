"""Ctrl-C during a long first fill: nothing is blocked, and the next run goes on from there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from dbt.adapters.trickle import watching
from tests.functional import observe

GATE = 4712
SLOW = """
{{ config(materialized='stream_table') }}
select id, value from {{ ref('numbers') }} where {{ target.schema }}.blocked(id) is not null
"""
OTHER = "{{ config(materialized='stream_table') }} select id from {{ ref('numbers') }}"
QUERY = "select id, value from {schema}.numbers"
# It asks again and again: whoever waits for a lock is sent away by the lock_timeout of a fill.
FUNCTION = f"""
create or replace function {{schema}}.blocked(int) returns int immutable language plpgsql as
'begin
  while not pg_try_advisory_xact_lock_shared({GATE}) loop perform pg_sleep(0.02); end loop;
  return 1;
end'
"""


class TestInterrupted:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,value\n1,10\n2,20\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"slow.sql": SLOW, "other.sql": OTHER}

    @pytest.fixture(autouse=True)
    def built(self, project: Any) -> None:
        observe.execute(project, "drop table if exists {schema}.slow cascade")
        observe.run("seed", "--full-refresh")
        observe.execute(project, FUNCTION)
        observe.run("run", "--select", "other")

    @pytest.fixture
    def holder(self, project: Any) -> Iterator[psycopg.Connection[Any]]:
        """A session that keeps the fill waiting until it is closed."""
        with observe.connect(project) as connection:
            connection.execute(f"select pg_advisory_lock({GATE})")
            yield connection

    @staticmethod
    def start(project: Any) -> subprocess.Popen[str]:
        """A dbt of its own, as a user has in a terminal."""
        command = [os.path.join(os.path.dirname(sys.executable), "dbt"), "run", "--select", "slow"]
        folders = ["--project-dir", str(project.project_root)]
        folders += ["--profiles-dir", str(project.profiles_dir)]
        return subprocess.Popen(
            [*command, *folders],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # Tests that a script started in the background would hand on that it is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    @pytest.mark.parametrize("told", [False, pytest.param(True, marks=pytest.mark.slow)])
    def test_cancelled_and_resumed(
        self,
        project: Any,
        holder: psycopg.Connection[Any],
        wait_until: Callable[..., object],
        told: bool,
    ) -> None:
        """Before or after progress was told, on a connection that is open by then."""
        process = self.start(project)
        phases = "select phase from pgtrickle.fill_progress()"
        wait_until(lambda: observe.rows(project, phases) == [("filling",)], timeout=60)
        observe.execute(project, "insert into {schema}.numbers values (3, 30)")
        if told:
            assert process.stdout is not None
            assert any("Filling " in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode != 0, output
        wait_until(lambda: observe.rows(project, phases) == [("interrupted",)], timeout=60)
        observe.execute(project, "insert into {schema}.numbers values (4, 40)")
        assert observe.setting(project, "slow", "status") == "initializing"

        holder.close()
        messages = observe.run("run")
        assert messages["slow"] == "STREAM TABLE created, resumed"
        assert observe.difference(project, "slow", QUERY) == []
        observe.execute(project, "insert into {schema}.numbers values (5, 50)")
        assert observe.run("run")["slow"].startswith("STREAM TABLE refreshed +1 -0")
        assert observe.orphans(project) == []

    @staticmethod
    def listen(monkeypatch: pytest.MonkeyPatch, holder: psycopg.Connection[Any]) -> list[str]:
        """What is told of progress; the first telling lets the work go on."""
        told: list[str] = []

        def tell(text: str) -> None:
            if text.startswith(("Filling", "Refreshing", "Altering", "Rebuilding")):
                told.append(text)
                holder.close()

        monkeypatch.setattr(watching, "EVERY_S", 0.05)
        monkeypatch.setattr(watching.logger, "info", tell)
        return told

    def test_progress_is_shown(
        self,
        project: Any,
        holder: psycopg.Connection[Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        told = self.listen(monkeypatch, holder)
        assert observe.run("run", "--select", "slow")["slow"] == "STREAM TABLE created"
        expected = rf"Filling {project.test_schema}\.slow: \d+ s, 0\.0 MB written"
        assert re.match(expected, told[0])

    def test_so_is_the_time_of_what_comes_later(
        self, project: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Others do not see its rows before its commit, so only how long it takes."""
        observe.run("run", "--select", "slow")
        edited = SLOW.replace("select id, value", "select id, value + 1 as value")
        for number, (word, text, *flags) in enumerate(
            (
                ("Refreshing", SLOW),
                ("Altering", edited),
                ("Rebuilding", edited, "--full-refresh"),
            )
        ):
            observe.write_model(project, "slow", text)
            observe.execute(project, f"insert into {{schema}}.numbers values ({number + 7}, 1)")
            with observe.connect(project) as holder:
                holder.execute(f"select pg_advisory_lock({GATE})")
                told = self.listen(monkeypatch, holder)
                observe.run("run", "--select", "slow", *flags)
            assert re.fullmatch(rf"{word} {project.test_schema}\.slow: \d+ s", told[0])
        observe.write_model(project, "slow", SLOW)
        query = QUERY.replace("value", "value + 1 as value")
        assert observe.difference(project, "slow", query) == []
