"""A model's contract and constraints: enforced on every path, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional import observe

CONTRACT = """
models:
  - name: contracted
    config: {{contract: {{enforced: true}}}}
    columns:
      - {{name: id, data_type: {type}}}
      - {{name: value, data_type: integer}}
"""
CONTRACTED = "{{ config(materialized='stream_table') }} select id, value from {{ ref('numbers') }}"


class TestContract:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,value\n1,10\n2,20\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"contracted.sql": CONTRACTED, "contracted.yml": CONTRACT.format(type="integer")}

    def test_enforced_on_every_path(self, project: Any) -> None:
        observe.run("seed")
        observe.run("run")
        assert observe.run("run")["contracted"] == "STREAM TABLE unchanged"
        (project.project_root / "models" / "contracted.yml").write(CONTRACT.format(type="text"))
        messages = observe.run("run", expect_pass=False)
        assert "contract" in messages["contracted"].lower()
        assert "TEXT" in messages["contracted"]
        observe.execute(project, "drop table {schema}.contracted cascade")
        observe.run("run", expect_pass=False)
        assert observe.one(project, "select to_regclass('{schema}.contracted')") is None


ORDERED = "{{ config(materialized='stream_table') }} select value, id from {{ ref('numbers') }}"


class TestColumnOrder:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,value\n1,10\n2,20\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"contracted.sql": ORDERED, "contracted.yml": CONTRACT.format(type="integer")}

    def test_is_that_of_the_contract(self, project: Any) -> None:
        observe.run("seed")
        observe.run("run")
        query = "select id, value from {schema}.numbers"
        assert observe.difference(project, "contracted", query) == []
        assert observe.run("run")["contracted"] == "STREAM TABLE unchanged"
        observe.execute(project, "insert into {schema}.numbers values (3, 30)")
        assert observe.run("run")["contracted"].startswith("STREAM TABLE refreshed +1")
        assert observe.difference(project, "contracted", query) == []


CONSTRAINED = """
models:
  - name: constrained
    config: {{contract: {{enforced: {enforced}}}}}
    constraints: {constraints}
    columns:
      - {{name: id, data_type: integer, constraints: {on_id}}}
      - {{name: value, data_type: integer}}
"""
QUERY = "select id, value from {schema}.numbers"


class TestConstraints:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,value\n1,10\n2,20\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"constrained.sql": CONTRACTED}

    @pytest.fixture(autouse=True)
    def seeded(self, project: Any) -> None:
        observe.run("seed")

    def run(
        self,
        project: Any,
        *,
        on_id: str = "[]",
        constraints: str = "[]",
        enforced: str = "true",
        expect_pass: bool = True,
    ) -> str:
        text = CONSTRAINED.format(on_id=on_id, constraints=constraints, enforced=enforced)
        (project.project_root / "models" / "constrained.yml").write(text)
        return observe.run("run", expect_pass=expect_pass)["constrained"]

    @staticmethod
    def found(project: Any) -> list[str]:
        sql = (
            "select pg_get_constraintdef(oid) from pg_constraint"
            " where conrelid = '{schema}.constrained'::regclass and contype <> 'n' order by 1"
        )
        return [row[0] for row in observe.rows(project, sql)]

    def test_enforced_by_every_run(self, project: Any) -> None:
        self.run(project, on_id="[{type: primary_key}]")
        assert self.found(project) == ["PRIMARY KEY (id)"]
        check = "[{type: check, expression: 'value > 0', name: positive}]"
        message = self.run(project, constraints=check)
        assert message == "STREAM TABLE altered constraints"
        assert self.found(project) == ["CHECK ((value > 0))"]
        assert self.run(project, constraints=check) == "STREAM TABLE unchanged"

        observe.execute(project, "insert into {schema}.numbers values (3, -30)")
        message = self.run(project, constraints=check, expect_pass=False)
        assert "positive" in message
        assert "TR406" in message
        assert observe.one(project, "select count(*) from {schema}.constrained") == 2
        observe.execute(project, "update {schema}.numbers set value = 30 where id = 3")
        assert self.run(project, constraints=check).startswith("STREAM TABLE refreshed +1")
        assert observe.difference(project, "constrained", QUERY) == []

        unique = "[{type: unique, columns: [ID, value]}, {type: not_null, columns: [id]}]"
        self.run(project, constraints=unique)
        assert self.found(project) == ["UNIQUE (id, value)"]
        assert self.run(project) == "STREAM TABLE altered constraints"
        assert self.found(project) == []

    def test_a_violation_at_creation_leaves_nothing(self, project: Any) -> None:
        observe.execute(project, "drop table if exists {schema}.constrained cascade")
        observe.execute(project, "insert into {schema}.numbers values (null, 1)")
        message = self.run(project, on_id="[{type: not_null}]", expect_pass=False)
        assert "id" in message
        assert observe.one(project, "select to_regclass('{schema}.constrained')") is None
        assert observe.orphans(project) == []

    @pytest.mark.parametrize(
        ("declared", "words"),
        [
            ({"on_id": "[{type: not_null}]", "enforced": "false"}, ["contract", "enforced: true"]),
            (
                {"constraints": "[{type: foreign_key, columns: [id], expression: 'n (id)'}]"},
                ["foreign_key", "relationships", "not_null, check, unique, primary_key"],
            ),
            ({"constraints": "[{type: custom, expression: 'exclude'}]"}, ["custom", "check"]),
            ({"on_id": "[{type: not_null, expression: 'deferrable'}]"}, ["deferrable"]),
        ],
    )
    def test_what_is_not_enforced_is_refused(
        self, project: Any, declared: dict[str, str], words: list[str]
    ) -> None:
        message = self.run(project, **declared, expect_pass=False)
        for word in ("constrained", *words):
            assert word in message
