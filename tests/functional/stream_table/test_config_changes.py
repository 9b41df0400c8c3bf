"""Changed settings apply on the next run; what reads the table does not notice."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional import observe

SUBJECT = """
{{{{ config(materialized='stream_table'{config}) }}}}
select id, region, sum(value) as total from {{{{ ref('numbers') }}}} group by id, region
"""
PROPERTIES = """
models:
  - name: subject
    columns:
      - {name: id, data_tests: [not_null]}
"""
QUERY = "select id, region, sum(value) as total from {schema}.numbers group by id, region"


class TestConfigChanges:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,region,value\n1,n,10\n2,s,20\n3,n,30\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {
            "subject.sql": SUBJECT.format(config=""),
            "reader.sql": "{{ config(materialized='view') }} select * from {{ ref('subject') }}",
        }

    @pytest.fixture(scope="class", autouse=True)
    def built(self, project: Any) -> None:
        observe.run("seed")
        observe.run("run")

    def build(self, project: Any, config: str) -> str:
        observe.write_model(project, "subject", SUBJECT.format(config=config))
        message = observe.run("run", "--select", "subject")["subject"]
        observe.execute(project, "update {schema}.numbers set value = value + 1")
        observe.execute(project, "insert into {schema}.numbers values (4, 'w', 1)")
        observe.run("run", "--select", "subject")
        assert observe.difference(project, "subject", QUERY) == []
        assert observe.difference(project, "reader", QUERY) == []
        assert observe.run("run", "--select", "subject")["subject"] == "STREAM TABLE unchanged"
        return message

    @pytest.mark.parametrize(
        ("partition_by", "relkind"),
        [
            ("LIST:region", "p"),
            ("HASH:id:3", "p"),
            ("HASH:id", "p"),
            ("id", "p"),
            ("region,id", "p"),
            (None, "r"),
        ],
    )
    def test_partition_by(self, project: Any, partition_by: str | None, relkind: str) -> None:
        config = f", partition_by={partition_by!r}" if partition_by else ""
        message = self.build(project, config)
        assert "partition_by" in message
        assert observe.relkind(project, "subject") == relkind

    def test_fuse(self, project: Any) -> None:
        self.build(project, "")
        message = self.build(project, ", fuse='on', fuse_ceiling=1000")
        assert message == "STREAM TABLE altered fuse, fuse_ceiling"
        assert observe.setting(project, "subject", "fuse_state") == "armed"
        # Each build changes one row more than the one before: a small k would blow.
        message = self.build(project, ", fuse='auto', fuse_sensitivity=50")
        assert message == "STREAM TABLE altered fuse, fuse_ceiling, fuse_sensitivity"
        message = self.build(project, "")
        assert message == "STREAM TABLE altered fuse, fuse_sensitivity"
        assert observe.setting(project, "subject", "fuse_state") == "disabled"

    def test_status(self, project: Any) -> None:
        self.build(project, "")
        observe.write_model(project, "subject", SUBJECT.format(config=", status='paused'"))
        assert observe.run("run")["subject"].startswith("STREAM TABLE altered status")
        observe.execute(project, "insert into {schema}.numbers values (5, 'w', 1)")
        message = observe.run("run")["subject"]
        assert message == "STREAM TABLE unchanged, not refreshed: it is paused"
        observe.write_model(project, "subject", SUBJECT.format(config=", status='active'"))
        observe.run("run")
        assert observe.difference(project, "subject", QUERY) == []

    def test_capture_and_diamonds(self, project: Any) -> None:
        config = ", append_only=true, cdc_mode='trigger', diamond_consistency='none'"
        text = SUBJECT.format(config=config).replace("sum(value)", "count(*)")
        observe.write_model(project, "subject", text)
        message = observe.run("run", "--select", "subject")["subject"]
        assert "cdc_mode, diamond_consistency, append_only" in message
        found = ("append_only", "cdc_mode", "diamond_consistency")
        assert [observe.setting(project, "subject", one) for one in found] == [
            True,
            "trigger",
            "none",
        ]
        observe.execute(project, "insert into {schema}.numbers values (50, 'w', 1)")
        message = observe.run("run", "--select", "subject")["subject"]
        assert message.startswith("STREAM TABLE refreshed +1")
        observe.execute(project, "delete from {schema}.numbers where id = 50")
        message = observe.run("run", "--select", "subject", expect_pass=False)["subject"]
        assert "append_only" in message
        self.build(project, "")

    def test_meta_is_the_same_as_top_level(self, project: Any) -> None:
        self.build(project, ", schedule='5m'")
        config = ", meta={'trickle': {'schedule': '300s'}}"
        assert self.build(project, config) == "STREAM TABLE unchanged"


class TestOnConfigurationChange:
    """Indexes and the gate are configuration as well: they wait for ``apply``."""

    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,region,value\n1,n,10\n2,s,20\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"subject.sql": SUBJECT.format(config=""), "properties.yml": PROPERTIES}

    @pytest.fixture(scope="class", autouse=True)
    def built(self, project: Any) -> None:
        observe.run("seed")
        observe.run("run")

    @pytest.mark.parametrize(
        ("name", "config"), [("indexes", "[{'columns': ['region']}]"), ("gate", "true")]
    )
    def test_of(self, project: Any, name: str, config: str) -> None:
        stored = (
            "select (select count(*) from pg_indexes where tablename = 'subject'"
            " and schemaname = '{schema}'), (select count(*) from pgtrickle.pgt_gates)"
        )
        observe.write_model(project, "subject", SUBJECT.format(config=""))
        observe.run("run")
        before = observe.rows(project, stored)
        more = ", on_configuration_change='{what}', {name}={config}"
        expected = {
            "continue": f"STREAM TABLE skipped ({name} changed, ",
            "fail": "`on_configuration_change` was set to `fail`",
            "apply": f"STREAM TABLE altered {name}",
        }
        for what, message in expected.items():
            text = more.format(what=what, name=name, config=config)
            observe.write_model(project, "subject", SUBJECT.format(config=text))
            assert message in observe.run("run", expect_pass=what != "fail")["subject"]
            assert (observe.rows(project, stored) == before) == (what != "apply")
        assert observe.run("run")["subject"] == "STREAM TABLE unchanged"
