"""What the functional tests look at: messages of dbt, content, and what lies in the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from dbt.tests.util import run_dbt, run_dbt_and_capture, write_file
from psycopg.conninfo import make_conninfo

import trickle_runtime
from trickle_runtime.api import Runtime

CATALOG = "pgtrickle"


def run(*args: str, expect_pass: bool = True) -> dict[str, str]:
    """Run dbt; the message of each node by its name."""
    results = run_dbt(list(args), expect_pass=expect_pass)
    return {result.node.name: result.message for result in results}


def run_logged(*args: str, expect_pass: bool = True) -> tuple[dict[str, str], str]:
    """Run dbt with debug logs; messages and logs."""
    results, logs = run_dbt_and_capture(["--debug", *args], expect_pass=expect_pass)
    return {result.node.name: result.message for result in results}, logs


def write_model(project: Any, name: str, text: str) -> None:
    write_file(text, Path(project.project_root), "models", f"{name}.sql")


def connect(project: Any) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection beside dbt's, in autocommit mode."""
    return psycopg.connect(_dsn(project), autocommit=True)


def runtime(project: Any) -> Runtime:
    """The runtime on a connection of its own, as the command line has it."""
    return trickle_runtime.connect(_dsn(project))


def _dsn(project: Any) -> str:
    target = project.adapter.config.credentials
    return make_conninfo(
        host=target.host,
        port=target.port,
        user=target.user,
        password=target.password,
        dbname=target.database,
    )


def rows(project: Any, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query; ``{schema}`` is the test's schema."""
    with connect(project) as connection:
        return connection.execute(_in_schema(project, sql)).fetchall()


def one(project: Any, sql: str) -> Any:
    """The only column of the only row."""
    (row,) = rows(project, sql)
    (value,) = row
    return value


def execute(project: Any, sql: str) -> None:
    with connect(project) as connection:
        connection.execute(_in_schema(project, sql))


def write_behind_its_back(project: Any, sql: str) -> None:
    """Change the rows of a stream table, against which it is protected."""
    with connect(project) as connection:
        connection.execute(f"set {CATALOG}.refreshing = 'on'")
        connection.execute(_in_schema(project, sql))


def _in_schema(project: Any, sql: str) -> bytes:
    return sql.replace("{schema}", project.test_schema).encode()


def difference(project: Any, relation: str, query: str) -> list[tuple[Any, ...]]:
    """Rows that a table has and its query has not, and the other way round."""
    return rows(
        project,
        f"""
        (table {{schema}}.{relation} except all (
        {query}
        )) union all ((
        {query}
        ) except all table {{schema}}.{relation})
        """,
    )


def oid(project: Any, relation: str) -> int:
    return one(project, f"select '{{schema}}.{relation}'::regclass::oid::bigint")


def relkind(project: Any, relation: str) -> str:
    return one(
        project, f"select relkind from pg_class where oid = '{{schema}}.{relation}'::regclass"
    )


def is_stream_table(project: Any, relation: str) -> bool:
    if one(project, f"select to_regclass('{CATALOG}.pgt_stream_tables') is null"):
        return False
    return bool(
        rows(
            project,
            f"select from {CATALOG}.pgt_stream_tables"
            f" where pgt_relid = to_regclass('{{schema}}.{relation}')",
        )
    )


def setting(project: Any, relation: str, column: str) -> Any:
    """A column of the stream table's catalog row."""
    return one(
        project,
        f"select {column} from {CATALOG}.pgt_stream_tables"
        f" where pgt_relid = '{{schema}}.{relation}'::regclass",
    )


def orphans(project: Any) -> list[tuple[Any, ...]]:
    """Registrations of relations that are gone, and capture that nobody needs."""
    return rows(
        project,
        f"""
        select 'stream table', pgt_relid::bigint from {CATALOG}.pgt_stream_tables
        where pgt_relid not in (select oid from pg_class)
        union all
        select 'dependency', source_relid::bigint from {CATALOG}.pgt_dependencies
        where pgt_id not in (select pgt_id from {CATALOG}.pgt_stream_tables)
        union all
        select 'source', source_relid::bigint from {CATALOG}.pgt_sources
        where source_relid not in (select source_relid from {CATALOG}.pgt_dependencies)
        """,
    )


def triggers(project: Any, relation: str) -> list[str]:
    """Capture triggers on a table."""
    found = rows(
        project,
        f"select tgname from pg_trigger where tgrelid = '{{schema}}.{relation}'::regclass"
        " and not tgisinternal order by 1",
    )
    return [row[0] for row in found]
