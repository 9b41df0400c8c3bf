"""A role without rights on the catalog runs ordinary models, and is told what it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

import trickle_runtime
from tests.functional import observe

ROLE = "dbt_test_plain"


class TestOldCatalog:
    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"stream.sql": "{{ config(materialized='stream_table') }} select 1 as id"}

    def test_a_run_says_what_to_do(self, project: Any) -> None:
        observe.run("run")
        last = "select max(number) from pgtrickle.pgt_migrations"
        newest = observe.one(project, last)
        observe.execute(project, f"delete from pgtrickle.pgt_migrations where number = {newest}")
        message = observe.run("run", expect_pass=False)["stream"]
        observe.execute(project, f"insert into pgtrickle.pgt_migrations values ({newest}, 'last')")
        assert f"the catalog has version {newest - 1}" in message
        assert "trickle-runtime upgrade" in message


class TestRoleWithoutRights:
    installed = False

    @pytest.fixture(scope="class")
    def dbt_profile_target(self, dbt_profile_target: Any, server: Any) -> Iterator[dict[str, Any]]:
        database = dbt_profile_target["dbname"]
        with psycopg.connect(server.dsn(database), autocommit=True) as connection:
            connection.execute(f"create role {ROLE} login password 'plain'")
            connection.execute("create schema if not exists pgtrickle")
            connection.execute(f"grant create on database {database} to {ROLE}")
        if self.installed:
            with trickle_runtime.connect(server.dsn(database)) as runtime:
                runtime.install()
                runtime.create_stream_table("public.of_the_admin", "select 1 as id")
        yield {**dbt_profile_target, "user": ROLE, "pass": "plain"}
        if self.installed:
            with trickle_runtime.connect(server.dsn(database)) as runtime:
                runtime.drop_stream_table("public.of_the_admin")
        with psycopg.connect(server.dsn(database), autocommit=True) as connection:
            connection.execute(f"drop owned by {ROLE} cascade")
            connection.execute(f"drop role {ROLE}")

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {
            "plain.sql": "{{ config(materialized='table') }} select 1 as id",
            "viewed.sql": "select * from {{ ref('plain') }}",
            "stream.sql": "{{ config(materialized='stream_table') }}"
            " select * from {{ ref('plain') }}",
        }

    def test_ordinary_models(self, project: Any) -> None:
        for _ in range(2):
            observe.run("run", "--select", "plain", "viewed")

    def test_a_stream_table_says_what_is_missing(self, project: Any) -> None:
        messages = observe.run("run", "--select", "stream", expect_pass=False)
        assert "trickle-runtime install" in messages["stream"]
        assert "TR201" in messages["stream"]


class TestRoleWithoutRightsOnACatalog(TestRoleWithoutRights):
    """The same where others have stream tables."""

    installed = True
