"""A project without a superuser: a role with its schemas, SELECT and TRIGGER on the sources."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from dbt.tests.util import run_dbt
from psycopg import sql

from tests.fix_server import TestServer
from tests.functional import observe

OWNER, WRITER, READER = "dbt_test_owner", "dbt_test_writer", "dbt_test_reader"
SOURCES = f"""
create schema app;
create table app.customers (id int primary key, region text not null);
create table app.orders (id int primary key, customer int references app.customers, amount int);
insert into app.customers select i, 'r' || i % 3 from generate_series(1, 9) i;
insert into app.orders select i, i % 9 + 1, i from generate_series(1, 60) i;
grant usage on schema app to {OWNER}, {WRITER};
grant select, trigger on all tables in schema app to {OWNER};
grant select, insert, update, delete on all tables in schema app to {WRITER};
"""
PROPERTIES = f"""
sources:
  - name: app
    tables: [{{name: customers}}, {{name: orders}}]
models:
  - name: regions
    config:
      contract: {{enforced: true}}
      grants: {{select: [{READER}]}}
      persist_docs: {{relation: true, columns: true}}
      indexes: [{{columns: [total]}}]
    description: by region
    columns:
      - {{name: region, data_type: text, constraints: [{{type: not_null}}]}}
      - {{name: n, data_type: bigint, constraints: [{{type: check, expression: n > 0}}]}}
      - {{name: total, data_type: bigint}}
    data_tests: [stream_table_exact, stream_table_healthy, stream_table_fresh]
  - name: best
    config: {{gate: true}}
    columns:
      - {{name: region, data_tests: [not_null]}}
    data_tests: [stream_table_exact]
  - name: months
    data_tests: [stream_table_exact]
unit_tests:
  - name: regions_add_up
    model: regions
    given:
      - {{input: "source('app', 'customers')", rows: [{{id: 1, region: a}}]}}
      - {{input: "ref('small_orders')", rows: [{{id: 1, customer: 1, amount: 5}}]}}
    expect:
      rows: [{{region: a, n: 1, total: 5}}]
"""
REGIONS = """
{{ config(materialized='stream_table') }}
select c.region, count(*) as n, sum(o.amount) as total
from {{ ref('small_orders') }} o join {{ source('app', 'customers') }} c on c.id = o.customer
group by c.region
"""
BEST = """
{{ config(materialized='stream_table', fuse='on', fuse_ceiling=1000) }}
select region, total from {{ ref('regions') }} order by total desc, region limit 2
"""
MONTHS = """
{{ config(materialized='stream_table', partition_by='HASH:part:2') }}
select amount % 12 as part, count(*) as n from {{ source('app', 'orders') }} group by 1
"""
HISTORY = """
{% snapshot history %}
{{ config(unique_key='region', strategy='check', check_cols=['total']) }}
select region, total from {{ ref('regions') }}
{% endsnapshot %}
"""


class TestOwner:
    @pytest.fixture(scope="class")
    def admin_dsn(self, server: TestServer, worker_id: str) -> Iterator[str]:
        """A database of its own, with sources of somebody else."""
        name = f"trickle_owner_{worker_id}_{os.getpid()}"
        roles = (OWNER, WRITER, READER)
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            for role in roles:
                text = "create role {} login password 'plain' nosuperuser"
                connection.execute(sql.SQL(text).format(sql.Identifier(role)))
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
            grant = sql.SQL("grant create on database {} to {}")
            connection.execute(grant.format(sql.Identifier(name), sql.Identifier(OWNER)))
            with psycopg.connect(server.dsn(name), autocommit=True) as inside:
                inside.execute(SOURCES.encode())
            yield server.dsn(name)
            drop = sql.SQL("drop database {} with (force)")
            connection.execute(drop.format(sql.Identifier(name)))
            for role in roles:
                connection.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))

    @pytest.fixture(scope="class")
    def dbt_profile_target(
        self, dbt_profile_target: dict[str, Any], admin_dsn: str
    ) -> dict[str, Any]:
        dbname = psycopg.conninfo.conninfo_to_dict(admin_dsn)["dbname"]
        return {**dbt_profile_target, "user": OWNER, "pass": "plain", "dbname": dbname}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {
            "properties.yml": PROPERTIES,
            "small_orders.sql": "select * from {{ source('app', 'orders') }} where amount < 1000",
            "regions.sql": REGIONS,
            "best.sql": BEST,
            "months.sql": MONTHS,
            "plain.sql": "{{ config(materialized='table') }} select * from {{ ref('best') }}",
        }

    @pytest.fixture(scope="class")
    def snapshots(self) -> dict[str, str]:
        return {"history.sql": HISTORY}

    @pytest.fixture
    def write(self, admin_dsn: str) -> Iterator[Any]:
        """Run statements as an application that knows nothing of stream tables."""
        dsn = psycopg.conninfo.make_conninfo(admin_dsn, user=WRITER, password="plain")
        with psycopg.connect(dsn, autocommit=True) as connection:
            yield connection.execute

    def test_life(self, project: Any, admin_dsn: str, write: Any) -> None:
        assert not observe.one(project, "select rolsuper from pg_roles where rolname = user")
        run_dbt(["build"])
        with psycopg.connect(admin_dsn, autocommit=True) as admin:
            admin.execute(f"revoke create on database {admin.info.dbname} from {OWNER}".encode())

        write("insert into app.orders values (100, 1, 500)")
        write("update app.orders set amount = amount + 1 where id < 10")
        write("delete from app.orders where id = 20")
        messages = observe.run("build")
        assert messages["regions"].startswith("STREAM TABLE refreshed +0 ~3 -0")
        assert messages["months"].startswith("STREAM TABLE refreshed +")
        write("update app.customers set region = 'r9' where id = 1")
        observe.run("build")
        assert observe.run("run", "--exclude", "plain")["regions"] == "STREAM TABLE unchanged"
        run_dbt(["docs", "generate"])
        assert observe.one(project, "select obj_description('{schema}.regions'::regclass)")

        text = REGIONS.replace("group by", "where o.amount > 3 group by")
        observe.write_model(project, "regions", text)
        assert observe.run("build")["regions"].startswith("STREAM TABLE replaced (query)")
        observe.run("build", "--full-refresh")
        text = MONTHS.replace("HASH:part:2", "HASH:part:3")
        observe.write_model(project, "months", text)
        assert "altered partition_by" in observe.run("build")["months"]

    def test_operations(self, project: Any, write: Any) -> None:
        observe.run("build")
        for operation in ("status", "fuse_status", "verify", "refresh", "diagnose", "explain"):
            arguments = f"{{name: {project.test_schema}.best}}"
            run_dbt(["run-operation", f"trickle_{operation}", "--args", arguments])
        for operation in ("pause", "resume", "wait_until_fresh"):
            run_dbt(["run-operation", f"trickle_{operation}", "--args", "{name: months}"])
        run_dbt(
            ["run-operation", "trickle_validate", "--args", "{query: select * from app.orders}"]
        )

    def test_swaps_and_the_end(self, project: Any, write: Any) -> None:
        observe.run("run")
        for materialized in ("table", "view", "incremental", "stream_table"):
            text = MONTHS.replace("'stream_table'", f"'{materialized}'")
            observe.write_model(project, "months", text)
            observe.run("run", "--select", "months")
            write("update app.orders set amount = amount + 1 where id = 30")
        assert observe.is_stream_table(project, "months")
        for name in ("best", "regions", "months"):
            arguments = f"{{name: {name}}}"
            run_dbt(["run-operation", "trickle_drop", "--args", arguments])
            write("insert into app.orders select max(id) + 1, 1, 7 from app.orders")
        assert observe.orphans(project) == []
