"""Split a text of several SQL statements, as far as psycopg2 needs it.

Invariant: the two parts joined are the text; a semicolon in a literal, a quoted name, a
dollar-quoted body or a comment never splits.
"""

from __future__ import annotations

import re

# Everything in which a semicolon is an ordinary character; E'' may hold escaped quotes.
_OPAQUE = re.compile(
    r"""(?xs)
    --[^\n]*
    | [eE]'(?:[^'\\]|\\.|'')*'
    | '(?:[^']|'')*'
    | "(?:[^"]|"")*"
    | \$(?P<tag>[A-Za-z_\x80-\U0010ffff][A-Za-z_0-9\x80-\U0010ffff]*)?\$.*?\$(?(tag)(?P=tag))\$
    | /\*.*?\*/
    | [A-Za-z_\x80-\U0010ffff][A-Za-z_0-9$\x80-\U0010ffff]*
    | ;
    """
)
_LEADING = {"select", "with", "values", "table", "show", "explain", "fetch"}


def split_after_rows(sql: str) -> tuple[str, str]:
    """Cut ``sql`` behind its last statement that may return rows.

    Where none may, or the last one may, the second part is empty.
    """
    cut, returning, first, more = 0, False, True, False
    for token in _OPAQUE.finditer(sql):
        text = token.group()
        if text == ";":
            if returning:
                cut, more = token.end(), False
            returning, first = False, True
        elif text[0].isalpha() or text[0] == "_":
            word = text.lower()
            returning = returning or word == "returning" or (first and word in _LEADING)
            first, more = False, True
    if cut == 0 or returning or not more:
        return sql, ""
    return sql[:cut], sql[cut:]
