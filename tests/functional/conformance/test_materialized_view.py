"""The official materialized-view suite: for materialized views, and ported to stream tables."""

from __future__ import annotations

from typing import Any

import pytest
from dbt.tests.adapter.materialized_view import files
from dbt.tests.adapter.materialized_view.basic import MaterializedViewBasic
from dbt.tests.adapter.materialized_view.changes import (
    MaterializedViewChanges,
    MaterializedViewChangesApplyMixin,
    MaterializedViewChangesContinueMixin,
    MaterializedViewChangesFailMixin,
)
from dbt.tests.util import get_model_file, run_dbt, set_model_file

from dbt.adapters.trickle.relation import TrickleRelation, TrickleRelationType
from tests.functional import observe

MY_STREAM_TABLE = files.MY_MATERIALIZED_VIEW.replace("materialized_view", "stream_table")


def relation_type(project: Any, relation: TrickleRelation) -> str | None:
    """The type in the words of the suite, which knows no stream tables."""
    name = relation.include(database=False).render()
    found = observe.rows(
        project, f"select relkind from pg_class where oid = to_regclass('{name}')"
    )
    if not found:
        return None
    if found[0][0] == "r" and observe.is_stream_table(project, relation.identifier):
        return "materialized_view"
    return {"r": "table", "v": "view", "m": "materialized_view"}[found[0][0]]


def edit(project: Any, relation: TrickleRelation, old: str, new: str) -> None:
    text = get_model_file(project, relation)
    assert old in text
    set_model_file(project, relation, text.replace(old, new))


class MaterializedViewCase(MaterializedViewBasic):
    word = "materialized_view"

    @staticmethod
    def insert_record(project: Any, table: TrickleRelation, record: tuple[int, int]) -> None:
        observe.execute(project, f"insert into {table} values {record}")

    @staticmethod
    def query_row_count(project: Any, relation: TrickleRelation) -> int:
        return observe.one(project, f"select count(*) from {relation}")

    @staticmethod
    def query_relation_type(project: Any, relation: TrickleRelation) -> str | None:
        return relation_type(project, relation)


@pytest.mark.slow
class TestMaterializedView(MaterializedViewCase):
    @staticmethod
    def refresh_materialized_view(project: Any, relation: TrickleRelation) -> None:
        observe.execute(project, f"refresh materialized view {relation}")


class TestStreamTable(MaterializedViewCase):
    @pytest.fixture(scope="class", autouse=True)
    def models(self) -> Any:
        return {
            "my_table.sql": files.MY_TABLE,
            "my_view.sql": files.MY_VIEW,
            "my_materialized_view.sql": MY_STREAM_TABLE,
        }

    @pytest.fixture(scope="class")
    def my_materialized_view(self, project: Any) -> TrickleRelation:
        return stream_table(project)

    @staticmethod
    def swap_table_to_materialized_view(project: Any, table: TrickleRelation) -> None:
        edit(project, table, "materialized='table'", "materialized='stream_table'")

    @staticmethod
    def swap_view_to_materialized_view(project: Any, view: TrickleRelation) -> None:
        edit(project, view, "materialized='view'", "materialized='stream_table'")

    @staticmethod
    def swap_materialized_view_to_table(project: Any, relation: TrickleRelation) -> None:
        edit(project, relation, "materialized='stream_table'", "materialized='table'")

    @staticmethod
    def swap_materialized_view_to_view(project: Any, relation: TrickleRelation) -> None:
        edit(project, relation, "materialized='stream_table'", "materialized='view'")

    @staticmethod
    def refresh_materialized_view(project: Any, relation: TrickleRelation) -> None:
        run_dbt(["run-operation", "trickle_refresh", "--args", f"{{name: {relation.identifier}}}"])


def stream_table(project: Any) -> TrickleRelation:
    return project.adapter.Relation.create(
        identifier="my_materialized_view",
        schema=project.test_schema,
        database=project.database,
        type=TrickleRelationType.StreamTable,
    )


def has_index_on_value(project: Any) -> bool:
    sql = (
        "select from pg_indexes where schemaname = '{schema}'"
        " and tablename = 'my_materialized_view' and indexdef ~ '[(]value[)]'"
    )
    return bool(observe.rows(project, sql))


class StreamTableChanges(MaterializedViewChanges):
    @pytest.fixture(scope="class", autouse=True)
    def models(self) -> Any:
        return {"my_materialized_view.sql": MY_STREAM_TABLE}

    @pytest.fixture(scope="class")
    def my_materialized_view(self, project: Any) -> TrickleRelation:
        return stream_table(project)

    @staticmethod
    def query_relation_type(project: Any, relation: TrickleRelation) -> str | None:
        return relation_type(project, relation)

    @staticmethod
    def check_start_state(project: Any, materialized_view: TrickleRelation) -> None:
        name = materialized_view.identifier
        assert observe.setting(project, name, "fuse_mode") == "off"
        assert not has_index_on_value(project)
        assert observe.one(project, f"select sum(value) from {materialized_view}") == 600

    @staticmethod
    def change_config_via_alter(project: Any, materialized_view: TrickleRelation) -> None:
        """A setting of ours, and what dbt-postgres alters on its materialized views."""
        index = "indexes=[{'columns': ['value']}]"
        edit(project, materialized_view, "materialized=", f"fuse='auto', {index}, materialized=")

    @staticmethod
    def check_state_alter_change_is_applied(
        project: Any, materialized_view: TrickleRelation
    ) -> None:
        assert observe.setting(project, materialized_view.identifier, "fuse_mode") == "auto"
        assert has_index_on_value(project)

    @staticmethod
    def change_config_via_replace(project: Any, materialized_view: TrickleRelation) -> None:
        edit(project, materialized_view, "select *", "select id, value * 2 as value")

    @staticmethod
    def check_state_replace_change_is_applied(
        project: Any, materialized_view: TrickleRelation
    ) -> None:
        assert observe.one(project, f"select sum(value) from {materialized_view}") == 1200


class TestStreamTableChangesApply(StreamTableChanges, MaterializedViewChangesApplyMixin):
    pass


class TestStreamTableChangesContinue(StreamTableChanges, MaterializedViewChangesContinueMixin):
    pass


class TestStreamTableChangesFail(StreamTableChanges, MaterializedViewChangesFailMixin):
    pass
