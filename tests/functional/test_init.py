"""``dbt init`` offers trickle and asks for what its profile needs."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

import click
import pytest
import yaml
from dbt.cli.main import dbtRunner
from dbt.task import init

ANSWERS = {
    "which database": 1,
    "host": "db.example",
    "port": 5433,
    "user": "ada",
    "pass": "secret",
    "dbname": "shop",
    "schema": "dev_ada",
    "threads": 8,
    "stream_tables": "table",
}


def answer(text: str, **_: object) -> object:
    for question, value in ANSWERS.items():
        if text.lower().startswith(question):
            return value
    raise AssertionError(f"unexpected question: {text}")


def test_profile_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # dbt lists what lies in its own folder; an editable installation lies elsewhere.
    monkeypatch.setattr(init, "_get_adapter_plugin_names", lambda: iter(["trickle"]))
    monkeypatch.chdir(tmp_path)
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    with mock.patch.object(click, "prompt", side_effect=answer) as prompt:
        # Not by the suite's run_dbt, which would add the project of the last test.
        result = dbtRunner().invoke(["init", "shop", "--profiles-dir", str(profiles)])
    assert result.success
    assert "[1] trickle" in prompt.call_args_list[0].args[0]
    outputs = yaml.safe_load((profiles / "profiles.yml").read_text())["shop"]["outputs"]
    expected = {key: value for key, value in ANSWERS.items() if key != "which database"}
    assert outputs["dev"] == {"type": "trickle", **expected}
    assert os.listdir(tmp_path / "shop") != []
