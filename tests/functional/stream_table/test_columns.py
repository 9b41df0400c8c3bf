"""The columns of a stream table change, by its own query or below it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional import observe

LOWER = """
{{{{ config(materialized='stream_table') }}}}
select {columns} from {{{{ ref('numbers') }}}}
"""
UPPER = "{{ config(materialized='stream_table') }} select * from {{ ref('lower') }}"
READER = "{{ config(materialized='view') }} select * from {{ ref('upper') }}"


class TestColumns:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,name,value\n1,a,10\n2,b,20\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        lower = LOWER.format(columns="id, name, value")
        return {"lower.sql": lower, "upper.sql": UPPER, "reader.sql": READER}

    @pytest.mark.parametrize(
        "columns",
        [
            "id, name, value, value * 2 as double",
            "id, name",
            "name, id",
            "id::bigint as id, name",
            "id, name, value",
        ],
    )
    def test_what_reads_it_follows(self, project: Any, columns: str) -> None:
        observe.run("seed")
        observe.run("run")
        observe.write_model(project, "lower", LOWER.format(columns=columns))
        observe.run("run")
        query = f"select {columns} from {{schema}}.numbers"
        for name in ("lower", "upper", "reader"):
            assert observe.difference(project, name, query) == [], name
        observe.execute(project, "insert into {schema}.numbers values (3, 'c', 30)")
        assert observe.run("run")["upper"].startswith("STREAM TABLE refreshed +1")
        assert observe.difference(project, "reader", query) == []
        assert observe.orphans(project) == []
