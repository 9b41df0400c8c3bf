from __future__ import annotations

from trickle_runtime.storage import names


def test_short_names_are_kept() -> None:
    assert names.partition('"marts"."orders"', "_p202601") == '"marts"."orders_p202601"'


def test_dots_and_quotes_inside_names() -> None:
    assert names.schema_and_name('"a.b"."c""d"') == ("a.b", 'c"d')


def test_long_names_stay_different_and_fit() -> None:
    base = "é" * 40
    first, second = (names.shorten(base + end, "_p202601") for end in ("x", "y"))
    assert first != second
    assert len(first.encode()) <= 63
    assert first.endswith("_p202601")


def test_identity_names_never_repeat() -> None:
    assert names.new_identity() != names.new_identity()
