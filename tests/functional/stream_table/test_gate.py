"""``gate: true``: the model's data tests stand between its new rows and its readers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dbt.tests.util import run_dbt, write_file

from tests.functional import observe

ORDERS = """
{{{{ config(materialized='stream_table', gate={gate}) }}}}
select id, customer, amount from {{{{ ref('raw_orders') }}}}
"""
TOTALS = """
{{ config(materialized='stream_table', gate=true) }}
select customer, sum(amount) as total from {{ ref('orders') }} group by customer
"""
KNOWN = "{{ config(materialized='ephemeral') }} select 1 as customer union all select 2"
PROPERTIES = """
models:
  - name: orders
    columns:
      - name: id
        data_tests: [not_null, unique]
      - name: amount
        data_tests:
          - not_null: {{config: {{severity: {severity}}}}}
      - name: customer
        data_tests:
          - relationships:
              arguments: {{to: ref('known'), field: customer}}
              config: {{where: "id < 100", error_if: ">1", warn_if: ">0"}}
    data_tests: [stream_table_exact]
"""
SINGULAR = "select * from {{ ref('orders') }} where amount < {{ var('least', 0) }} -- no debts"
TOTALS_AGREE = """
select 1 as failure
where (select sum(total) from {{ ref('totals') }}) <> (select sum(amount) from {{ ref('orders') }})
"""
QUERY = "select id, customer, amount from {schema}.raw_orders"


class TestGate:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"raw_orders.csv": "id,customer,amount\n1,1,10\n2,2,20\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {
            "orders.sql": ORDERS.format(gate="true"),
            "totals.sql": TOTALS,
            "known.sql": KNOWN,
            "properties.yml": PROPERTIES.format(severity="error"),
        }

    @pytest.fixture(scope="class")
    def tests(self) -> dict[str, str]:
        return {"no_debts.sql": SINGULAR, "totals_agree.sql": TOTALS_AGREE}

    @pytest.fixture(autouse=True)
    def built(self, project: Any) -> None:
        observe.execute(project, "drop table if exists {schema}.totals, {schema}.orders cascade")
        self.write(project)
        run_dbt(["seed"])
        run_dbt(["run"])

    @staticmethod
    def write(project: Any, *, gate: str = "true", severity: str = "error") -> None:
        observe.write_model(project, "orders", ORDERS.format(gate=gate))
        models = Path(project.project_root) / "models"
        write_file(PROPERTIES.format(severity=severity), models, "properties.yml")

    @staticmethod
    def gate(project: Any, relation: str) -> list[str]:
        found = observe.rows(
            project,
            "select g.name from pgtrickle.pgt_gates g join pgtrickle.pgt_stream_tables t"
            f" using (pgt_id) where t.pgt_relid = '{{schema}}.{relation}'::regclass"
            " and g.missing is null order by g.name",
        )
        return [row[0].partition("__")[0] for row in found]

    def test_tests_of_severity_error_are_stored(self, project: Any) -> None:
        run_dbt(["run"])
        assert self.gate(project, "orders") == [
            "no_debts",
            "not_null_orders_amount",
            "not_null_orders_id",
            "relationships_orders_customer",
            "unique_orders_id",
        ]
        assert self.gate(project, "totals") == ["totals_agree"]
        self.write(project, severity="warn")
        assert observe.run("run")["orders"] == "STREAM TABLE altered gate"
        assert "not_null_orders_amount" not in self.gate(project, "orders")
        assert observe.run("run")["orders"] == "STREAM TABLE unchanged"
        self.write(project, gate="false")
        assert observe.run("run")["orders"] == "STREAM TABLE altered gate"
        assert self.gate(project, "orders") == []

    @pytest.mark.parametrize(
        ("row", "test"),
        [
            ("(3, 1, null)", "not_null_orders_amount"),
            ("(2, 1, 5)", "unique_orders_id"),
            ("(3, 1, -5)", "no_debts"),
            ("(3, 7, 5), (4, 7, 5)", "relationships_orders_customer__customer__ref_known_"),
        ],
    )
    def test_a_run_with_bad_rows(self, project: Any, row: str, test: str) -> None:
        observe.execute(project, f"insert into {{schema}}.raw_orders values {row}")
        messages, logs = observe.run_logged("run", expect_pass=False)
        assert f"test {test} failed" in messages["orders"]
        assert "TR405" in messages["orders"]
        assert "SKIP" in logs
        assert observe.rows(project, "select id from {schema}.orders order by 1") == [(1,), (2,)]
        assert observe.setting(project, "orders", "fuse_state") == "blown"
        assert observe.setting(project, "orders", "blow_reason").startswith(f"test {test} failed")

        messages = observe.run("run", expect_pass=False)
        assert "is blown" in messages["orders"]
        assert test in messages["orders"]

        observe.execute(project, "delete from {schema}.raw_orders where id > 2 or amount = 5")
        reset = {"name": "orders", "action": "reinitialize"}
        run_dbt(["run-operation", "trickle_reset_fuse", "--args", json.dumps(reset)])
        observe.run("run")
        assert observe.difference(project, "orders", QUERY) == []
        assert observe.setting(project, "orders", "fuse_state") == "disabled"

    def test_rows_that_dbt_would_only_warn_of(self, project: Any) -> None:
        self.write(project, severity="warn")
        run_dbt(["run"])
        rows = "(3, 7, 5), (200, 8, 5), (201, 8, null)"
        observe.execute(project, f"insert into {{schema}}.raw_orders values {rows}")
        assert observe.run("run")["orders"].startswith("STREAM TABLE refreshed +3")
        assert observe.difference(project, "orders", QUERY) == []

    def test_the_first_rows_have_to_pass(self, project: Any) -> None:
        run_dbt(["run-operation", "trickle_drop", "--args", "{name: totals}"])
        run_dbt(["run-operation", "trickle_drop", "--args", "{name: orders}"])
        observe.execute(project, "insert into {schema}.raw_orders values (3, 1, null)")
        messages = observe.run("run", "--select", "orders", expect_pass=False)
        assert "test not_null_orders_amount failed" in messages["orders"]
        assert observe.one(project, "select to_regclass('{schema}.orders')") is None
        assert observe.orphans(project) == []

    def test_a_new_query_has_to_pass(self, project: Any) -> None:
        text = ORDERS.format(gate="true").replace("amount from", "-amount as amount from")
        observe.write_model(project, "orders", text)
        messages = observe.run("run", "--select", "orders", expect_pass=False)
        assert "test no_debts failed" in messages["orders"]
        assert observe.difference(project, "orders", QUERY) == []
        assert observe.setting(project, "orders", "fuse_state") == "disabled"

    def test_throw_away_runs_leave_it_alone(self, project: Any) -> None:
        before = observe.rows(project, "select name, query from pgtrickle.pgt_gates order by 1, 2")
        run_dbt(["run", "--empty", "--vars", "{least: 5}"])
        after = observe.rows(project, "select name, query from pgtrickle.pgt_gates order by 1, 2")
        assert after == before

    def test_build(self, project: Any) -> None:
        observe.execute(project, "insert into {schema}.raw_orders values (3, 1, 30)")
        results = run_dbt(["build", "--exclude", "resource_type:seed"])
        assert {str(result.status) for result in results} == {"success", "pass"}
