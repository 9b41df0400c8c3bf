from __future__ import annotations

import pytest

from trickle_runtime import errors
from trickle_runtime.config import Schemas
from trickle_runtime.db import sql


@pytest.mark.parametrize(
    ("name", "quoted"),
    [("a", '"a"'), ("Mixed Case", '"Mixed Case"'), ('a"b', '"a""b"'), ("%s{x}$$", '"%s{x}$$"')],
)
def test_quote_ident(name, quoted):
    assert sql.quote_ident(name) == quoted


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_quote_ident_refuses(name):
    with pytest.raises(errors.InternalError):
        sql.quote_ident(name)


@pytest.mark.parametrize(
    ("text", "quoted"),
    [("", "''"), ("it's", "'it''s'"), ("a\\b'", " E'a\\\\b'''"), ("$$ {x} %s", "'$$ {x} %s'")],
)
def test_quote_literal(text, quoted):
    assert sql.quote_literal(text) == quoted


def test_quote_literal_refuses_null_bytes():
    with pytest.raises(errors.InternalError):
        sql.quote_literal("a\0b")


def test_qualified():
    assert sql.qualified("S", 'a"') == '"S"."a"""'


def test_render_fills_words_in_braces_once():
    filled = sql.render(
        "SELECT {column} FROM {table} WHERE a = '{}'", column='"{table}"', table="t"
    )
    assert filled == """SELECT "{table}" FROM t WHERE a = '{}'"""


def test_render_needs_every_value():
    with pytest.raises(errors.InternalError, match=r"\{table\}"):
        sql.render("SELECT 1 FROM {table}")


def test_schema_words_get_the_prefix():
    text = (
        "pgtrickle.a pgtrickle_changes.b 'pgtrickle_state' pgtrickle_alert pgtrickles apgtrickle"
    )
    assert sql.with_schemas(text, Schemas("my_1")) == (
        "my_1.a my_1_changes.b 'my_1_state' pgtrickle_alert pgtrickles apgtrickle"
    )


@pytest.mark.parametrize("prefix", ["", "Upper", "a-b", 'a"b', "1a", "x" * 33, "a\n"])
def test_prefixes_that_need_quotes_are_refused(prefix):
    with pytest.raises(errors.InvalidConfig):
        sql.with_schemas("", Schemas(prefix))


@pytest.mark.parametrize(
    "file", ["catalog/queries.sql", "catalog/migrate.sql", "capture/queries.sql"]
)
def test_named_statements(file):
    queries = sql.load_queries(file, Schemas("other"))
    assert queries
    assert all(text and "pgtrickle" not in text.split() for text in queries.values())


def test_statements_of_another_prefix_are_apart():
    mine = sql.load_queries("catalog/queries.sql", Schemas("one"))["setting"]
    theirs = sql.load_queries("catalog/queries.sql", Schemas("two"))["setting"]
    assert "one.pgt_settings" in mine
    assert "two.pgt_settings" in theirs
