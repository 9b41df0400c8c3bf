from __future__ import annotations

import re

import pytest

from trickle_runtime import tpch
from trickle_runtime.db import sql
from trickle_runtime.tpch import changes, data

FUNCTIONS = sql.load_queries("tpch/changes.sql")


@pytest.mark.parametrize("name", tpch.QUERIES)
def test_queries_order_only_for_a_limit(name):
    text = tpch.query(name)
    assert text.startswith(("SELECT", "WITH"))
    assert ("ORDER BY" in text) == ("LIMIT" in text)
    assert "FROM" in text


@pytest.mark.parametrize("name", tpch.QUERIES)
def test_queries_name_only_qualified_tables(name):
    for table in data.TABLES:
        assert not re.search(rf"(FROM|,)\s+{table}\b(?! AS|,\n +o_year)", tpch.query(name)), table


@pytest.mark.parametrize("batch", [changes.refresh_functions(10), changes.everything(10)])
def test_batches_name_functions_that_exist(batch):
    assert {change.function for change in batch} <= set(FUNCTIONS)
    assert all(change.count > 0 for change in batch)


class Recorder:
    def __init__(self):
        self.calls = []

    def execute(self, text, params=None):
        self.calls.append((text, params))
        return []


def test_apply_seeds_first_and_passes_counts_and_days():
    recorder = Recorder()
    changes.apply(recorder, changes.refresh_functions(3), seed=0.5, last_day="1999-01-01")
    assert recorder.calls[0] == (FUNCTIONS["seed"], {"seed": 0.5})
    assert [text for text, _ in recorder.calls[1:]] == [
        FUNCTIONS[change.function] for change in changes.refresh_functions(3)
    ]
    assert all(
        params == {"n": 3, "first_day": "1992-01-01", "last_day": "1999-01-01"}
        for _, params in recorder.calls[1:]
    )
