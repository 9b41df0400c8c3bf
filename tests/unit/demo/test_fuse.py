from __future__ import annotations

import pytest

from trickle_runtime import errors
from trickle_runtime.demo import fuse


def test_ceiling_lies_below_the_mass_change():
    lines = 600_000
    assert fuse.ceiling(lines) < lines * 0.05
    assert fuse.ceiling(10) == 100


def test_wait_until_polls():
    answers = iter([False, False, True])
    fuse.wait_until(lambda: next(answers), "the end", lambda: None)


def test_wait_until_passes_failures_on():
    def check():
        raise errors.TrickleError("serve ended")

    with pytest.raises(errors.TrickleError, match="serve ended"):
        fuse.wait_until(lambda: False, "the end", check)


def test_wait_until_gives_up(monkeypatch):
    monkeypatch.setattr(fuse, "_TIMEOUT", 0.0)
    with pytest.raises(errors.WaitTimeout, match="the moon"):
        fuse.wait_until(lambda: False, "the moon", lambda: None)
