"""Syntax that sqlglot does not read: written as plain calls before parsing, and back after.

``ROWS FROM(f(a), g(b))`` becomes ``rows_from(f(a), g(b))``; constructs with a grammar of their
own, ``JSON_TABLE(doc, 'path' COLUMNS (…))``, become ``opaque('template', doc)`` with their
expressions as arguments. Invariant: what is not recognised stays as it is and fails to parse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

_ROWS_FROM = re.compile(r"\bROWS FROM\s*\(")
_JSON = re.compile(r"\b(JSON_TABLE|JSON_VALUE|JSON_QUERY|JSON_EXISTS)\s*\(")
_XML = re.compile(r"\bXMLTABLE\s*\(")
_CONSTRUCTOR = re.compile(r"\b(JSON_OBJECT|JSON_ARRAY|JSON_OBJECTAGG|JSON_ARRAYAGG)\s*\(")
_OPTIONS = re.compile(
    r"(?:(?:^|\s+)(?:NULL|ABSENT) ON NULL)?(?:\s+WITH UNIQUE(?: KEYS)?)?"
    r"(?:(?:^|\s+)RETURNING [^,:()]+(?:\([\d, ]+\))?(?: FORMAT JSON(?: ENCODING \w+)?)?)?\s*$"
)
_COMMA = re.compile(",")
_COLON = re.compile(r"(?<!:):(?!:)")  # a cast is none
_ORDER = re.compile(r"\s+ORDER BY\s+")
_DIRECTION = re.compile(r"(?:\s+(?:ASC|DESC)|\s+USING \S+)?(?:\s+NULLS (?:FIRST|LAST))?\s*$")
_FORMAT = re.compile(r"(?:\s+FORMAT JSON(?: ENCODING \w+)?)?\s*$")
_HOLE = re.compile(r"\$(\d+|\$)")

_Encode = Callable[["re.Match[str]", str], "str | None"]

ROWS_FROM = "rows_from"
OPAQUE = "opaque"


def encode(sql: str) -> str:
    """Write the constructs as calls."""
    constructs = (
        (_ROWS_FROM, _rows_from),
        (_JSON, _json),
        (_XML, _xml),
        (_CONSTRUCTOR, _constructor),
    )
    for pattern, encoded in constructs:
        sql = _replace(sql, pattern, encoded)
    return sql


def decode(name: str, arguments: Sequence[str], template: str | None) -> str | None:
    """The text of a call that ``encode`` has made; None where it is another call.

    Args:
        name: of the function.
        arguments: rendered.
        template: the first argument as a plain text, where it is a literal.
    """
    if name == ROWS_FROM:
        return f"ROWS FROM({', '.join(arguments)})"
    if name == OPAQUE and template is not None:
        return _HOLE.sub(lambda hole: "$" if hole[1] == "$" else arguments[int(hole[1])], template)
    return None


def _replace(sql: str, pattern: re.Pattern[str], encoded: _Encode) -> str:
    """Rewrite every construct that starts outside of quotes."""
    position = 0
    while (found := pattern.search(sql, position)) is not None:
        if _quoted(sql, found.start()):
            position = found.end()
            continue
        end = _closing(sql, found.end() - 1)
        text = None if end is None else encoded(found, sql[found.end() : end])
        if text is None or end is None:
            position = found.end()
            continue
        sql = sql[: found.start()] + text + sql[end + 1 :]
        position = found.start() + len(OPAQUE)
    return sql


def _rows_from(found: re.Match[str], inside: str) -> str | None:
    return None if re.search(r"\bAS\s*\(", inside) else f"{ROWS_FROM}({inside})"


def _json(found: re.Match[str], inside: str) -> str | None:
    comma = _first(inside, _COMMA)
    if comma is None or re.search(r"\bPASSING\b", inside):
        return None
    document, rest = inside[: comma.start()].strip(), inside[comma.end() :].strip()
    return _opaque(f"{found[1]}($1, {plain(rest)})", [document])


def _xml(found: re.Match[str], inside: str) -> str | None:
    parts = re.match(r"\s*\(", inside)
    first = _closing(inside, parts.end() - 1) if parts else None
    passing = re.compile(r"\s*PASSING\s*\(").match(inside, first + 1) if first else None
    second = _closing(inside, passing.end() - 1) if passing else None
    if parts is None or first is None or passing is None or second is None:
        return None
    path, document = inside[parts.end() : first], inside[passing.end() : second]
    rest = plain(inside[second + 1 :].strip())
    return _opaque(f"XMLTABLE(($1) PASSING ($2) {rest})", [path, document])


def _constructor(found: re.Match[str], inside: str) -> str | None:
    """``JSON_OBJECT(k : v, … options)`` and its kin, the aggregates with ORDER BY as well."""
    options = _OPTIONS.search(inside)
    if options is None or inside.lstrip().upper().startswith(("SELECT", "WITH", "VALUES")):
        return None
    rest = inside[: options.start()].strip()
    arguments: list[str] = []

    def hole(text: str) -> str:
        arguments.append(text.strip())
        return f"${len(arguments)}"

    def suffixed(text: str, suffix: re.Pattern[str]) -> str:
        end = suffix.search(text)
        at = end.start() if end is not None else len(text)
        return hole(text[:at]) + plain(text[at:].rstrip())

    def value(text: str) -> str:
        return " : ".join(suffixed(part, _FORMAT) for part in _split(text, _COLON))

    by = _first(rest, _ORDER) if found[1].endswith("AGG") else None
    listed = rest if by is None else rest[: by.start()]
    text = ", ".join(value(item) for item in _split(listed, _COMMA)) if listed else ""
    if by is not None:
        keys = _split(rest[by.end() :], _COMMA)
        text += " ORDER BY " + ", ".join(suffixed(key, _DIRECTION) for key in keys)
    text = f"{found[1]}({text} {plain(options[0].strip())})"
    return _opaque(text, arguments)


def is_aggregate(name: str, template: str | None) -> bool:
    """Whether a call that ``encode`` has made is an aggregate."""
    return name == OPAQUE and (template or "").startswith(("JSON_OBJECTAGG(", "JSON_ARRAYAGG("))


def _split(text: str, separator: re.Pattern[str]) -> list[str]:
    """The parts between separators outside of quotes and brackets."""
    parts: list[str] = []
    start = 0
    for found in _outermost(text, separator):
        parts.append(text[start : found.start()])
        start = found.end()
    return [*parts, text[start:]]


def _first(text: str, pattern: re.Pattern[str]) -> re.Match[str] | None:
    """The first match that starts outside of quotes and brackets."""
    return next(_outermost(text, pattern), None)


def _outermost(text: str, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    depth = 0
    for position, letter in _outside(text):
        depth += (letter in "([") - (letter in ")]")
        if depth == 0 and (found := pattern.match(text, position)) is not None:
            yield found


def _opaque(template: str, arguments: list[str]) -> str:
    quoted = template.replace("'", "''")
    listed = ", ".join([f"'{quoted}'", *arguments])
    return f"{OPAQUE}({listed})"


def plain(text: str) -> str:
    """A text in which nothing looks like a hole."""
    return text.replace("$", "$$")


def _closing(text: str, opening: int) -> int | None:
    """The parenthesis that closes the one at a position."""
    depth = 0
    for position, letter in _outside(text):
        if position < opening:
            continue
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return position
    return None


def _quoted(text: str, position: int) -> bool:
    return all(place != position for place, _ in _outside(text))


def _outside(text: str) -> Iterator[tuple[int, str]]:
    """Letters that stand outside of quotes, with their positions."""
    quote = ""
    for position, letter in enumerate(text):
        if quote:
            if letter == quote:
                quote = ""
        elif letter in "'\"":
            quote = letter
        else:
            yield position, letter
