"""ORDER BY: total ones, by which only identical rows are peers, and others."""

from __future__ import annotations

from collections.abc import Sequence

from tests.fuzz.grammar.gen import Expr, Gen, identity

_DIRECTIONS = ("", "", "", " DESC", " DESC", " NULLS FIRST", " DESC NULLS LAST")


def direction(g: Gen) -> str:
    """What follows a sort key."""
    return g.pick(_DIRECTIONS)


def total(g: Gen, leading: Sequence[Expr], ties: Sequence[Expr]) -> str:
    """Sort keys: some chosen ones, then the identity of everything in ``ties``."""
    keys = [f"{one.sql}{direction(g)}" for one in leading if one.type.ordered]
    seen = {one.sql for one in leading if one.exact and one.type.ordered}
    keys += [f"{identity(one)}{direction(g)}" for one in ties if one.sql not in seen]
    return ", ".join(dict.fromkeys(keys))
