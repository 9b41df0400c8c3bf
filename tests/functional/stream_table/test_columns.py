"""The columns of a stream table change, by its own query or below it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.functional import observe

LOWER = """
{{{{ config(materialized='stream_table') }}}}
select {columns} from {{{{ ref('numbers') }}}}
"""
UPPER = "{{ config(materialized='stream_table') }} select * from {{ ref('lower') }}"
READER = "{{ config(materialized='view') }} select * from {{ ref('upper') }}"


KEPT = """
{{{{ config(materialized='stream_table', grants={{'select': ['dbt_test_user_1']}},
            indexes=[{{'columns': ['value']}}]) }}}}
select {columns} from {{{{ ref('numbers') }}}}
"""
BELONGINGS = """
select c.oid, max(c.relacl::text), array_agg(i.relname || ' ' || i.oid::text order by i.relname)
from pg_class c join pg_index x on x.indrelid = c.oid join pg_class i on i.oid = x.indexrelid
where c.oid = '{schema}.kept'::regclass and i.relname !~ '^pgt_identity' group by c.oid
"""
VIEWS = {
    "view {schema}.narrow": "select id from {schema}.kept",
    "view {schema}.over_narrow": "table {schema}.narrow",
    "view {schema}.wide": "select id, name from {schema}.kept",
    "materialized view {schema}.over_wide": "select id from {schema}.wide",
}
# A refresh does not wait long for a lock; this one stands for a query that takes long.
BLOCKED_BY_A_LOCK = """
create function {{schema}}.blocked(int) returns {type} immutable language plpgsql
set lock_timeout = '60s' as
'begin perform pg_advisory_xact_lock_shared(4713); return 7; end'
"""


class TestKeptInPlace:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,name,value\n1,a,10\n2,b,20\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"kept.sql": KEPT.format(columns="id, value")}

    def test_oid_grants_indexes_and_readers(self, project: Any) -> None:
        observe.run("seed")
        observe.run("run")
        before = observe.rows(project, BELONGINGS)
        observe.execute(
            project, "create view {schema}.mine as select id, value from {schema}.kept"
        )
        for columns in ("id, value + 1 as value", "id, value, name, 1 as one", "id, value, name"):
            observe.write_model(project, "kept", KEPT.format(columns=columns))
            assert observe.run("run")["kept"] == "STREAM TABLE replaced (query)"
            assert observe.rows(project, BELONGINGS) == before
            query = f"select {columns} from {{schema}}.numbers"
            assert observe.difference(project, "kept", query) == []
            mine = f"select id, value from ({query}) q"
            assert observe.difference(project, "mine", mine) == []

    def test_only_views_on_a_dropped_column_go(self, project: Any) -> None:
        observe.run("seed")
        observe.write_model(project, "kept", KEPT.format(columns="id, value, name"))
        observe.run("run")
        for view, query in VIEWS.items():
            observe.execute(project, f"create {view} as {query}")
        observe.write_model(project, "kept", KEPT.format(columns="id, value"))
        _, logs = observe.run_logged("run")
        found = "select relname from pg_class where relname ~ 'narrow|wide' order by 1"
        assert [row[0] for row in observe.rows(project, found)] == ["narrow", "over_narrow"]
        assert observe.one(project, "select count(*) from {schema}.over_narrow") == 2
        for name in ("wide", "over_wide"):
            assert f'"{name}", which reads' in logs


BLOCKED = KEPT.format(columns="id, {{ target.schema }}.blocked(id) as value")


class TestReadersMeanwhile:
    """While a new query is computed, readers see all of the old content, and wait for nothing."""

    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,name,value\n1,a,10\n2,b,20\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"kept.sql": KEPT.format(columns="id, value")}

    @pytest.mark.parametrize("type_name", ["int", "text"], ids=["in place", "beside"])
    def test_see_the_old_content(
        self, project: Any, type_name: str, wait_until: Callable[..., object]
    ) -> None:
        observe.run("seed")
        observe.write_model(project, "kept", KEPT.format(columns="id, value"))
        observe.run("run")
        observe.execute(project, "drop function if exists {schema}.blocked(int)")
        observe.execute(project, BLOCKED_BY_A_LOCK.format(type=type_name))
        observe.write_model(project, "kept", BLOCKED)
        waiting = (
            "select from pg_locks where locktype = 'advisory' and objid = 4713 and not granted"
        )

        def read() -> list[tuple[Any, ...]]:
            try:
                wait_until(lambda: reader.execute(waiting).fetchall(), timeout=60)
                query = f"select id, value from {project.test_schema}.kept order by id"
                return reader.execute(query.encode()).fetchall()
            finally:
                holder.close()

        # Not opened later: dbt forgets the adapter, which knows the server, while it begins.
        with (
            observe.connect(project) as reader,
            observe.connect(project) as holder,
            ThreadPoolExecutor(1) as pool,
        ):
            holder.execute("select pg_advisory_lock(4713)")
            reader.execute("set statement_timeout = '30s'")
            seen = pool.submit(read)
            assert observe.run("run")["kept"].startswith("STREAM TABLE replaced (query)")
            assert seen.result() == [(1, 10), (2, 20)]
        value = {"int": 7, "text": "7"}[type_name]
        assert observe.rows(project, "select distinct value from {schema}.kept") == [(value,)]


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
