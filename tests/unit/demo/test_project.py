from __future__ import annotations

import re
from pathlib import Path

import pytest

from trickle_runtime import errors
from trickle_runtime.demo import project

MODELS = {path.stem: path.read_text() for path in project.find(None).glob("models/*/*.sql")}


def test_our_project_is_found():
    assert (project.find(None) / "profiles.yml").is_file()


def test_a_folder_without_a_project_is_refused(tmp_path: Path):
    with pytest.raises(errors.TrickleError, match="not here"):
        project.find(tmp_path)


def test_every_reference_is_a_model():
    for name, text in MODELS.items():
        for reference in re.findall(r"ref\('(\w+)'\)", text):
            assert reference in MODELS, name


def test_the_fused_model_exists():
    assert "fuse='on'" in MODELS[project.FUSED]


def test_there_are_joins_of_two_to_six_tables():
    """Counted through the views; a stream table is one input."""

    def inputs(name: str) -> int:
        text = MODELS[name]
        views = [one for one in re.findall(r"ref\('(\w+)'\)", text) if one.startswith("stg_")]
        tables = len(re.findall(r"ref\('(?!stg_)\w+'\)|source\(", text))
        return tables + sum(inputs(view) for view in views)

    found = {inputs(name) for name in MODELS if not name.startswith("stg_")}
    assert {2, 3, 4, 5, 6} <= found
