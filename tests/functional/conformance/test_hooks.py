"""The official hooks suite. It hard-codes dbt-postgres' own test target, so that part is ours."""

from __future__ import annotations

from typing import Any

import pytest
from dbt.tests.adapter.hooks import test_model_hooks, test_run_hooks

from tests.functional import observe

pytestmark = pytest.mark.slow

FIELDS = (
    "test_state",
    "target_dbname",
    "target_host",
    "target_name",
    "target_schema",
    "target_type",
    "target_user",
    "target_pass",
    "target_threads",
    "run_started_at",
    "invocation_id",
    "thread_id",
)
COLUMNS = ", ".join(
    f"{field} {'int' if field == 'target_threads' else 'text'}" for field in FIELDS
)


def check(project: Any, table: str, state: str, count: int) -> None:
    fields = ", ".join(FIELDS)
    found = observe.rows(
        project, f"select {fields} from {{schema}}.{table} where test_state = '{state}'"
    )
    assert len(found) == count
    target = project.adapter.config.credentials
    for row in found:
        values = dict(zip(FIELDS, row, strict=True))
        assert values["target_dbname"] == target.database
        assert values["target_host"] == target.host
        assert values["target_schema"] == project.test_schema
        assert values["target_type"] == "trickle"
        assert values["target_user"] == target.user
        assert values["target_pass"] == ""
        assert values["target_threads"] == 4
        assert values["run_started_at"]
        assert values["invocation_id"]


class ModelHooks:
    @pytest.fixture(scope="class", autouse=True)
    def setUp(self, project: Any) -> None:
        observe.execute(project, f"create table {{schema}}.on_model_hook ({COLUMNS})")

    def check_hooks(self, state: str, project: Any, host: str, count: int = 1) -> None:
        check(project, "on_model_hook", state, count)


class TestModelHooks(ModelHooks, test_model_hooks.BasePrePostModelHooks):
    pass


class TestModelHooksUnderscores(ModelHooks, test_model_hooks.TestPrePostModelHooksUnderscores):
    pass


class TestHookRefs(ModelHooks, test_model_hooks.BaseHookRefs):
    pass


class TestModelHooksInConfig(ModelHooks, test_model_hooks.BasePrePostModelHooksInConfig):
    pass


class TestModelHooksCount(ModelHooks, test_model_hooks.BasePrePostModelHooksInConfigWithCount):
    pass


class TestModelHooksKwargs(ModelHooks, test_model_hooks.BasePrePostModelHooksInConfigKwargs):
    pass


class TestHooksOnSeeds(test_model_hooks.BasePrePostModelHooksOnSeeds):
    pass


class TestHooksRefsOnSeeds(test_model_hooks.BaseHooksRefsOnSeeds):
    pass


class TestHooksOnSeedsPlus(test_model_hooks.BasePrePostModelHooksOnSeedsPlusPrefixed):
    pass


class TestHooksOnSeedsPlusWhitespace(
    test_model_hooks.BasePrePostModelHooksOnSeedsPlusPrefixedWhitespace
):
    pass


class TestHooksOnSnapshots(test_model_hooks.BasePrePostModelHooksOnSnapshots):
    pass


class TestSnapshotHooksKwargs(test_model_hooks.BasePrePostSnapshotHooksInConfigKwargs):
    pass


class TestDuplicateHooks(test_model_hooks.BaseDuplicateHooksInConfigs):
    pass


class TestRunHooks(test_run_hooks.BasePrePostRunHooks):
    @pytest.fixture
    def setUp(self, project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        tables = ("on_run_hook", "schemas", "db_schemas")
        names = ", ".join(f"{{schema}}.{table}" for table in tables)
        observe.execute(project, f"drop table if exists {names}")
        observe.execute(project, f"create table {{schema}}.on_run_hook ({COLUMNS})")
        monkeypatch.setenv("TERM_TEST", "TESTING")

    def check_hooks(self, state: str, project: Any, host: str) -> None:
        check(project, "on_run_hook", state, 1)


class TestAfterRunHooks(test_run_hooks.BaseAfterRunHooks):
    pass
