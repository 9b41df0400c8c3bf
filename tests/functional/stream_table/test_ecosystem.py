"""What dbt users put around a model works around a stream table, with many threads, too."""

from __future__ import annotations

from typing import Any

import pytest
from dbt.tests.util import run_dbt

from tests.functional import observe
from tests.functional.stream_table.test_operations import operate

TOTALS = """
{{ config(materialized='stream_table', unique_key='region') }}
select region, sum(value) as total from {{ ref('numbers') }} group by region
"""
LATER = """
{{ config(materialized='incremental', unique_key='region') }}
select region, total from {{ ref('totals') }}
"""
SNAPSHOT = """
{% snapshot totals_history %}
{{ config(unique_key='region', strategy='check', check_cols=['total']) }}
select * from {{ ref('totals') }}
{% endsnapshot %}
"""
PROPERTIES = """
models:
  - name: totals
    latest_version: 1
    versions: [{v: 1, defined_in: totals}]
    access: protected
    config: {group: analysts, meta: {owner: ada}, tags: [nightly]}
    columns:
      - name: region
        data_tests: [unique, not_null]
unit_tests:
  - name: adds_up
    model: totals
    given:
      - input: ref('numbers')
        rows: [{region: n, value: 1}, {region: n, value: 2}]
    expect:
      rows: [{region: n, total: 3}]
groups:
  - name: analysts
    owner: {name: ada}
exposures:
  - name: dashboard
    type: dashboard
    owner: {email: ada@example.com}
    depends_on: [ref('totals')]
"""


class TestEcosystem:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,region,value\n1,n,10\n2,s,20\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"totals.sql": TOTALS, "later.sql": LATER, "properties.yml": PROPERTIES}

    @pytest.fixture(scope="class")
    def snapshots(self) -> dict[str, str]:
        return {"totals_history.sql": SNAPSHOT}

    def test_build(self, project: Any) -> None:
        statuses = {result.status for result in run_dbt(["build"])}
        assert statuses <= {"success", "pass", "no-op"}
        observe.execute(project, "update {schema}.numbers set value = 11 where region = 'n'")
        run_dbt(["build", "--exclude", "resource_type:seed"])
        assert set(observe.run("run", "--select", "tag:nightly")) == {"totals"}
        for name in ("totals", "totals.v1"):
            assert f"{project.test_schema}.totals_v1" in operate("trickle_refresh", name=name)
        history = "select region, total from {schema}.totals_history order by dbt_updated_at, 1"
        assert observe.rows(project, history) == [("n", 10), ("s", 20), ("n", 11)]
        query = "select region, sum(value) as total from {schema}.numbers group by region"
        assert observe.difference(project, "later", query) == []


COUNT = """
{{{{ config(materialized='stream_table') }}}}
select a.id, count(*) as n, {number} as number
from {{{{ ref('{first}') }}}} a join {{{{ ref('{second}') }}}} b using (id)
group by a.id
"""


@pytest.mark.slow
class TestManyThreads:
    """Models lock the same two sources in opposite orders."""

    @pytest.fixture(scope="class")
    def dbt_profile_target(self, dbt_profile_target: Any) -> dict[str, Any]:
        return {**dbt_profile_target, "threads": 8}

    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"one.csv": "id\n1\n2\n", "two.csv": "id\n2\n3\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        orders = [("one", "two"), ("two", "one")]
        return {
            f"count_{number}.sql": COUNT.format(number=number, first=first, second=second)
            for number in range(8)
            for first, second in [orders[number % 2]]
        }

    @pytest.mark.parametrize("number", range(20))
    def test_created_and_refreshed_at_once(self, project: Any, number: int) -> None:
        if number == 0:
            observe.run("seed")
        observe.run("run")
        observe.execute(project, f"insert into {{schema}}.one values ({100 + number})")
        observe.execute(project, f"insert into {{schema}}.two values ({100 + number})")
        messages = observe.run("run")
        assert all("refreshed +" in message for message in messages.values()), messages
        for name in messages:
            observe.execute(project, f"drop table {{schema}}.{name} cascade")
