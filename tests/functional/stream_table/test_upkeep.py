"""Grants, documentation and indexes: applied on every path, an unchanged run included."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional import observe

SUBJECT = """
{{{{ config(materialized='stream_table', {config}) }}}}
select id, value from {{{{ ref('numbers') }}}}
"""
DOCUMENTED = """
models:
  - name: subject
    description: {relation}
    config: {{persist_docs: {{relation: true, columns: true}}}}
    columns:
      - {{name: id, description: {column}}}
"""


class TestUpkeep:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,value\n1,10\n2,20\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"subject.sql": SUBJECT.format(config="tags=['x']")}

    @pytest.fixture(scope="class", autouse=True)
    def seeded(self, project: Any) -> None:
        observe.run("seed")

    @staticmethod
    def text(config: str) -> str:
        return SUBJECT.format(config=config)

    def build(self, project: Any, config: str) -> str:
        observe.write_model(project, "subject", self.text(config))
        return observe.run("run")["subject"]

    @staticmethod
    def grantees(project: Any) -> list[str]:
        sql = (
            "select grantee from information_schema.role_table_grants"
            " where table_schema = '{schema}' and table_name = 'subject'"
            " and grantee <> grantor order by 1"
        )
        return [row[0] for row in observe.rows(project, sql)]

    def test_grants(self, project: Any) -> None:
        self.build(project, "grants={'select': ['dbt_test_user_1']}")
        assert self.grantees(project) == ["dbt_test_user_1"]
        message = self.build(project, "grants={'select': ['dbt_test_user_2']}")
        assert message.startswith("STREAM TABLE unchanged")
        assert self.grantees(project) == ["dbt_test_user_2"]

    def test_grants_survive_a_replaced_query(self, project: Any) -> None:
        self.build(project, "grants={'select': ['dbt_test_user_2']}")
        text = self.text("grants={'select': ['dbt_test_user_2']}")
        observe.write_model(
            project, "subject", text.replace("value from", "value + 1 as value from")
        )
        observe.run("run")
        assert self.grantees(project) == ["dbt_test_user_2"]

    @pytest.mark.parametrize("text", ["first", "second's"])
    def test_documentation(self, project: Any, text: str) -> None:
        self.build(project, "tags=['x']")
        properties = DOCUMENTED.format(relation=f'"{text} table"', column=f'"{text} id"')
        (project.project_root / "models" / "subject.yml").write(properties)
        message = observe.run("run")["subject"]
        (project.project_root / "models" / "subject.yml").remove()
        assert message.startswith("STREAM TABLE unchanged")
        relation = "'{schema}.subject'::regclass"
        assert (
            observe.one(project, f"select obj_description({relation}, 'pg_class')")
            == f"{text} table"
        )
        assert observe.one(project, f"select col_description({relation}, 1)") == f"{text} id"

    def index_columns(self, project: Any) -> list[str]:
        """Indexes under dbt's names: md5 digests."""
        sql = (
            "select pg_get_indexdef(indexrelid) from pg_index"
            " join pg_class c on c.oid = indexrelid"
            " where indrelid = '{schema}.subject'::regclass and c.relname ~ '^[0-9a-f]{32}$'"
        )
        return sorted(row[0].rpartition("USING ")[2] for row in observe.rows(project, sql))

    def test_indexes(self, project: Any) -> None:
        self.build(project, "indexes=[{'columns': ['value']}]")
        assert self.index_columns(project) == ["btree (value)"]
        message = self.build(project, "indexes=[{'columns': ['value']}]")
        assert message == "STREAM TABLE unchanged"
        changed = "indexes=[{'columns': ['value', 'id']}, {'columns': ['id'], 'type': 'hash'}]"
        message = self.build(project, changed)
        assert message == "STREAM TABLE altered indexes"
        assert self.index_columns(project) == ["btree (value, id)", "hash (id)"]
        self.build(project, "tags=['x']")
        assert self.index_columns(project) == []

    def test_a_users_own_index_stays(self, project: Any) -> None:
        self.build(project, "tags=['x']")
        observe.execute(project, "create index mine on {schema}.subject (value)")
        self.build(project, "tags=['x']")
        assert observe.one(project, "select to_regclass('{schema}.mine') is not null")

    def test_what_follows_to_a_table_built_beside(self, project: Any) -> None:
        """Grants, indexes, a user's own constraint and policy; what can't is named."""
        config = "grants={'select': ['dbt_test_user_1']}, indexes=[{'columns': ['value']}]"
        observe.execute(project, "drop index if exists {schema}.mine")
        self.build(project, config)
        observe.execute(project, "create index mine on {schema}.subject ((value is null))")
        observe.execute(project, "create index by_id on {schema}.subject (id)")
        add = "alter table {schema}.subject add constraint"
        observe.execute(project, f"{add} short check (length(value::text) < 9)")
        observe.execute(project, f"{add} few check (id < 100)")
        observe.execute(project, "create policy all_rows on {schema}.subject using (true)")
        before = observe.oid(project, "subject")
        text = self.text(config).replace("select id, value", "select value::text as value")
        observe.write_model(project, "subject", text)
        messages, logs = observe.run_logged("run")
        assert messages["subject"] == "STREAM TABLE replaced (query)"
        assert observe.oid(project, "subject") != before
        assert self.grantees(project) == ["dbt_test_user_1"]
        assert self.index_columns(project) == ["btree (value)"]
        assert observe.one(project, "select to_regclass('{schema}.mine') is not null")
        for lost in ("index by_id", "constraint few"):
            assert f"{lost} could not follow" in logs
        assert "has other columns now, and" in logs
        kept = "select conname from pg_constraint where conrelid = '{schema}.subject'::regclass"
        assert ("short",) in observe.rows(project, kept)
        policies = "select policyname from pg_policies where schemaname = '{schema}'"
        assert observe.rows(project, policies) == [("all_rows",)]
        self.build(project, config)


@pytest.mark.slow
class TestPartitionedIndexes(TestUpkeep):
    """The same on a partitioned stream table."""

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"subject.sql": SUBJECT.format(config="partition_by='HASH:value:2'")}

    @staticmethod
    def text(config: str) -> str:
        return SUBJECT.format(config=f"partition_by='HASH:value:2', {config}")

    def test_it_is_partitioned(self, project: Any) -> None:
        self.build(project, "tags=['x']")
        assert observe.relkind(project, "subject") == "p"
