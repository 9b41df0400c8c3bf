"""Templates refuse what does not fit."""

from __future__ import annotations

import pytest

from trickle_runtime.compiler.identity import hash_expression, match_key
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.compiler.template import column, fill, ident, literal


def test_parts_are_not_read_as_templates() -> None:
    assert fill("SELECT $a, $b", a="'$b'", b="1") == "SELECT '$b', 1"


def test_missing_and_unused_parts() -> None:
    with pytest.raises(KeyError):
        fill("SELECT $a")
    with pytest.raises(TypeError, match="unused"):
        fill("SELECT 1", a="1")


def test_quoting() -> None:
    assert ident('a"b') == '"a""b"'
    assert column("t", "x y") == '"t"."x y"'
    assert literal("it's") == "'it''s'"


def test_key_without_nulls_matches_by_equality() -> None:
    key = [OutputColumn("a", "integer", True), OutputColumn("b", "integer", True)]
    assert match_key(key, "l", "r") == '"l"."a" = "r"."a" AND "l"."b" = "r"."b"'


def test_nullable_key_matches_by_hash_then_null_safe() -> None:
    key = [OutputColumn("a", "integer")]
    text = match_key(key, "l", "r")
    assert text.startswith('hash_record_extended(ROW("l"."a"), \'0\'::bigint) = ')
    assert text.endswith('"l"."a" IS NOT DISTINCT FROM "r"."a"')


def test_empty_key_matches_always() -> None:
    assert match_key([], "l", "r") == "true"


def test_columns_without_hashing_are_left_out_of_the_hash() -> None:
    columns = [OutputColumn("j", "json", equality=False), OutputColumn("a", "integer")]
    assert hash_expression(columns) == "hash_record_extended(ROW(\"a\"), '0'::bigint)"
    assert hash_expression(columns[:1]) is None
