"""What users of other streaming materializations miss, in a project of a few layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dbt.tests.util import run_dbt, run_dbt_and_capture

from tests.functional import observe

TOTALS = """
{{ config(materialized='stream_table', schedule='1h' if target.name == 'slow' else '1m') }}
select region, sum(value) as total, 100 / min(value) as share
from {{ ref('numbers') }} group by region
"""
BEST = """
{{ config(schedule='calculated') }}
select max(total) as best from {{ ref('totals') }}
"""
COUNT = "{{ config(fuse='on', fuse_ceiling=1000) }} select count(*) as n from {{ ref('totals') }}"
PROPERTIES = """
models:
  - name: count
    config: {materialized: stream_table, tier: warm}
  - name: best
    config: {materialized: stream_table, meta: {trickle: {diamond_consistency: none}}}
"""


class TestEveryday:
    @pytest.fixture(scope="class")
    def dbt_profile_data(self, unique_schema: str, dbt_profile_target: Any) -> dict[str, Any]:
        target = {**dbt_profile_target, "schema": unique_schema}
        return {"test": {"outputs": {"default": target, "slow": target}, "target": "default"}}

    @pytest.fixture(scope="class")
    def project_config_update(self) -> dict[str, Any]:
        return {"models": {"+wait_timeout": 60, "test": {"+append_only": False}}}

    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,region,value\n1,n,10\n2,s,20\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {
            "totals.sql": TOTALS,
            "best.sql": BEST,
            "count.sql": COUNT,
            "properties.yml": PROPERTIES,
        }

    @pytest.fixture(autouse=True)
    def built(self, project: Any) -> None:
        for name, text in (("totals", TOTALS), ("best", BEST), ("count", COUNT)):
            observe.write_model(project, name, text)
        observe.run("build", "--full-refresh")

    def test_only_what_changed_is_rebuilt(self, project: Any) -> None:
        observe.write_model(project, "best", BEST.replace("max(", "min("))
        messages = observe.run("run")
        assert messages == {
            "totals": "STREAM TABLE unchanged",
            "best": "STREAM TABLE replaced (query)",
            "count": "STREAM TABLE unchanged",
        }
        observe.write_model(project, "totals", TOTALS.replace("sum(value)", "sum(value) + 1"))
        messages = observe.run("run")
        assert messages["totals"] == "STREAM TABLE replaced (query)"
        assert messages["best"].startswith("STREAM TABLE refreshed +0 ~1 -0")
        assert messages["count"].startswith("STREAM TABLE refreshed +0 -0")

    def test_its_keys_are_no_deprecation(self, project: Any) -> None:
        """In the project, in a properties file, in the model, below meta."""
        _, logs = run_dbt_and_capture(["run", "--show-all-deprecations", "--no-partial-parse"])
        assert "eprecat" not in logs.replace("--show-all-deprecations", "").replace(
            "show_all_deprecations", ""
        )
        assert "WARN=0" in logs

    def test_a_longer_schedule_in_development(self, project: Any) -> None:
        message = observe.run("run", "--target", "slow")["totals"]
        assert message == "STREAM TABLE altered schedule"
        assert observe.setting(project, "totals", "schedule") == "1h"
        assert observe.setting(project, "best", "schedule") == "calculated"

    def test_a_retry_takes_up_what_failed(self, project: Any) -> None:
        observe.execute(project, "insert into {schema}.numbers values (3, 'w', 0)")
        messages = observe.run("run", expect_pass=False)
        assert "division by zero" in messages["totals"]
        observe.execute(project, "update {schema}.numbers set value = 5 where id = 3")
        messages = observe.run("retry")
        assert messages["totals"].startswith("STREAM TABLE refreshed +1")
        assert set(messages) == {"totals", "best", "count"}
        query = (
            "select region, sum(value) as total, 100 / min(value) as share"
            " from {schema}.numbers group by region"
        )
        assert observe.difference(project, "totals", query) == []

    def test_only_its_own_columns_are_shown(self, project: Any) -> None:
        inline = "select * from {{ ref('totals') }} order by 1"
        results = run_dbt(["show", "--inline", inline])
        assert results[0].agate_table.column_names == ("region", "total", "share")
        run_dbt(["compile", "--select", "totals"])
        assert len(run_dbt(["show", "--select", "totals"])[0].agate_table.rows) == 2

    def test_what_a_run_did_is_in_its_artifact(self, project: Any) -> None:
        observe.execute(project, "update {schema}.numbers set value = 11 where id = 1")
        observe.run("run", "--select", "totals")
        path = Path(project.project_root) / "target" / "run_results.json"
        (result,) = json.loads(path.read_text())["results"]
        assert result["message"].startswith("STREAM TABLE refreshed +0 ~1 -0 in ")
        assert result["adapter_response"]["code"] == "STREAM TABLE"
