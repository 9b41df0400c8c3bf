"""What is known of a type without asking PostgreSQL again (``analysis/typefacts.py``)."""

from __future__ import annotations

import pytest

from trickle_runtime.analysis import typefacts


@pytest.mark.parametrize(
    ("bare", "typmod", "deterministic", "expected"),
    [
        ("int4", -1, True, True),
        ("numeric", -1, True, False),
        ("numeric", 786438, True, True),  # numeric(12,2)
        ("float8", -1, True, False),
        ("text", -1, True, True),
        ("text", -1, False, False),
        ("bpchar", 14, True, True),  # char(10): padded to one length
        ("bpchar", 14, False, False),
        ("bpchar", -1, True, False),
        ("jsonb", -1, True, False),
    ],
)
def test_whether_equal_values_are_identical(bare, typmod, deterministic, expected):
    column = {"kind": "b", "bare": bare, "typmod": typmod, "deterministic": deterministic}
    assert typefacts.exact(column) is expected
