from __future__ import annotations

import pytest

from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.refresh.redefine import column_changes
from trickle_runtime.refresh.verify import image


def columns(text: str) -> tuple[OutputColumn, ...]:
    """``a b:text``: columns, integer unless a type is given."""
    pairs = (word.partition(":") for word in text.split())
    return tuple(OutputColumn(name, type or "integer") for name, _, type in pairs)


@pytest.mark.parametrize(
    ("before", "after", "added", "dropped"),
    [
        ("a b", "a b", "", ()),
        ("a b", "a b c:text", "c:text", ()),
        ("a b", "a", "", ("b",)),
        ("a b c", "b", "", ("a", "c")),
        ("a b c", "a c d", "d", ("b",)),
    ],
)
def test_in_place(before, after, added, dropped):
    found = column_changes(columns(before), columns(after))
    assert found is not None
    assert (found.added, found.dropped) == (columns(added), dropped)


@pytest.mark.parametrize(
    ("before", "after"),
    [("a b", "b a"), ("a b", "a:text b"), ("a b", "c a b"), ("a b", "a c b"), ("a", "b")],
)
def test_not_in_place(before, after):
    assert column_changes(columns(before), columns(after)) is None


def test_images():
    assert image(OutputColumn("a", "integer")) == '"a"'
    assert image(OutputColumn("a", "numeric", exact=False)) == '("a"::text COLLATE "C") AS "a"'
    assert image(OutputColumn("a", "json", equality=False)) == '("a"::text COLLATE "C") AS "a"'
