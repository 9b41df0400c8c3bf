"""The tables of what is adapted and what is left out are complete and say nothing of the past."""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType

import pytest

from tests.functional.conformance import suite


def own_tests(module: ModuleType) -> list[type]:
    return [
        value
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and name.startswith("Test")
        and value.__module__ == module.__name__
    ]


@pytest.mark.parametrize("file", sorted(set(suite.ADAPTED.values())))
def test_every_adapted_class_is_run(file: str) -> None:
    classes = own_tests(importlib.import_module(f"tests.functional.conformance.{file}"))
    missing = [
        one.key
        for one in suite.suites()
        if one.adapted == file and not any(issubclass(own, one.tested) for own in classes)
    ]
    assert missing == []


def test_every_entry_is_about_a_class() -> None:
    def used(table: dict[str, str], key: str) -> bool:
        return any(one.listed({key: table[key]}) for one in suite.suites())

    for table in (suite.ADAPTED, suite.LEFT_OUT):
        assert [key for key in table if not used(table, key)] == []
    keys = {one.key for one in suite.suites()}
    assert set(suite.NEWER) <= keys


@pytest.mark.parametrize(
    ("version", "reason"), [((1, 11), "needs dbt-core 1.12"), ((1, 12), None)]
)
def test_a_class_that_needs_a_newer_dbt_says_so(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int], reason: str | None
) -> None:
    monkeypatch.setattr(suite, "_dbt_version", lambda: version)
    (one,) = (one for one in suite.suites() if one.name == "BaseTestEmptySeedFlag")
    assert one.left_out == reason
