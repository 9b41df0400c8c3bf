"""Functions whose value is no function of the row.

Session settings (TimeZone, DateStyle …) are fixed per stream table, so PostgreSQL's STABLE
functions that depend on nothing but settings count as immutable here. Those that depend on the
session or on the database's content do not; the time of the transaction is the planner's to judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlglot import exp

from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.schema import Functions

# STABLE in pg_proc for the sake of settings only.
_SETTINGS_ONLY = """
    abs age array_to_json array_to_string bpchar concat concat_ws date date_bin date_part
    date_trunc extract format generate_series json_agg json_build_array json_build_object
    json_object_agg jsonb_agg jsonb_build_array jsonb_build_object jsonb_object_agg
    make_timestamptz row_to_json to_char to_date to_json to_jsonb to_number to_timestamp
    timezone time timestamptz timestamp text to_tsvector to_tsquery plainto_tsquery
    phraseto_tsquery websearch_to_tsquery ts_headline quote_literal quote_nullable
    isfinite overlaps numeric_to_char timetz interval string_agg array_agg json_agg_strict
    json_object_agg_strict json_object_agg_unique jsonb_object_agg_strict json_to_record
    json_to_recordset jsonb_to_record jsonb_to_recordset json_populate_record
    json_populate_recordset jsonb_populate_record jsonb_populate_recordset
    jsonb_object_agg_unique length numeric money date_add date_subtract json_to_tsvector
    jsonb_to_tsvector convert convert_from convert_to jsonb_path_exists_tz jsonb_path_match_tz
    jsonb_path_query_tz jsonb_path_query_array_tz jsonb_path_query_first_tz xml
"""
SETTINGS_ONLY = frozenset(_SETTINGS_ONLY.split())
_TIME = frozenset({"now", "transaction_timestamp"})
_CALL = re.compile(r"\b([A-Za-z_][\w$]*(?:\.[A-Za-z_][\w$]*)?)\s*\(")
_SESSION_WORDS = frozenset(
    {"CURRENT_USER", "SESSION_USER", "CURRENT_ROLE", "CURRENT_CATALOG", "CURRENT_SCHEMA"}
)
_KEYWORDS = re.compile(
    r"\b(CURRENT_(?:USER|ROLE|CATALOG|SCHEMA|DATE|TIME|TIMESTAMP)|SESSION_USER"
    r"|LOCALTIME(?:STAMP)?)\b"
)
_SESSION = (
    exp.CurrentUser,
    exp.CurrentRole,
    exp.CurrentCatalog,
    exp.CurrentSchema,
    exp.SessionUser,
)


def function_name(node: exp.Expr) -> str | None:
    """The function that a node calls: plain for built-ins, ``schema.name`` for others."""
    if not isinstance(node, exp.Anonymous):
        return None
    name = node.this if isinstance(node.this, str) else node.this.name
    parent = node.parent
    if isinstance(parent, exp.Dot) and parent.expression is node:
        return f"{parent.this.name}.{name}"
    return name


def function_names(tree: exp.Expr) -> Iterator[str]:
    """Names of all functions called in a tree."""
    for node in tree.find_all(exp.Anonymous):
        name = function_name(node)
        if name is not None:
            yield name


def names_in(text: str) -> set[str]:
    """Names in a text that may be functions; for a text that can't be parsed."""
    return {found[1].lower() for found in _CALL.finditer(text)}


def check_text(text: str, functions: Functions, *, time: bool = False) -> None:
    """As ``check`` for a text that can't be parsed; ``time``: refuse what asks for the time too.

    Raises:
        NotIncremental: with the name.
    """
    for name in sorted(names_in(text)):
        if name in functions.volatile:
            raise NotIncremental("VOLATILE_FUNCTION", f"{name}() is volatile", whole=True)
        if name in functions.stable and name not in SETTINGS_ONLY and (time or name not in _TIME):
            message = f"{name}() is STABLE: it may depend on time or on tables"
            raise NotIncremental("STABLE_FUNCTION", message, whole=True)
    found = _KEYWORDS.search(text)
    if found is not None and (time or found[1].upper() in _SESSION_WORDS):
        raise NotIncremental("STABLE_FUNCTION", f"{found[1]} is no constant", whole=True)


def check(tree: exp.Expr, functions: Functions) -> None:
    """Refuse functions that are not determined by the row.

    Raises:
        NotIncremental: with the function's name.
    """
    for node in tree.find_all(*_SESSION):
        message = f"{node.sql('postgres')} depends on the session"
        raise NotIncremental("STABLE_FUNCTION", message, whole=True)
    for node in tree.find_all(exp.Anonymous):
        name = function_name(node)
        if name is None:
            continue
        if name in functions.volatile:
            raise NotIncremental("VOLATILE_FUNCTION", f"{name}() is volatile", whole=True)
        if name in functions.stable and not (_settings_only(name, node) or name in _TIME):
            code = "USER_FUNCTION" if "." in name else "STABLE_FUNCTION"
            message = f"{name}() is STABLE: it may depend on time or on tables"
            raise NotIncremental(code, message, whole=True)


def _settings_only(name: str, node: exp.Anonymous) -> bool:
    if name == "age" and len(node.expressions) < 2:
        return False  # age(x) counts from today
    return name in SETTINGS_ONLY
