"""What PostgreSQL prints of a view, as PostgreSQL reads it.

The mark of CYCLE and its default are constants in the grammar (``AexprConst``), without a cast:
``pg_get_viewdef`` prints ``TO 'y'::text``, which is a syntax error, for what ``TO text 'y'`` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlglot.tokenizer_core import Token, TokenType

from trickle_runtime.compiler.dialect import Canonical

_CYCLE = "CYCLE"  # printed so as a keyword; a name of these letters is quoted
_QUOTED = frozenset({TokenType.STRING, TokenType.IDENTIFIER})


def readable(definition: str) -> str:
    """Return a view's definition with the constants of its CYCLE clauses in the form that is read.

    Args:
        definition: text as ``pg_get_viewdef`` prints it.
    """
    if _CYCLE not in definition:
        return definition
    tokens = Canonical().tokenize(definition)
    for first, last in reversed(list(_constants(tokens))):
        literal, start, end = tokens[first], tokens[first + 2].start, tokens[last].end + 1
        shown = f"{definition[start:end]} {definition[literal.start : literal.end + 1]}"
        definition = definition[: literal.start] + shown + definition[end:]
    return definition


def _constants(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """The first and last token of each cast string between SET … TO and USING of a CYCLE."""
    clause = False
    for place, token in enumerate(tokens):
        word = token.text if token.token_type not in _QUOTED else ""
        clause = word == _CYCLE or (clause and word != "USING")
        if clause and word in {"TO", "DEFAULT"} and _is_cast(tokens, place + 1):
            yield place + 1, _end(tokens, place + 3)


def _is_cast(tokens: Sequence[Token], place: int) -> bool:
    kinds = [token.token_type for token in tokens[place : place + 2]]
    return kinds == [TokenType.STRING, TokenType.DCOLON]


def _end(tokens: Sequence[Token], place: int) -> int:
    """The last token of a type that ends before DEFAULT or USING."""
    while tokens[place + 1].text not in {"DEFAULT", "USING"}:
        place += 1
    return place
