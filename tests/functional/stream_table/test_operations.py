"""Run-operations, generic tests, freshness and documentation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dbt.tests.util import run_dbt, run_dbt_and_capture

from tests.functional import observe

SUBJECT = """
{{ config(materialized='stream_table', fuse='on', fuse_ceiling=5) }}
select id, value from {{ ref('numbers') }}
"""
PROPERTIES = """
models:
  - name: subject
    data_tests:
      - stream_table_fresh: {arguments: {max_lag: '1 hour'}}
      - stream_table_healthy
      - stream_table_exact
sources:
  - name: marts
    schema: "{{ target.schema }}"
    freshness: {error_after: {count: 1, period: hour}}
    tables:
      - name: subject
      - name: by_query
        identifier: subject
        loaded_at_query: >
          select data_timestamp
          from pgtrickle.pgt_frontiers join pgtrickle.pgt_stream_tables using (pgt_id)
          where pgt_relid = '{{ target.schema }}.subject'::regclass
"""
QUERY = "select id, value from {schema}.numbers"
AGE = "update pgtrickle.pgt_frontiers set data_timestamp = now() - interval '2 hours'"


def operate(operation: str, /, *, expect_pass: bool = True, **arguments: Any) -> str:
    """Run an operation; what it printed."""
    command = ["run-operation", operation, "--args", json.dumps(arguments)]
    _, logs = run_dbt_and_capture(command, expect_pass=expect_pass)
    return logs


class TestOperations:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,value\n1,10\n2,20\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"subject.sql": SUBJECT, "properties.yml": PROPERTIES}

    @pytest.fixture(autouse=True)
    def built(self, project: Any) -> None:
        observe.execute(project, "drop table if exists {schema}.subject, {schema}.numbers cascade")
        run_dbt(["seed"])
        run_dbt(["run"])

    def test_refresh(self, project: Any) -> None:
        observe.execute(project, "insert into {schema}.numbers values (3, 30)")
        assert "DIFFERENTIAL" in operate("trickle_refresh", name="subject")
        assert observe.difference(project, "subject", QUERY) == []
        observe.execute(project, "insert into {schema}.numbers values (4, 40)")
        operate("trickle_refresh", name=f"{project.test_schema}.subject", mode="full")
        assert observe.difference(project, "subject", QUERY) == []
        observe.execute(project, "insert into {schema}.numbers values (5, 50)")
        operate("trickle_refresh")
        assert observe.difference(project, "subject", QUERY) == []

    def test_status(self, project: Any) -> None:
        assert "subject" in operate("trickle_status")
        assert "active" in operate("trickle_status", name="subject")

    def test_fuse(self, project: Any) -> None:
        observe.execute(
            project, "insert into {schema}.numbers select g, g from generate_series(3, 30) g"
        )
        observe.run("run")
        assert "blown" in operate("trickle_fuse_status")
        operate("trickle_reset_fuse", name="subject", action="apply")
        operate("trickle_refresh", name="subject")
        assert observe.difference(project, "subject", QUERY) == []
        assert observe.setting(project, "subject", "fuse_state") == "armed"

    def test_skipped_changes(self, project: Any) -> None:
        observe.execute(
            project, "insert into {schema}.numbers select g, g from generate_series(3, 30) g"
        )
        observe.run("run")
        operate("trickle_reset_fuse", name="subject", action="skip_changes")
        operate("trickle_refresh", name="subject")
        assert observe.one(project, "select count(*) from {schema}.subject") == 2
        assert observe.setting(project, "subject", "diverged")
        said = operate("trickle_verify", name="subject", expect_pass=False)
        assert "28" in said
        assert "trickle-runtime repair" in said
        operate("trickle_refresh", name="subject", mode="full")
        operate("trickle_verify", name="subject")
        assert not observe.setting(project, "subject", "diverged")

    def test_pause_and_resume(self, project: Any) -> None:
        operate("trickle_pause", name="subject")
        assert observe.setting(project, "subject", "status") == "paused"
        operate("trickle_resume", name="subject")
        assert observe.setting(project, "subject", "status") == "active"

    def test_wait(self, project: Any) -> None:
        observe.execute(project, "insert into {schema}.numbers values (3, 30)")
        operate("trickle_wait_until_fresh", name="subject", timeout=30)
        assert observe.difference(project, "subject", QUERY) == []

    def test_verify_explain_validate_diagnose(self, project: Any) -> None:
        assert "subject" in operate("trickle_verify", name="subject")
        said = operate("trickle_explain", name="subject")
        assert "effective_mode" in said
        assert "DIFFERENTIAL" in said
        source = f"{project.test_schema}.numbers"
        said = operate("trickle_explain_delta", name="subject", changed=[source], plan=True)
        assert "pgtrickle_changes" in said
        assert "Scan" in said
        assert "pgtrickle_changes" in operate("trickle_auxiliary_columns", name="subject")
        query = f"select count(*) from {project.test_schema}.numbers"
        assert "resolved_refresh_mode" in operate("trickle_validate", query=query)
        assert "canonicalise" in operate("trickle_explain_rewrite", query=query)
        operate("trickle_diagnose", name="subject")

    def test_drop(self, project: Any) -> None:
        operate("trickle_drop", name="subject")
        assert observe.one(project, "select to_regclass('{schema}.subject')") is None
        assert observe.orphans(project) == []

    @pytest.mark.parametrize(
        ("operation", "arguments", "words"),
        [
            ("trickle_pause", {"name": "nothing"}, ["no stream table", "nothing"]),
            ("trickle_pause", {}, ["trickle_pause needs", "'name'"]),
            ("trickle_drop", {"name": 5}, ["name 5", "a text"]),
            ("trickle_validate", {}, ["trickle_validate needs", "'query'"]),
            ("trickle_refresh", {"name": "subject", "mode": "fast"}, ["differential, full"]),
            (
                "trickle_reset_fuse",
                {"name": "subject", "action": "ignore"},
                ["'ignore'", "apply, reinitialize, skip_changes"],
            ),
            (
                "trickle_wait_until_fresh",
                {"name": "subject", "timeout": "long"},
                ["timeout 'long'", "seconds"],
            ),
        ],
    )
    def test_a_wrong_argument(
        self, project: Any, operation: str, arguments: dict[str, Any], words: list[str]
    ) -> None:
        logs = operate(operation, expect_pass=False, **arguments)
        for word in words:
            assert word in logs

    def test_generic_tests(self, project: Any) -> None:
        assert {result.status for result in run_dbt(["test"])} == {"pass"}
        observe.execute(project, AGE)
        observe.execute(project, "update pgtrickle.pgt_stream_tables set status = 'suspended'")
        observe.write_behind_its_back(project, "update {schema}.subject set value = 0")
        results = run_dbt(["test"], expect_pass=False)
        assert {result.node.name.split("_subject")[0]: result.status for result in results} == {
            "stream_table_fresh": "pass",
            "stream_table_healthy": "fail",
            "stream_table_exact": "fail",
        }

    def test_only_pending_changes_make_old_content_stale(self, project: Any) -> None:
        fresh = ["test", "--select", "test_name:stream_table_fresh"]
        observe.execute(project, AGE)
        assert [result.status for result in run_dbt(fresh)] == ["pass"]
        observe.execute(project, "insert into {schema}.numbers values (3, 30)")
        assert [result.status for result in run_dbt(fresh, expect_pass=False)] == ["fail"]
        observe.run("run")
        assert [result.status for result in run_dbt(fresh)] == ["pass"]

    def test_source_freshness_by_metadata(self, project: Any) -> None:
        results = run_dbt(["source", "freshness"])
        assert [result.status for result in results] == ["pass", "pass"]
        observe.execute(project, AGE)
        results = run_dbt(["source", "freshness"], expect_pass=False)
        assert [result.status for result in results] == ["error", "error"]

    def test_docs(self, project: Any) -> None:
        run_dbt(["docs", "generate"])
        path = Path(project.project_root) / "target" / "catalog.json"
        nodes = json.loads(path.read_text())["nodes"]
        assert nodes["seed.test.numbers"]["metadata"]["type"] == "BASE TABLE"
        assert nodes["seed.test.numbers"]["stats"]["has_stats"]["value"] is False
        subject = nodes["model.test.subject"]
        assert subject["metadata"]["type"] == "STREAM TABLE"
        assert subject["stats"]["schedule"]["value"] == "1m"
        assert "differential" in subject["stats"]["mode"]["value"]
        assert subject["stats"]["status"]["value"] == "active"
        assert subject["stats"]["last_refresh"]["value"].startswith("20")
        assert int(subject["stats"]["lag"]["value"]) >= 0


OTHER = """
{{ config(materialized='stream_table', schema='more') }}
select id, 10 / value as share from {{ ref('numbers') }}
"""


class TestWithoutAName:
    """An operation without a name is about the project, and says what it could not do."""

    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,value\n1,10\n2,20\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"subject.sql": SUBJECT, "other.sql": OTHER}

    @pytest.fixture(scope="class", autouse=True)
    def built(self, project: Any) -> Iterator[None]:
        run_dbt(["seed"])
        run_dbt(["run"])
        with observe.runtime(project) as runtime:
            # ``all`` is about the database: what other classes left there in disorder goes first.
            runtime.cleanup()
            for one in runtime.status():
                if not one.schema.startswith(project.test_schema):
                    name = (one.schema, one.name)
                    runtime.drop_stream_table(name, cascade=True, if_exists=True, detach=True)
            observe.execute(project, "create schema {schema}_foreign")
            name = f"{project.test_schema}_foreign.theirs"
            runtime.create_stream_table(name, f"select id from {project.test_schema}.numbers")
        yield
        observe.execute(project, "drop schema {schema}_foreign cascade")

    @staticmethod
    def counts(project: Any) -> dict[str, int]:
        tables = {"subject": ".subject", "other": "_more.other", "theirs": "_foreign.theirs"}
        return {
            name: observe.one(project, f"select count(*) from {{schema}}{table}")
            for name, table in tables.items()
        }

    def test_it_acts_on_the_project(self, project: Any) -> None:
        for operation in ("trickle_status", "trickle_verify", "trickle_fuse_status"):
            said = operate(operation)
            assert "subject" in said
            assert "_more" in said
            assert "theirs" not in said
            assert "theirs" in operate(operation, all=True)
        observe.execute(project, "insert into {schema}.numbers values (3, 30)")
        assert "theirs" not in operate("trickle_refresh")
        assert self.counts(project) == {"subject": 3, "other": 3, "theirs": 2}
        operate("trickle_refresh", all=True)
        assert self.counts(project) == {"subject": 3, "other": 3, "theirs": 3}

    def test_a_refresh_that_fails_for_one(self, project: Any) -> None:
        before = self.counts(project)["subject"]
        observe.execute(project, "insert into {schema}.numbers values (4, 0)")
        said = operate("trickle_refresh", expect_pass=False)
        assert "could not be refreshed" in said
        assert "other: division by zero" in said
        assert self.counts(project)["subject"] == before + 1
        said = operate("trickle_diagnose", name="other")
        for field in ("event_time: 20", "error_type: config", "remediation: "):
            assert field in said
        assert "error_message: division by zero" in said
        observe.execute(project, "delete from {schema}.numbers where id = 4")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [({"mode": "full"}, "mode needs a name"), ({"all": "yes"}, "Allowed: true, false")],
    )
    def test_a_wrong_argument(self, project: Any, arguments: dict[str, Any], words: str) -> None:
        assert words in operate("trickle_refresh", expect_pass=False, **arguments)
