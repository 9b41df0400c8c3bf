"""Refusal of queries that are too large or too deep, before anything walks through them.

A parser, a compiler and PostgreSQL's own analysis recurse; the text is measured first by one pass
of a regular expression, in time that follows its length. Invariant: nothing here recurses.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from trickle_runtime.errors import InvalidConfig, QueryTooComplex

MAX_CHARACTERS = 1_000_000
MAX_RELATIONS = 200
MAX_OPERANDS = 1_000  # of one chain, a + b + c: PostgreSQL nests it that deep
RECURSION = 4_000  # frames: some 200 levels of PostgreSQL's canonical text

_WORDS = re.compile(
    r"""
    '(?:[^'\\]|''|\\.)*' | "(?:[^"]|"")*" | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$
    | --[^\n]* | /\*.*?\*/
    | (?P<open>[(\[]|\bcase\b) | (?P<close>[)\]]|\bend\b)
    | (?P<join>\bjoin\b) | (?P<operator>[-+*/%|&<>=~!^\#]+|\b(?:and|or|distinct\s+from)\b)
    | (?P<select>\bselect\b) | (?P<from>\bfrom\b) | (?P<comma>,)
    | (?P<clause>\b(?:where|group|having|order|limit|union|intersect|except|window)\b)
    | (?P<branch>\b(?:on|when|then|else)\b)
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)


@dataclass
class _Level:
    """What one pair of parentheses holds."""

    operands: int = 0
    selecting: bool = False  # before FROM; extract(year FROM x) has another one
    listing: bool = False  # in a FROM clause, where a comma brings another relation


def allow_depth() -> None:
    """Let the compiler recurse into what passes ``check``; what is deeper yet is computed."""
    sys.setrecursionlimit(max(sys.getrecursionlimit(), RECURSION))


def number(settings: Mapping[str, str], name: str, default: int) -> int:
    """A setting that is a number.

    Raises:
        InvalidConfig: it is something else.
    """
    value = settings.get(name, str(default))
    if not value.strip().isdecimal():
        raise InvalidConfig(f"{name} in pgt_settings is no number: {value!r}")
    return int(value)


def check(query: str, depth: int) -> None:
    """Refuse a query that is larger than the limits.

    Args:
        query: SQL text.
        depth: the most levels of parentheses and CASE; ``max_parse_depth`` in ``pgt_settings``.

    Raises:
        QueryTooComplex: it is; says of what there is too much.
    """
    if len(query) > MAX_CHARACTERS:
        raise _too_complex("characters", len(query), MAX_CHARACTERS)
    measured = _Measured()
    for found in _WORDS.finditer(query):
        if found.lastgroup is not None:
            measured.add(found.lastgroup)
    for what, there, most in (
        ("levels of parentheses and CASE", measured.deepest, depth),
        ("relations in FROM", measured.relations, MAX_RELATIONS),
        ("operators in one expression", measured.longest, MAX_OPERANDS),
    ):
        if there > most:
            raise _too_complex(what, there, most)


class _Measured:
    """Counts, word by word."""

    def __init__(self) -> None:
        self.levels = [_Level()]
        self.deepest = self.relations = self.longest = 0

    def add(self, kind: str) -> None:
        """Take the next word; ``kind`` is the name of its group."""
        level = self.levels[-1]
        if kind == "open":
            self.levels.append(_Level())
            self.deepest = max(self.deepest, len(self.levels) - 1)
        elif kind == "close":
            if len(self.levels) > 1:
                self.levels.pop()
        elif kind == "operator":
            level.operands += 1
            self.longest = max(self.longest, level.operands)
        else:
            level.operands = 0
            self._relation(level, kind)

    def _relation(self, level: _Level, kind: str) -> None:
        if kind == "join" or (kind == "comma" and level.listing):
            self.relations += 1
        elif kind == "from" and level.selecting:
            self.relations += 1
            level.selecting, level.listing = False, True
        elif kind in ("select", "clause"):
            level.selecting, level.listing = kind == "select", False


def _too_complex(what: str, found: int, most: int) -> QueryTooComplex:
    return QueryTooComplex(
        f"the query has {found} {what}, more than {most}",
        hint="Split it into views or into stream tables of their own.",
    )
