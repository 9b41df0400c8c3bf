"""Functions whose value is no function of the row.

Session settings (TimeZone, DateStyle …) are fixed per stream table, so PostgreSQL's STABLE
functions that depend on nothing but settings count as immutable here. Those that depend on time,
on the session or on the database's content do not.
"""

from __future__ import annotations

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
    json_object_agg_strict json_object_agg_unique jsonb_object_agg_strict
    jsonb_object_agg_unique
"""
SETTINGS_ONLY = frozenset(_SETTINGS_ONLY.split())
_TIME = (
    exp.CurrentDate,
    exp.CurrentTime,
    exp.CurrentTimestamp,
    exp.CurrentDatetime,
    exp.Localtime,
    exp.Localtimestamp,
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


def check(tree: exp.Expr, functions: Functions) -> None:
    """Refuse functions that are not determined by the row.

    Raises:
        NotIncremental: with the function's name.
    """
    for node in tree.find_all(*_TIME):
        raise NotIncremental("STABLE_FUNCTION", f"{node.sql('postgres')} depends on the time")
    for node in tree.find_all(*_SESSION):
        raise NotIncremental("STABLE_FUNCTION", f"{node.sql('postgres')} depends on the session")
    for node in tree.find_all(exp.Anonymous):
        name = function_name(node)
        if name is None:
            continue
        if name in functions.volatile:
            raise NotIncremental("VOLATILE_FUNCTION", f"{name}() is volatile")
        if name in functions.stable and not _settings_only(name, node):
            code = "USER_FUNCTION" if "." in name else "STABLE_FUNCTION"
            raise NotIncremental(code, f"{name}() is STABLE: it may depend on time or on tables")


def _settings_only(name: str, node: exp.Anonymous) -> bool:
    if name == "age" and len(node.expressions) < 2:
        return False  # age(x) counts from today
    return name in SETTINGS_ONLY
