"""Suites that are about tables, on stream tables."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
import yaml
from dbt.tests.adapter.catalog import files as catalog_files
from dbt.tests.adapter.catalog.relation_types import CatalogRelationTypes
from dbt.tests.adapter.constraints import fixtures as constraint_fixtures
from dbt.tests.adapter.constraints.test_constraints import (
    BaseConstraintQuotedColumn,
    BaseConstraintsColumnsEqual,
    BaseConstraintsRollback,
    BaseConstraintsRuntimeDdlEnforcement,
    BaseModelConstraintsRuntimeEnforcement,
)
from dbt.tests.adapter.dbt_clone import fixtures as clone_fixtures
from dbt.tests.adapter.dbt_clone.test_dbt_clone import TestPostgresCloneNotPossible
from dbt.tests.adapter.empty import _models as empty_models
from dbt.tests.adapter.empty.test_empty import BaseTestEmpty
from dbt.tests.adapter.grants import test_invalid_grants, test_model_grants
from dbt.tests.adapter.grants.test_invalid_grants import BaseInvalidGrants
from dbt.tests.adapter.grants.test_model_grants import BaseModelGrants
from dbt.tests.adapter.persist_docs import fixtures as docs_fixtures
from dbt.tests.adapter.persist_docs.test_persist_docs import (
    BasePersistDocs,
    BasePersistDocsAllColumnsMissing,
    BasePersistDocsColumnMissing,
    BasePersistDocsCommentOnQuotedColumn,
    BasePersistDocsQuotedColumnCaseSensitive,
    BasePersistDocsQuotedDescriptionNotAppliedOnMismatch,
)
from dbt.tests.adapter.relations.test_changing_relation_type import (
    BaseChangeRelationTypeValidator,
)
from dbt.tests.adapter.relations.test_dropping_schema_named import BaseDropSchemaNamed
from dbt.tests.adapter.sample_mode import fixtures as sample_fixtures
from dbt.tests.adapter.sample_mode.test_sample_mode import BaseSampleModeTest
from dbt.tests.adapter.unit_testing.test_case_insensitivity import BaseUnitTestCaseInsensivity
from dbt.tests.adapter.unit_testing.test_invalid_input import BaseUnitTestInvalidInput
from dbt.tests.adapter.unit_testing.test_quoted_reserved_word_column_names import (
    BaseUnitTestQuotedReservedWordColumnNames,
)
from dbt.tests.adapter.unit_testing.test_types import (
    BaseUnitTestingTypes,
    BaseUnitTestingVarcharFixtureNoTruncation,
)
from dbt.tests.util import get_manifest, run_dbt

from tests.functional import observe
from tests.functional.conformance import test_adapted

HEAD = "{{ config(materialized='stream_table') }}\n"


def as_stream_table(text: str) -> str:
    """A model or properties with ``stream_table`` for the ``table`` that is written there."""
    for before in ("materialized='table'", 'materialized="table"', 'materialized = "table"'):
        if before in text:
            return text.replace(before, "materialized='stream_table'")
    assert "materialized: table" in text, text
    return text.replace("materialized: table", "materialized: stream_table")


class AsStreamTables:
    """A project all of whose models are stream tables."""

    @pytest.fixture(scope="class")
    def project_config_update(self) -> dict[str, Any]:
        return {"models": {"+materialized": "stream_table"}}


class TestChangeRelationType(BaseChangeRelationTypeValidator):
    def test_changing_materialization_changes_relation_type(self, project: Any) -> None:
        kinds = ("view", "table", "incremental", "materialized_view")
        self._run_and_check_materialization("stream_table")
        for kind in kinds:
            self._run_and_check_materialization(kind)
            self._run_and_check_materialization("stream_table")
            self._run_and_check_materialization(kind, extra_args=["--full-refresh"])
            self._run_and_check_materialization("stream_table", extra_args=["--full-refresh"])
            assert observe.is_stream_table(project, "model_mc_modelface")
        assert observe.orphans(project) == []


class TestCatalog(CatalogRelationTypes):
    @pytest.fixture(scope="class", autouse=True)
    def models(self) -> dict[str, str]:
        return {
            "my_table.sql": catalog_files.MY_TABLE,
            "my_view.sql": catalog_files.MY_VIEW,
            "my_stream_table.sql": as_stream_table(catalog_files.MY_TABLE),
        }

    @pytest.mark.parametrize(
        ("node_name", "relation_type"),
        [
            ("seed.test.my_seed", "BASE TABLE"),
            ("model.test.my_table", "BASE TABLE"),
            ("model.test.my_view", "VIEW"),
            ("model.test.my_stream_table", "STREAM TABLE"),
        ],
    )
    def test_relation_types_populate_correctly(
        self, docs: Any, node_name: str, relation_type: str
    ) -> None:
        super().test_relation_types_populate_correctly(docs, node_name, relation_type)


class StreamTableGrants:
    """These suites write their properties themselves: those of tables become ours for as long."""

    suite: ModuleType

    @pytest.fixture(scope="class", autouse=True)
    def properties_of_stream_tables(self) -> Any:
        names = [name for name in vars(self.suite) if "table_model_schema_yml" in name]
        with pytest.MonkeyPatch.context() as patch:
            for name in names:
                patch.setattr(self.suite, name, as_stream_table(getattr(self.suite, name)))
            yield


@pytest.mark.slow
class TestModelGrants(StreamTableGrants, BaseModelGrants):
    suite = test_model_grants

    @pytest.fixture(scope="class", autouse=True)
    def manifest_in_their_words(self) -> Any:
        """Between the grants the suite looks whether the model is a table by now."""

        def reworded(root: Any) -> Any:
            manifest = get_manifest(root)
            for node in manifest.nodes.values():
                if node.config.materialized == "stream_table":
                    node.config.materialized = "table"
            return manifest

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(test_model_grants, "get_manifest", reworded)
            yield

    def test_view_table_grants(self, project: Any, get_test_users: Any) -> None:
        super().test_view_table_grants(project, get_test_users)
        assert observe.is_stream_table(project, "my_model")


@pytest.mark.slow
class TestInvalidGrants(StreamTableGrants, BaseInvalidGrants):
    suite = test_invalid_grants

    def test_invalid_grants(self, project: Any, get_test_users: Any, logs_dir: str) -> None:
        super().test_invalid_grants(project, get_test_users, logs_dir)
        assert observe.one(project, "select to_regclass('{schema}.my_invalid_model')") is None
        assert observe.orphans(project) == []


@pytest.mark.slow
class TestDropSchemaNamed(AsStreamTables, BaseDropSchemaNamed):
    def test_dropped_schema_named_drops_expected_schema(self, project: Any) -> None:
        super().test_dropped_schema_named_drops_expected_schema(project)
        assert observe.orphans(project) == []


class TestPersistDocs(BasePersistDocs):
    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {
            "no_docs_model.sql": docs_fixtures._MODELS__NO_DOCS_MODEL,
            "table_model.sql": as_stream_table(docs_fixtures._MODELS__TABLE),
            "view_model.sql": docs_fixtures._MODELS__VIEW,
        }


class OneModel:
    """A suite with a single model, as a stream table."""

    name: ClassVar[str]
    text: ClassVar[str]

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {f"{self.name}.sql": as_stream_table(self.text)}


@pytest.mark.slow
class TestPersistDocsColumnMissing(OneModel, BasePersistDocsColumnMissing):
    name = "missing_column"
    text = docs_fixtures._MODELS__MISSING_COLUMN


@pytest.mark.slow
class TestPersistDocsAllColumnsMissing(OneModel, BasePersistDocsAllColumnsMissing):
    name = "all_columns_missing"
    text = docs_fixtures._MODELS__ALL_COLUMNS_MISSING


@pytest.mark.slow
class TestPersistDocsQuotedColumn(BasePersistDocsCommentOnQuotedColumn):
    @pytest.fixture(scope="class")
    def project_config_update(self) -> dict[str, Any]:
        docs = {"relation": True, "columns": True}
        return {"models": {"+materialized": "stream_table", "+persist_docs": docs}}


@pytest.mark.slow
class TestPersistDocsQuotedCase(OneModel, BasePersistDocsQuotedColumnCaseSensitive):
    name = "quoted_case_sensitive"
    text = docs_fixtures._MODELS__QUOTED_CASE_SENSITIVE


@pytest.mark.slow
class TestPersistDocsQuotedMismatch(
    OneModel, BasePersistDocsQuotedDescriptionNotAppliedOnMismatch
):
    name = "quoted_physical_case_mismatch"
    text = docs_fixtures._MODELS__QUOTED_PHYSICAL_CASE_MISMATCH


@pytest.mark.slow
class TestConstraintsColumnsEqual(BaseConstraintsColumnsEqual):
    """The types of columns; constraints come with the properties of the first two models."""

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        fixtures = constraint_fixtures
        return {
            "my_model_wrong_order.sql": as_stream_table(fixtures.my_model_wrong_order_sql),
            "my_model_wrong_name.sql": as_stream_table(fixtures.my_model_wrong_name_sql),
            "constraints_schema.yml": fixtures.model_schema_yml,
        }

    @pytest.fixture(autouse=True)
    def models_of_types(self, monkeypatch: pytest.MonkeyPatch) -> None:
        text = as_stream_table(constraint_fixtures.my_model_data_type_sql)
        # It goes through str.format, where braces of our own would be doubled.
        monkeypatch.setattr(constraint_fixtures, "my_model_data_type_sql", text)


class TestConstraintsRollback(BaseConstraintsRollback):
    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {
            "my_model.sql": as_stream_table(constraint_fixtures.my_model_sql),
            "constraints_schema.yml": constraint_fixtures.model_schema_yml,
        }

    @pytest.fixture(scope="class")
    def null_model_sql(self) -> str:
        return as_stream_table(constraint_fixtures.my_model_with_nulls_sql)


def without_foreign_keys(text: str) -> str:
    properties = yaml.safe_load(text)
    for model in properties["models"]:
        for holder in (model, *model["columns"]):
            declared = holder.get("constraints", [])
            holder["constraints"] = [one for one in declared if one["type"] != "foreign_key"]
    return yaml.safe_dump(properties)


class StreamTableConstraints:
    """The suite compares the text of a CREATE TABLE; here PostgreSQL is asked what there is."""

    constraints: tuple[str, ...]
    not_null: tuple[str, ...]

    def run_and_check(self, project: Any) -> None:
        properties = Path(project.project_root) / "models" / "constraints_schema.yml"
        declared = properties.read_text().format(schema=project.test_schema)
        if "foreign_key" in declared:
            properties.write_text(declared)
            message = observe.run("run", expect_pass=False)["my_model"]
            assert "'foreign_key' is not possible on a stream table" in message
            declared = without_foreign_keys(declared)
        properties.write_text(declared)
        observe.run("run")
        found = observe.rows(
            project,
            "select pg_get_constraintdef(oid) from pg_constraint"
            " where conrelid = '{schema}.my_model'::regclass and contype <> 'n' order by 1",
        )
        assert tuple(row[0] for row in found) == self.constraints
        found = observe.rows(
            project,
            "select attname from pg_attribute"
            " where attrelid = '{schema}.my_model'::regclass and attnotnull and attnum > 0",
        )
        assert tuple(row[0] for row in found) == self.not_null


@pytest.mark.slow
class TestConstraintsOfColumns(StreamTableConstraints, BaseConstraintsRuntimeDdlEnforcement):
    constraints = ("CHECK ((id > 0))", "CHECK ((id >= 1))", "PRIMARY KEY (id)", "UNIQUE (id)")
    not_null = ("id",)

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        fixtures = constraint_fixtures
        return {
            "my_model.sql": as_stream_table(fixtures.my_model_wrong_order_depends_on_fk_sql),
            "foreign_key_model.sql": fixtures.foreign_key_model_sql,
            "constraints_schema.yml": fixtures.model_fk_constraint_schema_yml,
        }

    def test__constraints_ddl(self, project: Any) -> None:
        self.run_and_check(project)


@pytest.mark.slow
class TestConstraintsOfTheModel(StreamTableConstraints, BaseModelConstraintsRuntimeEnforcement):
    constraints = (
        "CHECK ((id > 0))",
        "CHECK ((id >= 1))",
        "PRIMARY KEY (id)",
        "UNIQUE (color, date_day)",
    )
    not_null = ("id",)

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        fixtures = constraint_fixtures
        return {
            "my_model.sql": as_stream_table(fixtures.my_model_wrong_order_depends_on_fk_sql),
            "foreign_key_model.sql": as_stream_table(fixtures.foreign_key_model_sql),
            "constraints_schema.yml": fixtures.constrained_model_schema_yml,
        }

    def test__model_constraints_ddl(self, project: Any) -> None:
        self.run_and_check(project)


@pytest.mark.slow
class TestConstraintQuotedColumn(StreamTableConstraints, BaseConstraintQuotedColumn):
    constraints = ("CHECK ((\"from\" = 'blue'::text))",)
    not_null = ("id", "from")

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        fixtures = constraint_fixtures
        return {
            "my_model.sql": fixtures.my_model_with_quoted_column_name_sql,
            "constraints_schema.yml": as_stream_table(fixtures.model_quoted_column_schema_yml),
        }

    def test__constraints_ddl(self, project: Any) -> None:
        self.run_and_check(project)


@pytest.mark.slow
class TestEmptyInlineSource(AsStreamTables, test_adapted.TestEmptyInlineSourceRef):
    pass


@pytest.mark.slow
class TestMetadataWithEmpty(AsStreamTables, test_adapted.TestMetadataWithEmptyFlag):
    pass


@pytest.mark.slow
class TestEmpty(BaseTestEmpty):
    """A first run with ``--empty``; on an existing stream table it changes nothing."""

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {
            "model_input.sql": empty_models.model_input_sql,
            "ephemeral_model_input.sql": empty_models.ephemeral_model_input_sql,
            "model.sql": HEAD + empty_models.model_sql,
            "sources.yml": empty_models.schema_sources_yml,
        }

    def test_run_with_empty(self, project: Any) -> None:
        run_dbt(["seed"])
        run_dbt(["run", "--empty"])
        self.assert_row_count(project, "model", 0)
        run_dbt(["run"])
        self.assert_row_count(project, "model", 3)
        run_dbt(["run", "--empty", "--exclude", "model_input"])
        self.assert_row_count(project, "model", 3)


@pytest.mark.slow
class TestSampleMode(BaseSampleModeTest):
    """A sample is built where nothing is; an existing stream table is kept."""

    @pytest.fixture(scope="class")
    def model_that_samples_input_sql(self) -> str:
        return as_stream_table(sample_fixtures.model_that_samples_input_sql)

    def test_sample_mode(self, project: Any) -> None:
        with pytest.raises(AssertionError, match="model_that_samples_input_sql"):
            super().test_sample_mode(project)
        self.assert_row_count(project, "model_that_samples_input_sql", 3)


@pytest.mark.slow
class TestCloneNotPossible(TestPostgresCloneNotPossible):
    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {
            "table_model.sql": as_stream_table(clone_fixtures.table_model_sql),
            "view_model.sql": clone_fixtures.view_model_sql,
            "ephemeral_model.sql": clone_fixtures.ephemeral_model_sql,
            "schema.yml": clone_fixtures.schema_yml,
            "exposures.yml": clone_fixtures.exposures_yml,
        }

    def test_can_clone_false(self, project: Any, unique_schema: str, other_schema: str) -> None:
        super().test_can_clone_false(project, unique_schema, other_schema)
        assert observe.is_stream_table(project, "table_model")
        # On top of clones it would put capture on what they show, another environment's tables.
        there = ["--target", "otherschema"]
        message = observe.run("run", *there, "-s", "table_model", expect_pass=False)
        assert "outside the schemas of this target" in message["table_model"]
        # A stream table of this environment gives way to a clone, and nothing is left of it.
        project.run_sql(f"drop schema {other_schema} cascade")
        project.create_test_schema(other_schema)
        run_dbt(["seed", *there])
        assert observe.run("run", *there)["table_model"] == "STREAM TABLE created"
        run_dbt(["clone", "--state", "state", *there, "--full-refresh"])
        assert observe.orphans(project) == []


@pytest.mark.slow
class TestUnitTestCaseInsensitivity(AsStreamTables, BaseUnitTestCaseInsensivity):
    pass


@pytest.mark.slow
class TestUnitTestInvalidInput(AsStreamTables, BaseUnitTestInvalidInput):
    pass


@pytest.mark.slow
class TestUnitTestQuotedNames(AsStreamTables, BaseUnitTestQuotedReservedWordColumnNames):
    pass


@pytest.mark.slow
class TestUnitTestTypes(AsStreamTables, BaseUnitTestingTypes):
    pass


@pytest.mark.slow
class TestUnitTestVarchar(AsStreamTables, BaseUnitTestingVarcharFixtureNoTruncation):
    pass
