"""Classes of the suite with dbt-postgres' own name or server written into them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dbt.tests.adapter.empty import _models as empty_models
from dbt.tests.adapter.empty.test_empty import BaseTestEmptyInlineSourceRef, MetadataWithEmptyFlag
from dbt.tests.adapter.ephemeral.test_ephemeral import BaseEphemeralMulti, BaseEphemeralNested
from dbt.tests.adapter.functions.test_udfs import SqlUDFDefaultArgSupport
from dbt.tests.adapter.simple_copy.test_copy_uppercase import BaseSimpleCopyUppercase
from dbt.tests.adapter.simple_seed import test_seed
from dbt.tests.adapter.utils import fixture_date_spine, fixture_get_intervals_between
from dbt.tests.adapter.utils.test_date_spine import BaseDateSpine
from dbt.tests.adapter.utils.test_get_intervals_between import BaseGetIntervalsBetween
from psycopg import sql

from tests.fix_server import TestServer

pytestmark = pytest.mark.slow


def ours(text: str) -> str:
    assert "target.type == 'postgres'" in text
    return text.replace("target.type == 'postgres'", "target.type == 'trickle'")


class TestDateSpine(BaseDateSpine):
    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {
            "test_date_spine.yml": fixture_date_spine.models__test_date_spine_yml,
            "test_date_spine.sql": self.interpolate_macro_namespace(
                ours(fixture_date_spine.models__test_date_spine_sql), "date_spine"
            ),
        }


class TestGetIntervalsBetween(BaseGetIntervalsBetween):
    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        fixture = fixture_get_intervals_between
        return {
            "test_get_intervals_between.yml": fixture.models__test_get_intervals_between_yml,
            "test_get_intervals_between.sql": self.interpolate_macro_namespace(
                ours(fixture.models__test_get_intervals_between_sql), "get_intervals_between"
            ),
        }


class TestMetadataWithEmptyFlag(MetadataWithEmptyFlag):
    """A column in upper case, as only Snowflake has it where the seed says lower."""

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        assert "MY_VALUE" in empty_models.ALTER_COLUMN_TYPE
        text = empty_models.ALTER_COLUMN_TYPE.replace("MY_VALUE", "my_value")
        return {
            "schema.yml": empty_models.SCHEMA,
            "control.sql": empty_models.CONTROL,
            "get_columns_in_relation.sql": empty_models.GET_COLUMNS_IN_RELATION,
            "alter_column_type.sql": text,
            "alter_relation_comment.sql": empty_models.ALTER_RELATION_COMMENT,
            "alter_column_comment.sql": empty_models.ALTER_COLUMN_COMMENT,
            "alter_relation_add_remove_columns.sql": (
                empty_models.ALTER_RELATION_ADD_REMOVE_COLUMNS
            ),
            "truncate_relation.sql": empty_models.TRUNCATE_RELATION,
        }


class TestEmptyInlineSourceRef(BaseTestEmptyInlineSourceRef):
    """Without the alias behind ``source()``, where PostgreSQL has one of dbt's already."""

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        assert " as raw_source" in empty_models.model_inline_sql
        return {
            "model.sql": empty_models.model_inline_sql.replace(" as raw_source", ""),
            "sources.yml": empty_models.schema_sources_yml,
        }


@contextmanager
def database(server: TestServer, name: str) -> Iterator[None]:
    identifier = sql.Identifier(name)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(identifier))
        yield
        connection.execute(sql.SQL("drop database {} with (force)").format(identifier))


class TestSimpleCopyUppercase(BaseSimpleCopyUppercase):
    """In a database whose name needs quotes."""

    @pytest.fixture(scope="class")
    def dbt_profile_target(self, dbt_target: dict[str, Any], server: TestServer) -> Iterator[Any]:
        with database(server, "dbtMixedCase"):
            yield {**dbt_target, "dbname": "dbtMixedCase"}


class NamedAsInTheSuite:
    """Compiled text is compared with the names of dbt's database and file, but for digits."""

    @pytest.fixture(scope="class")
    def dbt_profile_target(self, dbt_target: dict[str, Any], server: TestServer) -> Iterator[Any]:
        name = f"dbt{os.getpid()}"
        with database(server, name):
            yield {**dbt_target, "dbname": name}

    @pytest.fixture(scope="class")
    def unique_schema(self, prefix: str) -> str:
        return f"{prefix}_test_ephemeral"


class TestEphemeralMulti(NamedAsInTheSuite, BaseEphemeralMulti):
    pass


class TestEphemeralNested(NamedAsInTheSuite, BaseEphemeralNested):
    pass


class TestSqlUDFDefaultArgSupport(SqlUDFDefaultArgSupport):
    """PostgreSQL has defaults of arguments."""

    expect_default_arg_support = True


class TestSimpleSeedWithBOM(test_seed.BaseSimpleSeedWithBOM):
    """Its file lies beside the suite, not beside us."""

    @pytest.fixture(scope="class")
    def project(self, project: Any) -> Any:
        project.test_dir = str(Path(test_seed.__file__).parent)
        return project
