"""Keys of the profile that change where the runtime lives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from dbt.tests.util import run_dbt

from tests.functional import observe
from tests.functional.stream_table.test_operations import operate

SUBJECT = """
{{ config(materialized='stream_table') }}
select id, value from {{ ref('numbers') }}
"""
PROPERTIES = """
models:
  - name: subject
    data_tests: [stream_table_fresh, stream_table_healthy, stream_table_exact]
"""
PREFIX = "elsewhere"


class TestRuntimeSchema:
    """Another ``runtime_schema``: nothing is in the usual one."""

    @pytest.fixture(scope="class")
    def dbt_profile_target(self, dbt_profile_target: Any, server: Any) -> Iterator[dict[str, Any]]:
        yield {**dbt_profile_target, "runtime_schema": PREFIX}
        dsn = server.dsn(dbt_profile_target["dbname"])
        with psycopg.connect(dsn, autocommit=True) as connection:
            for suffix in ("_changes", "_state", ""):
                connection.execute(f"drop schema if exists {PREFIX}{suffix} cascade")

    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,value\n1,10\n2,20\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"subject.sql": SUBJECT, "properties.yml": PROPERTIES}

    def test_it_holds_everything(self, project: Any) -> None:
        assert {str(one.status) for one in run_dbt(["build"])} == {"success", "pass"}
        catalog = f"select pgt_name from {PREFIX}.pgt_stream_tables"
        assert observe.rows(project, catalog) == [("subject",)]
        assert not observe.is_stream_table(project, "subject")
        observe.execute(project, "insert into {schema}.numbers values (3, 30)")
        assert "subject" in operate("trickle_status")
        assert observe.run("run")["subject"].startswith("STREAM TABLE refreshed +1")
        query = "select id, value from {schema}.numbers"
        assert observe.difference(project, "subject", query) == []
        assert {str(one.status) for one in run_dbt(["test"])} == {"pass"}
