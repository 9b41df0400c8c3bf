"""SQL text from files: named statements, templates, quoting.

Invariant: SQL text is never assembled from values here. Files name our schemas literally
(``pgtrickle``, ``pgtrickle_changes``, ``pgtrickle_state``) and get the configured prefix when they
are loaded; templates get identifiers that were quoted by the functions of this module.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

from trickle_runtime import config, errors

_PACKAGE = "trickle_runtime"
_BLOCK = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_SCHEMA = re.compile(r"\bpgtrickle(?=(?:_changes|_state)?\b)")
# Room for the longest suffix that is put behind the prefix in a name of at most 63 bytes.
_PREFIX = re.compile(r"[a-z_][a-z0-9_]{0,31}")


@cache
def load_text(package_file: str, schemas: config.Schemas | None = None) -> str:
    """Return a file of the package, such as ``catalog/queries.sql``, with our schemas' names."""
    text = resources.files(_PACKAGE).joinpath(package_file).read_text(encoding="utf-8")
    return with_schemas(text, schemas or config.Schemas())


@cache
def load_queries(package_file: str, schemas: config.Schemas | None = None) -> dict[str, str]:
    """Return the statements of a file by name; a block begins with a line ``-- name: <name>``."""
    parts = _BLOCK.split(load_text(package_file, schemas))
    names, bodies = parts[1::2], parts[2::2]
    if len(set(names)) != len(names):
        raise errors.InternalError(f"{package_file} has two statements of the same name")
    return {name: body.strip() for name, body in zip(names, bodies, strict=True)}


def with_schemas(text: str, schemas: config.Schemas) -> str:
    """Replace the words that name our schemas by those with the configured prefix."""
    if not _PREFIX.fullmatch(schemas.prefix):
        raise errors.InvalidConfig(
            f"runtime_schema {schemas.prefix!r} can't be used as the prefix of schema names",
            hint="Use at most 32 lower-case letters, digits and underscores.",
        )
    return _SCHEMA.sub(schemas.prefix, text)


def render(template_text: str, **identifiers: str) -> str:
    """Fill ``{name}`` by identifiers and literals, which the caller has quoted.

    Braces that hold no word (array literals) stay; a placeholder without a value is our bug.
    """

    def value(match: re.Match[str]) -> str:
        try:
            return identifiers[match[1]]
        except KeyError:
            raise errors.InternalError(f"template has no value for {match[0]}") from None

    return _PLACEHOLDER.sub(value, template_text)


def quote_ident(name: str) -> str:
    """Quote an identifier, always: whether a word is reserved depends on the server's version."""
    if not name or "\0" in name:
        raise errors.InternalError(f"not an identifier: {name!r}")
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Quote a string constant, whatever ``standard_conforming_strings`` says."""
    if "\0" in text:
        raise errors.InternalError("a string constant can't hold a null byte")
    quoted = "'" + text.replace("'", "''") + "'"
    return " E" + quoted.replace("\\", "\\\\") if "\\" in quoted else quoted


def qualified(schema: str, name: str) -> str:
    """Quote a schema-qualified name."""
    return f"{quote_ident(schema)}.{quote_ident(name)}"
