"""dbt replaces what stream tables read: they follow, and no write to a source ever breaks."""

from __future__ import annotations

from typing import Any

import pytest
from dbt.tests.util import run_dbt

from tests.functional import observe

TABLE = """
{{{{ config(materialized='{materialized}') }}}}
select id, value * {factor} as value from {{{{ ref('numbers') }}}}
"""
SUM = """
{{ config(materialized='stream_table') }}
select count(*) as n, sum(value) as total from {{ ref('middle') }}
"""
OVER_SEED = """
{{ config(materialized='stream_table') }}
select id % 2 as parity, sum(value) as total from {{ ref('numbers') }} group by 1
"""
SUM_QUERY = "select count(*) as n, sum(value) as total from {schema}.middle"
SEED_QUERY = "select id % 2 as parity, sum(value) as total from {schema}.numbers group by 1"


class TestUpstream:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,value\n1,10\n2,20\n3,30\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {
            "middle.sql": TABLE.format(materialized="table", factor=1),
            "total.sql": SUM,
            "parities.sql": OVER_SEED,
        }

    @pytest.fixture(autouse=True)
    def seeded(self, project: Any) -> None:
        observe.run("seed")

    @staticmethod
    def exact(project: Any) -> None:
        assert observe.difference(project, "total", SUM_QUERY) == []
        assert observe.difference(project, "parities", SEED_QUERY) == []

    @pytest.mark.parametrize("materialized", ["table", "view", "incremental", "materialized_view"])
    def test_a_rebuilt_model(self, project: Any, materialized: str) -> None:
        for factor in (1, 2):
            text = TABLE.format(materialized=materialized, factor=factor)
            observe.write_model(project, "middle", text)
            observe.run(
                "run", "--full-refresh" if materialized == "incremental" else "--no-fail-fast"
            )
            self.exact(project)
            before = observe.oid(project, "total")
            observe.execute(project, "update {schema}.numbers set value = value + 1")
            observe.run("run")
            self.exact(project)
            assert observe.oid(project, "total") == before
        assert observe.orphans(project) == []

    @pytest.mark.parametrize("materialized", ["table", "incremental"])
    def test_a_replaced_table_is_captured_by_its_own_run(
        self, project: Any, materialized: str
    ) -> None:
        text = TABLE.format(materialized=materialized, factor=1)
        observe.write_model(project, "middle", text)
        observe.run("run")
        observe.run("run", "--select", "middle", "--full-refresh")
        assert observe.triggers(project, "middle") != []
        assert "another relation" in observe.setting(project, "total", "reinit_reason")
        observe.execute(project, "insert into {schema}.middle values (50, 500)")
        run = observe.run("run", "--select", "total")["total"]
        assert "is another relation now" in run
        observe.execute(project, "insert into {schema}.middle values (51, 510)")
        assert "REINITIALIZE" not in observe.run("run", "--select", "total")["total"]
        self.exact(project)
        assert observe.setting(project, "total", "reinit_reason") is None
        assert observe.orphans(project) == []

    def test_a_replaced_seed_is_captured_by_its_own_run(self, project: Any) -> None:
        observe.run("run")
        observe.run("seed", "--full-refresh")
        assert observe.triggers(project, "numbers") != []
        observe.run("run")
        self.exact(project)

    def test_what_a_rebuilt_model_costs(self, project: Any) -> None:
        for materialized, cost in (("view", ""), ("table", "REINITIALIZE: ")):
            text = TABLE.format(materialized=materialized, factor=1)
            observe.write_model(project, "middle", text)
            observe.run("run")
            assert observe.run("run")["total"].startswith(
                "STREAM TABLE refreshed +0 -0 in 0" if cost else "STREAM TABLE unchanged"
            )
            observe.execute(project, "update {schema}.numbers set value = value + 1")
            message = observe.run("run")["total"]
            assert message.startswith("STREAM TABLE refreshed +0 ~1 -0 in 0.")
            assert ("is another relation now" in message) == bool(cost)
            self.exact(project)

    def test_a_model_that_is_rebuilt_alone(self, project: Any) -> None:
        observe.write_model(project, "middle", TABLE.format(materialized="table", factor=1))
        observe.run("run")
        observe.execute(project, "insert into {schema}.numbers values (9, 90)")
        observe.run("run", "--select", "middle")
        observe.run("run", "--select", "total", "parities")
        self.exact(project)

    def test_seeds(self, project: Any) -> None:
        observe.run("run")
        observe.execute(project, "insert into {schema}.numbers values (9, 90)")
        observe.run("run")
        self.exact(project)
        for flags in ([], ["--full-refresh"]):
            observe.run("seed", *flags)
            observe.run("run")
            self.exact(project)
            observe.execute(project, "insert into {schema}.numbers values (4, 1)")
            observe.run("run")
            self.exact(project)

    def test_a_full_refresh_of_everything(self, project: Any) -> None:
        observe.run("build", "--full-refresh")
        observe.run("build", "--full-refresh")
        self.exact(project)
        assert observe.orphans(project) == []

    def test_a_dropped_ci_schema_leaves_the_source_writable(self, project: Any) -> None:
        observe.run("run")
        schema = f"{project.test_schema}_pr_1"
        observe.execute(project, f"create schema {schema}")
        text = OVER_SEED.replace("'stream_table'", "'stream_table', schema='pr_1'")
        observe.write_model(project, "parities_pr", text)
        observe.run("run", "--select", "parities_pr")
        observe.execute(project, f"drop schema {schema} cascade")
        observe.execute(project, "insert into {schema}.numbers values (11, 1)")
        (project.project_root / "models" / "parities_pr.sql").remove()
        observe.run("run")
        self.exact(project)
        assert observe.orphans(project) == []

    def test_dbts_own_drop_schema_leaves_nothing(self, project: Any) -> None:
        observe.run("run")
        text = OVER_SEED.replace("'stream_table'", "'stream_table', schema='pr_2'")
        observe.write_model(project, "parities_pr", text)
        observe.run("run", "--select", "parities_pr")
        (project.project_root / "models" / "parities_pr.sql").remove()
        relation = project.adapter.Relation.create(
            database=project.database, schema=f"{project.test_schema}_pr_2"
        )
        above = f"select * from {relation.schema}.parities_pr"
        text = "{{ config(materialized='stream_table', capture_outside=true) }} " + above
        observe.write_model(project, "above_pr", text)
        observe.run("run", "--select", "above_pr")
        with project.adapter.connection_named("drop"):
            project.adapter.drop_schema(relation)
        assert observe.orphans(project) == []
        observe.execute(project, "insert into {schema}.numbers values (12, 1)")
        # What reads it from elsewhere stays, and says what it lacks.
        assert observe.one(project, "select count(*) > 0 from {schema}.above_pr")
        messages = observe.run("run", expect_pass=False)
        assert "parities_pr" in messages["above_pr"]
        run_dbt(["run-operation", "trickle_drop", "--args", "{name: above_pr}"])
        (project.project_root / "models" / "above_pr.sql").remove()
        observe.run("run")
        self.exact(project)


HISTORY = """
{% snapshot history %}
{{ config(unique_key='id', strategy='check', check_cols=['value']) }}
select * from {{ ref('numbers') }}
{% endsnapshot %}
"""
VERSIONS = """
{{ config(materialized='stream_table') }}
select id, count(*) as versions, bool_or(dbt_valid_to is null) as current
from {{ ref('history') }} group by id
"""
VERSIONS_QUERY = """
select id, count(*) as versions, bool_or(dbt_valid_to is null) as current
from {schema}.history group by id
"""


class TestSnapshotUpstream:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,value\n1,10\n2,20\n"}

    @pytest.fixture(scope="class")
    def snapshots(self) -> dict[str, str]:
        return {"history.sql": HISTORY}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"versions.sql": VERSIONS}

    def test_it_is_followed(self, project: Any) -> None:
        run_dbt(["build"])
        for number in range(2):
            observe.execute(project, "update {schema}.numbers set value = value + 1 where id = 1")
            observe.execute(project, f"insert into {{schema}}.numbers values ({3 + number}, 1)")
            results = run_dbt(["build", "--exclude", "resource_type:seed"])
            messages = {result.node.name: result.message for result in results}
            assert messages["versions"].startswith("STREAM TABLE refreshed +1 ~1 -0")
            assert observe.difference(project, "versions", VERSIONS_QUERY) == []


GROWING = """
{{{{ config(
    materialized='incremental', unique_key='id', on_schema_change='append_new_columns'
) }}}}
select {columns} from {{{{ ref('numbers') }}}}
"""
EVERYTHING = "{{ config(materialized='stream_table') }} select * from {{ ref('middle') }}"


class TestGrowingUpstream:
    """An incremental model appends a column; ``select *`` above it takes the column over."""

    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,value\n1,10\n2,20\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"middle.sql": GROWING.format(columns="id"), "total.sql": EVERYTHING}

    def test_it_is_followed(self, project: Any) -> None:
        observe.run("seed")
        observe.run("run")
        before = observe.oid(project, "total")
        observe.write_model(project, "middle", GROWING.format(columns="id, value"))
        assert observe.run("run")["total"].startswith("STREAM TABLE replaced (query)")
        assert observe.oid(project, "total") == before
        query = "select id, value from {schema}.middle"
        assert observe.difference(project, "total", query) == []
        observe.execute(project, "insert into {schema}.numbers values (3, 30)")
        assert observe.run("run")["total"].startswith("STREAM TABLE refreshed +1")
        assert observe.difference(project, "total", query) == []


class TestTableUpstream:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,value\n1,10\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {
            "middle.sql": TABLE.format(materialized="table", factor=1),
            "between.sql": "select * from {{ ref('middle') }}",
            "total.sql": SUM.replace("'middle'", "'between'"),
        }

    @staticmethod
    def told(*flags: str) -> bool:
        _, logs = observe.run_logged("run", *flags)
        return "reads middle, which is materialized as table" in logs

    def test_its_cost_is_told_once(self, project: Any) -> None:
        observe.run("seed")
        assert self.told()
        for number in (2, 3):
            observe.execute(project, f"insert into {{schema}}.numbers values ({number}, 1)")
            assert not self.told()
        assert self.told("--full-refresh")

    @staticmethod
    def materialize(project: Any, materialized: str) -> None:
        text = TABLE.format(materialized=materialized, factor=1)
        observe.write_model(project, "middle", text)

    def test_it_is_told_when_an_upstream_becomes_one(self, project: Any) -> None:
        """Also where no refresh by difference lies between, and each time that it becomes one."""
        self.materialize(project, "incremental")
        observe.run("seed")
        observe.execute(project, "drop view {schema}.between cascade")
        observe.execute(project, "drop table {schema}.total cascade")
        assert not self.told()
        for _ in range(2):
            self.materialize(project, "table")
            assert self.told()
            assert not self.told()
            self.materialize(project, "incremental")
            observe.execute(project, "insert into {schema}.middle values (9, 1)")
            assert not self.told()

    def test_it_is_told_before_it_costs(self, project: Any) -> None:
        """The graph says it, in a run without the upstream as well, and of a new neighbour."""
        self.materialize(project, "incremental")
        observe.run("seed")
        observe.run("run")
        self.materialize(project, "table")
        assert self.told("--select", "total")
        assert not self.told("--select", "total")
        assert not self.told()
