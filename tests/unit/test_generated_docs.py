from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from trickle_runtime import errors

GENERATE = Path(__file__).parents[2] / "docs" / "generate.py"

spec = importlib.util.spec_from_file_location("docs_generate", GENERATE)
assert spec is not None
assert spec.loader is not None
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)


@pytest.mark.parametrize("name", generate.PAGES)
def test_the_page_is_current(name: str) -> None:
    written = (GENERATE.parent / "reference" / name).read_text(encoding="utf-8")
    assert written == generate.PAGES[name](), "run: python docs/generate.py"


def test_codes_are_unique() -> None:
    found = [
        one.code
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.TrickleError)
    ]
    assert len(found) == len(set(found))
