"""Every measurement finds its statements, and every placeholder in them is filled."""

from __future__ import annotations

import re

import pytest

from trickle_runtime.bench import capture, views
from trickle_runtime.db import sql

VIEWS = sql.load_queries("bench/sql/views.sql")
CAPTURE = sql.load_queries("bench/sql/capture.sql")


@pytest.mark.parametrize("view", views.VIEWS, ids=lambda view: view.name)
def test_each_view_has_a_query_and_a_delta_by_hand(view):
    assert view.query.startswith("SELECT")
    delta = sql.render(VIEWS[f"{view.name}_apply"], mine=view.table, buffer="shop.buffer")
    assert view.table in delta
    assert delta.endswith("DELETE FROM shop.buffer;")


def test_both_sources_have_their_changes():
    sources = {view.source for view in views.VIEWS}
    assert sources == {"shop.orders", "shop.lines"}
    assert {"change_orders", "change_lines", "change_one_order", "change_one_line"} <= set(VIEWS)


def test_capture_templates_have_all_their_names():
    names = {"table": "t", "buffer": "b", "function": "f", **capture.Sizes().names}
    for name, statement in CAPTURE.items():
        rendered = sql.render(statement, **names)
        assert not re.search(r"\{\w+\}", rendered), name


def test_capture_ratios_are_per_round():
    values = {
        "no trigger": [1.0, 2.0, 4.0],
        "bare trigger": [1.0, 2.0, 4.0],
        "ours": [2.0, 6.0, 8.0],
    }
    assert capture.ratios(values) == (1.0, 2.0)
