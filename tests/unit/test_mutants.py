"""The mistakes of ``make mutation`` can still be made: their texts stand in the compiler, once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def mutation_check(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "scripts"), *sys.path])
    import mutation_check

    return mutation_check


def test_every_mutant_applies(mutation_check):
    mutants = mutation_check.table()
    assert len({mutant.name for mutant in mutants}) == len(mutants) > 100
    for mutant in mutants:
        assert mutation_check.mutated(mutant, ROOT)
