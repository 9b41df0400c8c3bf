"""The life of a stream table under dbt: created, unchanged, altered, replaced, refreshed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.functional import observe

ORDERS = """
{{ config(materialized='incremental') }}
select id, customer, amount
from (values (1, 'a', 10), (2, 'a', 20), (3, 'b', 30)) as t (id, customer, amount)
{% if is_incremental() %} where false {% endif %}
"""
TOTALS_QUERY = "select customer, sum(amount) as total from {schema}.orders group by customer"
TOTALS = """
{{ config(materialized='stream_table'%s) }}
select customer, sum(amount) as total from {{ ref('orders') }} group by customer
"""


class TestLife:
    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"orders.sql": ORDERS, "totals.sql": TOTALS % ""}

    @pytest.fixture(autouse=True)
    def built(self, project: Any) -> None:
        observe.write_model(project, "totals", TOTALS % "")
        observe.run("run")

    @staticmethod
    def exact(project: Any) -> bool:
        return observe.difference(project, "totals", TOTALS_QUERY) == []

    def test_created_with_the_rows_of_its_query(self, project: Any) -> None:
        assert observe.is_stream_table(project, "totals")
        assert observe.relkind(project, "totals") == "r"
        assert self.exact(project)

    def test_a_second_run_is_unchanged(self, project: Any) -> None:
        before = observe.oid(project, "totals")
        messages = observe.run("run", "--select", "totals")
        assert messages["totals"].startswith("STREAM TABLE unchanged")
        assert observe.oid(project, "totals") == before

    def test_a_run_refreshes_by_difference(self, project: Any) -> None:
        observe.execute(project, "insert into {schema}.orders values (4, 'c', 5), (5, 'a', 1)")
        observe.execute(project, "delete from {schema}.orders where id = 3")
        messages = observe.run("run", "--select", "totals")
        assert re.match(r"STREAM TABLE refreshed \+1 ~1 -1 in \d", messages["totals"])
        assert self.exact(project)

    def test_an_option_is_altered_in_place(self, project: Any) -> None:
        before = observe.oid(project, "totals")
        observe.write_model(project, "totals", TOTALS % ", schedule='5m', tier='cold'")
        messages, logs = observe.run_logged("run", "--select", "totals")
        assert messages["totals"].startswith("STREAM TABLE altered schedule, tier")
        assert "Applying ALTER to:" in logs
        assert "Applying REPLACE to:" not in logs
        assert observe.setting(project, "totals", "schedule") == "5m"
        assert observe.oid(project, "totals") == before

    def test_another_spelling_is_unchanged(self, project: Any) -> None:
        observe.write_model(
            project, "totals", TOTALS % ", schedule='60s', refresh_mode='AUTO', fuse=false"
        )
        messages = observe.run("run", "--select", "totals")
        assert messages["totals"].startswith("STREAM TABLE unchanged")

    def test_a_comment_is_unchanged(self, project: Any) -> None:
        observe.write_model(project, "totals", "-- a note\n" + TOTALS % "" + "\n\n -- the end")
        messages, logs = observe.run_logged("run", "--select", "totals")
        assert messages["totals"].startswith("STREAM TABLE unchanged")
        assert "Applying REPLACE to:" not in logs

    def test_an_edited_query_is_replaced_in_place(self, project: Any) -> None:
        before = observe.oid(project, "totals")
        edited = (TOTALS % "").replace("sum(amount)", "sum(amount + 1)")
        observe.write_model(project, "totals", edited)
        messages, logs = observe.run_logged("run", "--select", "totals")
        query = TOTALS_QUERY.replace("sum(amount)", "sum(amount + 1)")
        assert messages["totals"].startswith("STREAM TABLE replaced (query)")
        assert "Applying REPLACE to:" in logs
        assert observe.difference(project, "totals", query) == []
        assert observe.oid(project, "totals") == before

    def test_a_column_is_added(self, project: Any) -> None:
        edited = (TOTALS % "").replace("as total", "as total, count(*) as n")
        observe.write_model(project, "totals", edited)
        messages = observe.run("run", "--select", "totals")
        query = TOTALS_QUERY.replace("as total", "as total, count(*) as n")
        assert "(query)" in messages["totals"]
        assert observe.difference(project, "totals", query) == []

    def test_full_refresh_computes_every_row_anew(self, project: Any) -> None:
        before = observe.oid(project, "totals")
        observe.write_behind_its_back(project, "update {schema}.totals set total = 0")
        messages, logs = observe.run_logged("run", "--select", "totals", "--full-refresh")
        assert messages["totals"].startswith("STREAM TABLE ")
        assert "Applying REPLACE to:" in logs
        assert self.exact(project)
        assert observe.oid(project, "totals") == before
        assert observe.orphans(project) == []

    def test_a_model_that_is_never_to_be_rebuilt(self, project: Any) -> None:
        observe.write_model(project, "totals", TOTALS % ", full_refresh=false")
        messages = observe.run("run", "--select", "totals", "--full-refresh")
        assert messages["totals"] == "STREAM TABLE unchanged"


class TestFilledLater:
    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"orders.sql": ORDERS, "totals.sql": TOTALS % ", initialize=false"}

    def test_the_next_refresh_fills(self, project: Any) -> None:
        observe.run("run")
        assert observe.one(project, "select count(*) from {schema}.totals") == 0
        messages = observe.run("run", "--select", "totals")
        assert messages["totals"].startswith("STREAM TABLE refreshed +2 -0")
        assert observe.difference(project, "totals", TOTALS_QUERY) == []


class TestFull:
    """A query that can't be maintained by changes: each message says why."""

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"orders.sql": ORDERS, "totals.sql": TOTALS % ""}

    def test_why(self, project: Any) -> None:
        observe.run("run")
        volatile = (TOTALS % "").replace("as total", "as total, random() < 2 as sure")
        observe.write_model(project, "totals", volatile)
        message = observe.run("run")["totals"]
        assert message.startswith("STREAM TABLE replaced (query), FULL: ")
        why = message.partition("FULL: ")[2]
        assert "random" in why
        observe.execute(project, "insert into {schema}.orders values (4, 'c', 5)")
        message = observe.run("run")["totals"]
        assert message.startswith("STREAM TABLE refreshed +1 -0 in ")
        assert message.endswith(f"(FULL: {why})")
        observe.execute(project, "drop table {schema}.totals cascade")
        assert observe.run("run")["totals"] == f"STREAM TABLE created, FULL: {why}"


PYTHON = """
def model(dbt, session):
    dbt.config(materialized="stream_table")
    return None
"""


class TestPython:
    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"snake.py": PYTHON}

    def test_is_refused(self, project: Any) -> None:
        assert "only supports languages" in observe.run("run", expect_pass=False)["snake"]


class TestErrors:
    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"orders.sql": ORDERS, "totals.sql": TOTALS % ", fuse='perhaps'"}

    def test_a_wrong_option_names_model_key_and_values(self, project: Any) -> None:
        messages = observe.run("run", expect_pass=False)
        for part in ("totals", "fuse", "perhaps", "off, on, auto"):
            assert part in messages["totals"]

    def test_a_model_that_reads_itself(self, project: Any) -> None:
        text = "{{ config(materialized='stream_table') }} select 1 as id from {{ this }}"
        observe.write_model(project, "totals", text)
        assert "totals reads itself" in observe.run("run", expect_pass=False)["totals"]

    def test_wrong_sql_leaves_nothing(self, project: Any) -> None:
        observe.run("run", "--select", "orders")
        observe.write_model(
            project, "totals", "{{ config(materialized='stream_table') }} select nothing_such"
        )
        messages = observe.run("run", "--select", "totals", expect_pass=False)
        assert "nothing_such" in messages["totals"]
        assert observe.one(project, "select to_regclass('{schema}.totals')") is None
