from __future__ import annotations

import json

import pytest

from trickle_runtime.bench import report


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (None, "-"),
        (1234, "1,234"),
        (1234.5, "1,234"),
        (12.345, "12.3"),
        (0.01234, "0.0123"),
        ("q01", "q01"),
        ((1.25, 0.5), "1.25 / 0.5"),
        ((150.0, None), "150 / -"),
    ],
)
def test_cells(cell, expected):
    assert report.text(cell) == expected


def test_markdown():
    table = report.Table("Times", ("query", "ms"), (("q01", 1.5), ("q03", None)), ("A note.",))
    assert report.markdown(table).splitlines() == [
        "### Times",
        "",
        "| query | ms |",
        "| --- | --- |",
        "| q01 | 1.5 |",
        "| q03 | - |",
        "",
        "A note.",
    ]


def test_report_names_command_and_machine():
    whole = report.Report("trickle-runtime bench idle", {"machine": "small", "load": "0"})
    assert whole.as_markdown() == "`trickle-runtime bench idle`\n\nmachine: small; load: 0"


def test_json_has_the_numbers_unrounded():
    table = report.Table("Times", ("query", "ms"), (("q01", 1.23456),))
    whole = json.loads(report.Report("bench", {}, (table,)).as_json())
    assert whole["tables"][0]["rows"] == [["q01", 1.23456]]
