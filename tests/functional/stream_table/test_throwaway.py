"""``--empty``, ``--sample``, ``--defer`` and the target's ``stream_tables``: never stored."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from dbt.tests.util import run_dbt, write_file
from dbt_common.exceptions import DbtBaseException

from tests.functional import observe

NUMBERS = "id,value,at\n1,10,2026-01-01 00:00:00\n2,20,2026-01-02 00:00:00\n"
PROPERTIES = """
seeds:
  - name: numbers
    config: {event_time: at}
"""
SUBJECT = """
{{ config(materialized='stream_table') }}
select id, value from {{ ref('numbers') }}
"""
QUERY = "select id, value from {schema}.numbers"


TESTS = ("stream_table_fresh", "stream_table_healthy", "stream_table_exact")
TESTED = "{{ config(materialized='%s') }} select id, value from {{ ref('numbers') }}"
TESTED_PROPERTIES = f"""
models:
  - {{name: tested, data_tests: [{", ".join(TESTS)}]}}
"""


class Project:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": NUMBERS, "numbers.yml": PROPERTIES}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"subject.sql": SUBJECT}

    @pytest.fixture(scope="class", autouse=True)
    def seeded(self, project: Any) -> None:
        observe.run("seed")


def keep_state(project: Any) -> None:
    """Keep the manifest of the last run as the state to defer to."""
    state = Path(project.project_root) / "state"
    state.mkdir()
    shutil.copy(Path(project.project_root) / "target" / "manifest.json", state)


class TestThrowaway(Project):
    @pytest.mark.parametrize("flags", [["--empty"], ["--sample", "1 day"]])
    def test_not_stored_and_kept(self, project: Any, flags: list[str]) -> None:
        if observe.is_stream_table(project, "subject"):
            run_dbt(["run-operation", "trickle_drop", "--args", "{name: subject}"])

        observe.run("run", *flags)
        assert not observe.is_stream_table(project, "subject")
        assert observe.rows(project, "select * from {schema}.subject") == []
        assert observe.triggers(project, "numbers") == []

        observe.run("run")
        assert observe.is_stream_table(project, "subject")
        assert observe.difference(project, "subject", QUERY) == []
        stored = observe.setting(project, "subject", "query")

        messages = observe.run("run", *flags)
        assert messages["subject"] == f"STREAM TABLE kept ({flags[0]})"
        assert observe.setting(project, "subject", "query") == stored
        assert observe.difference(project, "subject", QUERY) == []

        messages = observe.run("run")
        assert messages["subject"].startswith("STREAM TABLE unchanged")

    def test_empty_reports_bad_sql(self, project: Any) -> None:
        observe.run("run")
        observe.write_model(project, "subject", SUBJECT.replace("value", "nothing_such"))
        messages = observe.run("run", "--empty", expect_pass=False)
        observe.write_model(project, "subject", SUBJECT)
        assert "nothing_such" in messages["subject"]


class TestDefer(Project):
    @pytest.fixture(scope="class")
    def dbt_profile_data(self, unique_schema: str, dbt_profile_target: Any) -> dict[str, Any]:
        dev = {**dbt_profile_target, "schema": unique_schema + "_dev"}
        production = {**dbt_profile_target, "schema": unique_schema}
        outputs = {
            "default": production,
            "dev": dev,
            "listing": {**production, "capture_schemas": [unique_schema + "_raw"]},
            "wrong": {**production, "stream_tables": "sometimes"},
        }
        return {"test": {"outputs": outputs, "target": "default"}}

    @pytest.fixture(scope="class", autouse=True)
    def seeded(self, project: Any) -> None:
        observe.run("seed")
        keep_state(project)

    def test_production_is_not_captured(self, project: Any) -> None:
        messages = observe.run(
            "run", "--target", "dev", "--defer", "--state", "state", "--select", "subject"
        )
        assert messages["subject"].startswith("SELECT 2")
        assert observe.triggers(project, "numbers") == []
        name = f"{project.test_schema}_dev.subject"
        assert observe.rows(project, f"select count(*) from {name}") == [(2,)]
        observe.execute(project, "drop schema {schema}_dev cascade")

    def test_nor_with_a_permission_to_capture(self, project: Any) -> None:
        """``capture_outside`` is about what the model reads, not about what it is deferred to."""
        text = SUBJECT.replace("'stream_table'", "'stream_table', capture_outside=true")
        observe.write_model(project, "subject", text)
        observe.run("run", "--target", "dev", "--defer", "--state", "state")
        assert observe.triggers(project, "numbers") == []
        assert observe.one(project, "select count(*) from {schema}_dev.subject") == 2
        observe.write_model(project, "subject", SUBJECT)
        observe.execute(project, "drop schema {schema}_dev cascade")

    def test_an_existing_stream_table_is_kept(self, project: Any) -> None:
        there = ["--target", "dev"]
        observe.run("seed", *there)
        assert observe.run("run", *there)["subject"] == "STREAM TABLE created"
        observe.execute(project, "insert into {schema}.numbers values (3, 30, now())")
        deferred = ["--defer", "--favor-state", "--state", "state", "--select", "subject"]
        message = observe.run("run", *there, *deferred)["subject"]
        assert message.startswith("STREAM TABLE kept (--defer reads")
        assert observe.triggers(project, "numbers") == []
        assert observe.one(project, "select count(*) from {schema}_dev.subject") == 2
        assert observe.run("run", *there)["subject"] == "STREAM TABLE unchanged"
        observe.execute(project, "drop schema {schema}_dev cascade")

    def test_hard_coded_names_need_a_permission(self, project: Any) -> None:
        observe.execute(project, "create schema if not exists {schema}_raw")
        observe.execute(project, "create table {schema}_raw.events (id int primary key)")
        schema = f"{project.test_schema}_raw"
        text = "{{{{ config(materialized='stream_table'{more}) }}}} select id from {schema}.events"
        observe.write_model(project, "outside", text.format(more="", schema=schema))
        messages = observe.run("run", "--select", "outside", expect_pass=False)
        assert f"{schema}.events" in messages["outside"]
        assert "capture_outside" in messages["outside"]

        listing = ["run", "--target", "listing", "--select", "outside"]
        assert observe.run(*listing)["outside"] == "STREAM TABLE created"
        assert observe.run(*listing, "--full-refresh")["outside"].startswith(
            "STREAM TABLE rebuilt"
        )

        allowed = text.format(more=", capture_outside=true", schema=schema)
        observe.write_model(project, "outside", allowed)
        observe.run("run", "--select", "outside")
        assert observe.is_stream_table(project, "outside")

        source = f"sources: [{{name: raw, schema: {schema}, tables: [{{name: events}}]}}]"
        write_file(source, Path(project.project_root), "models", "raw.yml")
        observe.write_model(project, "outside", text.format(more="", schema=schema))
        observe.run("run", "--select", "outside", "--full-refresh")
        (Path(project.project_root) / "models" / "outside.sql").unlink()
        (Path(project.project_root) / "models" / "raw.yml").unlink()
        observe.execute(project, "drop schema {schema}_raw cascade")

    def test_a_target_that_says_something_else(self, project: Any) -> None:
        with pytest.raises(DbtBaseException, match="'sometimes' is not one of"):
            run_dbt(["parse", "--target", "wrong"])


class TestGenericTests(Project):
    """Our generic tests say nothing of the plain table that a run makes of a stream table."""

    @pytest.fixture(scope="class")
    def dbt_profile_data(self, unique_schema: str, dbt_profile_target: Any) -> dict[str, Any]:
        here = {**dbt_profile_target, "schema": unique_schema}
        outputs = {
            "default": here,
            "dev": {**here, "schema": unique_schema + "_dev"},
            "tables": {**here, "schema": unique_schema + "_tables", "stream_tables": "table"},
        }
        return {"test": {"outputs": outputs, "target": "default"}}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"tested.sql": TESTED % "stream_table", "tested.yml": TESTED_PROPERTIES}

    @staticmethod
    def statuses(*args: str, expect_pass: bool = True) -> dict[str, str]:
        results = run_dbt(list(args), expect_pass=expect_pass)
        return {one.node.name.split("_tested")[0]: str(one.status) for one in results}

    @pytest.mark.parametrize(
        "flags",
        [
            ["--empty"],
            ["--sample", "1 day"],
            ["--target", "tables"],
            ["--target", "dev", "--defer", "--state", "state", "--select", "tested"],
        ],
        ids=lambda flags: flags[-1] if flags[0] == "--target" else flags[0],
    )
    def test_a_build(self, project: Any, flags: list[str]) -> None:
        if "--defer" in flags:
            observe.run("run")
            keep_state(project)
        found = self.statuses("build", *flags)
        assert {found[name] for name in TESTS} == {"pass"}
        if "--defer" not in flags:
            assert not observe.is_stream_table(project, "tested")

    def test_a_stream_table_that_is_kept_is_tested(self, project: Any) -> None:
        observe.run("run")
        observe.write_behind_its_back(project, "update {schema}.tested set value = 0")
        found = self.statuses("build", "--empty", "--select", "tested", expect_pass=False)
        assert [found[name] for name in TESTS] == ["pass", "pass", "fail"]

    def test_of_a_table_by_mistake(self, project: Any) -> None:
        observe.write_model(project, "tested", TESTED % "table")
        for flags in ([], ["--empty"]):
            found = self.statuses("build", *flags, "--select", "tested", expect_pass=False)
            assert {found[name] for name in TESTS} == {"error"}


class TestTargetBuildsTables(Project):
    @pytest.fixture(scope="class")
    def dbt_profile_target(self, dbt_profile_target: Any) -> dict[str, Any]:
        return {**dbt_profile_target, "stream_tables": "table"}

    def test_plain_table(self, project: Any) -> None:
        observe.run("run")
        assert not observe.is_stream_table(project, "subject")
        assert observe.triggers(project, "numbers") == []
        assert observe.difference(project, "subject", QUERY) == []


class TestTargetsOfOneSchema(Project):
    """Two targets on one schema: the table is what the target of the run says."""

    @pytest.fixture(scope="class")
    def dbt_profile_data(self, unique_schema: str, dbt_profile_target: Any) -> dict[str, Any]:
        here = {**dbt_profile_target, "schema": unique_schema}
        kinds = ("maintain", "full", "table")
        outputs = {kind: {**here, "stream_tables": kind} for kind in kinds}
        return {"test": {"outputs": outputs, "target": "maintain"}}

    def test_there_and_back(self, project: Any) -> None:
        observe.run("run")
        assert observe.run("run", "--target", "table")["subject"].startswith("SELECT 2")
        assert not observe.is_stream_table(project, "subject")
        assert observe.triggers(project, "numbers") == []
        assert observe.orphans(project) == []
        assert observe.run("run")["subject"] == "STREAM TABLE created"
        message = observe.run("run", "--target", "full")["subject"]
        assert "refresh_mode" in message
        assert observe.setting(project, "subject", "effective_mode") == "full"
        observe.run("run")
        assert observe.setting(project, "subject", "effective_mode") == "differential"
        assert observe.difference(project, "subject", QUERY) == []


class TestTargetRefreshesFully(Project):
    @pytest.fixture(scope="class")
    def dbt_profile_target(self, dbt_profile_target: Any) -> dict[str, Any]:
        return {**dbt_profile_target, "stream_tables": "full"}

    def test_full_mode(self, project: Any) -> None:
        observe.run("run")
        assert observe.setting(project, "subject", "refresh_mode") == "full"
        observe.execute(project, "insert into {schema}.numbers values (3, 30, now())")
        observe.run("run")
        assert observe.difference(project, "subject", QUERY) == []
