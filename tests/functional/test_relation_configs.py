"""The model's configuration and the changeset; no database."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from dbt.artifacts.resources.v1.config import NodeConfig
from dbt_common.exceptions import DbtRuntimeError

from dbt.adapters.trickle.indexes import IndexPlan, plan_indexes
from dbt.adapters.trickle.relation_configs import StreamTableConfig, changeset
from trickle_runtime.config import StreamTableOptions

DBT_NAME = "0123456789abcdef0123456789abcdef"


def model(**config: Any) -> Any:
    return SimpleNamespace(
        name="st", compiled_code="select 1 as id", config=NodeConfig.from_dict(config)
    )


def parse(**config: Any) -> StreamTableConfig:
    return StreamTableConfig.from_relation_config(model(**config))


def changed(before: dict[str, Any], after: dict[str, Any], same_query: bool = True) -> list[str]:
    existing = StreamTableOptions.parse(before)
    found = changeset(existing, parse(**after), same_query=same_query)
    return list(found.names) if found else []


def test_defaults_are_those_of_the_runtime() -> None:
    assert parse().options == StreamTableOptions()


def test_meta_is_read_and_top_level_wins() -> None:
    config = parse(schedule="5m", meta={"trickle": {"schedule": "1h", "fuse": "auto"}})
    assert (config.options.schedule, config.options.fuse) == ("5m", "auto")


def test_none_is_not_given() -> None:
    assert parse(schedule=None, meta={"trickle": {"schedule": None}}) == parse()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"fuse": "maybe"}, ["'st'", "fuse", "'maybe'", "off, on, auto"]),
        ({"fuse_ceiling": "many"}, ["'st'", "fuse_ceiling", "whole number"]),
        ({"refresh_on_run": "sometimes"}, ["'st'", "refresh_on_run", "auto, true, false"]),
        ({"schedule": "often"}, ["'st'", "often"]),
        ({"partition_by": ["a"]}, ["'st'", "partition_by"]),
        ({"meta": {"trickle": {"fuse_celing": 1}}}, ["fuse_celing", "fuse_ceiling"]),
        ({"meta": {"trickle": {"wait_timout": 1}}}, ["wait_timout", "'wait_timeout'"]),
        ({"meta": {"trickle": {"x": 1}}}, ["'x'", "schedule", "gate, wait, wait_timeout"]),
        ({"meta": {"trickle": "x"}}, ["meta.trickle"]),
        ({"refresh_mode": "immediate"}, ["not available", "auto, differential, full."]),
        ({"capture_outside": "yes"}, ["capture_outside", "true, false"]),
        ({"sql_header": "set x.y = 1"}, ["'st'", "sql_header", "pre_hook"]),
        ({"unlogged": True}, ["'st'", "unlogged"]),
        ({"gate": 1}, ["'st'", "gate", "true, false"]),
        ({"wait": "yes"}, ["'st'", "wait", "true, false"]),
        ({"wait_timeout": 0}, ["'st'", "wait_timeout", "seconds"]),
        ({"meta": {"trickle": {"wait_timeout": "long"}}}, ["wait_timeout", "'long'", "seconds"]),
    ],
)
def test_an_error_names_model_key_and_values(config: dict[str, Any], expected: list[str]) -> None:
    with pytest.raises(DbtRuntimeError) as error:
        parse(**config)
    for part in expected:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"schedule": "60s"}, {"schedule": "1m"}),
        ({"schedule": "*/5 * * * *"}, {"schedule": " */5  *  * * * "}),
        ({"refresh_mode": "differential"}, {"refresh_mode": "DIFFERENTIAL"}),
        ({"fuse": "off"}, {"fuse": False}),
        ({"partition_by": "a, b"}, {"partition_by": "a,b"}),
        ({"partition_by": "LIST:a"}, {"partition_by": "list: a"}),
        ({"partition_by": "RANGE:a"}, {"partition_by": "a"}),
        ({"initialize": True}, {"initialize": False}),
        ({"status": "paused"}, {}),
        ({"unique_key": ["id"]}, {"unique_key": "id"}),
    ],
)
def test_no_spurious_change(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert changed(before, after) == []


def test_changes_are_named_in_order() -> None:
    after = {"schedule": "5m", "fuse": "on", "fuse_ceiling": 10, "status": "paused"}
    assert changed({}, after) == ["schedule", "fuse", "fuse_ceiling", "status"]


def test_an_option_that_is_no_longer_given_returns_to_its_default() -> None:
    assert changed({"schedule": "5m", "fuse": "auto"}, {}) == ["schedule", "fuse"]


def test_only_query_and_key_compute_rows_anew() -> None:
    existing = StreamTableOptions()
    altered = changeset(existing, parse(schedule="5m"), same_query=True)
    replaced = changeset(existing, parse(), same_query=False)
    assert altered
    assert not altered.requires_full_refresh
    assert replaced
    assert replaced.requires_full_refresh


def test_a_misspelled_option_is_doubted() -> None:
    doubts = parse(fuse_celing=3, indexes=[], unlogged=False).doubts
    assert doubts == ("'fuse_celing' is no option of a stream table; 'fuse_ceiling'?",)


def test_keys_of_an_incremental_model_are_doubted() -> None:
    doubts = parse(incremental_strategy="merge", on_schema_change="ignore", unique_key="id").doubts
    assert len(doubts) == 1
    assert doubts[0].startswith("'incremental_strategy' means nothing")


PGTRICKLE = {
    "schedule": "5m",
    "refresh_mode": "DIFFERENTIAL",
    "initialize": True,
    "status": "ACTIVE",
    "stream_table_name": "st",
    "cdc_mode": "TRIGGER",
    "partition_by": "id",
    "fuse": "auto",
    "fuse_ceiling": 1000,
    "fuse_sensitivity": 2.5,
    "append_only": False,
    "storage_backend": "heap",
    "diamond_consistency": "RELAXED",
    "diamond_schedule_policy": "fastest",
    "max_delta_fraction": 0.2,
}


def test_the_configuration_of_dbt_pgtrickle_is_understood() -> None:
    config = parse(**PGTRICKLE)
    assert config.options == StreamTableOptions(
        schedule="5m",
        refresh_mode="differential",
        cdc_mode="trigger",
        partition_by="id",
        fuse="auto",
        fuse_ceiling=1000,
        fuse_sensitivity=2.5,
        diamond_consistency="none",
    )
    assert [doubt.split("'")[1] for doubt in config.doubts] == [
        "diamond_schedule_policy",
        "max_delta_fraction",
    ]
    assert parse(status="SUSPENDED").options.status == "paused"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"stream_table_name": "other"}, ["stream_table_name 'other'", "alias"]),
        ({"stream_table_schema": "other"}, ["stream_table_schema 'other'", "schema"]),
        ({"temporal": True}, ["temporal True", "snapshot"]),
        ({"storage_backend": "columnar"}, ["storage_backend 'columnar'", "heap"]),
        ({"output_distribution_column": "id"}, ["output_distribution_column"]),
    ],
)
def test_what_only_dbt_pgtrickle_can_do_is_refused(
    config: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(DbtRuntimeError) as error:
        parse(**config)
    for word in words:
        assert word in str(error.value)


def index(name: str, columns: str, unique: bool = False, method: str = "btree") -> dict[str, Any]:
    return {"name": name, "columns": columns, "unique": unique, "method": method}


def plan(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> IndexPlan:
    return plan_indexes(json.dumps(found), wanted)


def test_indexes_are_compared_by_definition() -> None:
    found = [index(DBT_NAME, "id\nlower(name)"), index("pgt_identity_1", "id", unique=True)]
    assert not plan(found, [{"columns": ["ID", "lower(name)"]}]).changed


def test_only_indexes_that_dbt_named_are_dropped() -> None:
    found = [index(DBT_NAME, "id"), index("mine", "name")]
    planned = plan(found, [{"columns": ["name"], "type": "hash"}])
    assert planned.drop == (DBT_NAME,)
    assert planned.create == ({"columns": ["name"], "type": "hash"},)


def test_the_order_of_index_columns_matters() -> None:
    assert plan([index(DBT_NAME, "a\nb")], [{"columns": ["b", "a"]}]).changed
