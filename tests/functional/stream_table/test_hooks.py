"""Hooks in all four places."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional import observe

HOOKED = """
{{ config(
    materialized='stream_table',
    pre_hook=[
      before_begin("insert into {{ target.schema }}.log (at) values ('before_begin')"),
      in_transaction("insert into {{ target.schema }}.log (at) values ('pre')"),
      in_transaction(
        "insert into {{ target.schema }}.numbers select 100, 1 where {{ var('more', true) }}"
      ),
    ],
    post_hook=[
      in_transaction("insert into {{ target.schema }}.log (at) values ('post')"),
      after_commit("insert into {{ target.schema }}.log (at) values ('after_commit')"),
    ],
) }}
select id, value from {{ ref('numbers') }}
"""
FAILING = """
{{ config(materialized='stream_table', post_hook='select 1 / 0') }}
select id, value from {{ ref('numbers') }}
"""
QUERY = "select id, value from {schema}.numbers"


class HookCases:
    autocommit = False

    @pytest.fixture(scope="class")
    def dbt_profile_target(self, dbt_profile_target: Any) -> dict[str, Any]:
        return {**dbt_profile_target, "autocommit": self.autocommit}

    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,value\n1,10\n2,20\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"hooked.sql": HOOKED, "failing.sql": FAILING}

    def test_all_four_run_on_every_path(self, project: Any) -> None:
        observe.run("seed")
        observe.execute(
            project, "create table {schema}.log (n int generated always as identity, at text)"
        )
        places = ["before_begin", "pre", "post", "after_commit"]
        altered = HOOKED.replace("config(", "config(schedule='5m',")
        replaced = altered.replace("select id, value", "select id, value + 1 as value")
        for path, text, *flags in (
            ("created", HOOKED),
            ("refreshed", HOOKED),
            ("unchanged", HOOKED, "--vars", "{more: false}"),
            ("altered", altered),
            ("replaced", replaced),
            ("rebuilt", replaced, "--full-refresh"),
        ):
            observe.write_model(project, "hooked", text)
            message = observe.run("run", "--select", "hooked", *flags)["hooked"]
            assert message.startswith(f"STREAM TABLE {path}")
            found = observe.rows(project, "select at from {schema}.log order by n")
            assert [row[0] for row in found] == places, path
            query = QUERY.replace("value", "value + 1") if text == replaced else QUERY
            assert observe.difference(project, "hooked", query) == [], path
            observe.execute(project, "truncate {schema}.log")

    def test_a_failing_post_hook_leaves_no_new_table(self, project: Any) -> None:
        observe.run("seed")
        messages = observe.run("run", "--select", "failing", expect_pass=False)
        assert "division by zero" in messages["failing"]
        assert observe.one(project, "select to_regclass('{schema}.failing')") is None
        assert observe.orphans(project) == []
        observe.execute(project, "insert into {schema}.numbers values (3, 30)")


class TestHooks(HookCases):
    pass


@pytest.mark.slow
class TestHooksWithAutocommit(HookCases):
    autocommit = True
