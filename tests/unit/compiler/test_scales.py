"""Display scales follow PostgreSQL's numeric rules."""

from __future__ import annotations

import pytest
from sqlglot import exp

from trickle_runtime.compiler.dialect import parse
from trickle_runtime.compiler.scales import scales_of

COLUMNS = {"i": (0,), "p": (2,), "d": (4,), "u": None}

CASES = [
    ("p", (2,)),
    ("(p * ((1)::numeric - d))", (6,)),
    ("(p + d)", (4,)),
    ("(- p)", (2,)),
    ("CASE WHEN (i > 1) THEN (p * p) ELSE (0)::numeric END", (0, 4)),
    ("CASE WHEN (i > 1) THEN p END", (2,)),
    ("(u)::numeric(12,3)", (3,)),
    ("(u)::integer", (0,)),
    ("'1.50'::numeric", (2,)),
    ("'-1.5'::numeric", (1,)),
    ("(0.05 * p)", (4,)),
    ("u", None),
    ("(p / d)", None),
    ("(p + u)", None),
    ("1e3", None),
    ("'NaN'::numeric", None),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_scales(text: str, expected: tuple[int, ...] | None) -> None:
    tree = parse(f"SELECT {text} AS c FROM public.t")
    value = tree.expressions[0].unalias()
    assert scales_of(value, lambda column: COLUMNS[column.name]) == expected


def test_too_many_scales_are_unknown() -> None:
    branches = " ".join(f"WHEN (i = {n}) THEN 1.{'0' * n}" for n in range(1, 7))
    tree = parse(f"SELECT CASE {branches} END AS c FROM public.t")
    assert isinstance(tree.expressions[0].unalias(), exp.Case)
    assert scales_of(tree.expressions[0].unalias(), lambda column: COLUMNS[column.name]) is None
