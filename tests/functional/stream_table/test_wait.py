"""``wait: true``: what comes after a model sees all that was committed before it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from dbt.tests.util import run_dbt

from tests.functional import observe
from tests.functional.stream_table.test_operations import operate
from trickle_runtime.scheduler.daemon import Daemon, Settings

SUBJECT = """
{{{{ config(materialized='stream_table', wait=true{more}) }}}}
select id, value from {{{{ ref('numbers') }}}}
"""
BELOW = "{{ config(materialized='stream_table', schedule='1h') }} select * from {{ ref('raw') }}"
EVERY_ROW = """
select 1 as failure from {{ ref('raw') }}
having count(*) <> (select count(*) from {{ ref('subject') }})
"""
QUERY = "select id, value from {schema}.raw"


class TestWait:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"raw.csv": "id,value\n1,10\n2,20\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"numbers.sql": BELOW, "subject.sql": SUBJECT.format(more="")}

    @pytest.fixture(scope="class")
    def tests(self) -> dict[str, str]:
        return {"every_row.sql": EVERY_ROW}

    @pytest.fixture(autouse=True)
    def built(self, project: Any) -> None:
        observe.write_model(project, "subject", SUBJECT.format(more=", status='active'"))
        run_dbt(["seed"])
        run_dbt(["run"])

    @pytest.fixture
    def daemon(self, project: Any) -> Iterator[None]:
        with observe.connect(project) as connection:
            dsn = connection.info.dsn
        daemon = Daemon(dsn, settings=Settings(interval=0.05))
        thread = threading.Thread(target=daemon.run)
        thread.start()
        try:
            yield
        finally:
            daemon.stop()
            thread.join()

    @staticmethod
    def change(project: Any, more: str = "") -> None:
        observe.write_model(project, "subject", SUBJECT.format(more=more))
        observe.execute(project, "insert into {schema}.raw values (3, 30)")

    def test_a_build_tests_current_data(self, project: Any, daemon: None) -> None:
        self.change(project)
        results = run_dbt(["build", "--select", "subject"])
        assert {str(result.status) for result in results} == {"success", "pass"}
        assert observe.difference(project, "subject", QUERY) == []

    def test_for_the_daemon(self, project: Any, daemon: None) -> None:
        more = ", refresh_on_run=false, schedule='1s'"
        self.change(project, more)
        observe.execute(project, "update pgtrickle.pgt_stream_tables set schedule = '1s'")
        observe.run("run", "--select", "subject")
        assert observe.difference(project, "subject", QUERY) == []

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            (", refresh_on_run=false", "no daemon is running"),
            (", status='paused'", "is paused"),
        ],
    )
    def test_in_vain(self, project: Any, more: str, words: str) -> None:
        self.change(project, more)
        message = observe.run("run", "--select", "subject", expect_pass=False)["subject"]
        assert words in message

    def test_until_the_timeout(self, project: Any) -> None:
        self.change(project, ", wait_timeout=0.05")
        operate("trickle_pause", name="numbers")
        message = observe.run("run", "--select", "subject", expect_pass=False)["subject"]
        operate("trickle_resume", name="numbers")
        assert "was not fresh within 0.05 s" in message
        assert "numbers" in message
