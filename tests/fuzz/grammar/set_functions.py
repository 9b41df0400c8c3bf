"""Set-returning functions, in FROM and in SELECT."""

from __future__ import annotations

from tests.fuzz import sqltypes
from tests.fuzz.grammar import values
from tests.fuzz.grammar.gen import Column, Env, Expr, Gen, Relation

_ARRAY = "CASE WHEN jsonb_typeof({jsonb:a}) = 'array' THEN {=a} ELSE '[]' END"
_OBJECT = "CASE WHEN jsonb_typeof({jsonb:a}) = 'object' THEN {=a} ELSE '{}' END"
# Text and the types of its columns.
_IN_FROM: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("generate_series(1, least({int}, 3))", ("int",)),
    ("generate_series({date:a}, {=a} + 1, interval '1 day')", ("timestamptz",)),
    ("unnest({ints})", ("int",)),
    (f"jsonb_array_elements({_ARRAY})", ("jsonb",)),
    (f"jsonb_array_elements_text({_ARRAY})", ("text",)),
    (f"jsonb_each_text({_OBJECT})", ("text", "text")),
    ("string_to_table({text}, 'a')", ("text",)),
    ("regexp_split_to_table({text}, 'b')", ("text",)),
    ("unnest({ints}, ARRAY[{text}, 'z'])", ("int", "text")),
    ("JSON_TABLE({jsonb}, '$[*]' COLUMNS (c1 text PATH '$'))", ("text",)),  # 17 and later
    ("ROWS FROM (generate_series(1, 2), unnest({ints}))", ("int", "int")),
)
# Two arrays of objects, so that the function has rows to make.
_FIRST, _SECOND = ('\'[{"a": 1}, {"b": null}]\'', '\'[{"a": "x", "b": 2}]\'')
_MATCHES = "regexp_matches({text}, '[ab]', 'g')"
_IN_SELECT = {
    "int": ("generate_series(1, least({int}, 3))", "unnest({ints})"),
    "text": ("regexp_split_to_table({text}, 'a')", "(regexp_matches({text}, '[ab]', 'g'))[1]"),
    "jsonb": (f"jsonb_array_elements({_ARRAY})",),
}


def item(g: Gen, env: Env) -> tuple[str, Relation]:
    """A function call as an item of FROM; may use what stands left of it."""
    how = g.choose("set_function", plain=8, matches=1, recordset=0.7)
    name = g.alias("f")
    if how == "matches":
        call = values.filled(g, env, _MATCHES, 0)
        columns = [Column("c1", sqltypes.TEXT, True)]
        return _made(f"LATERAL (SELECT m[1] AS c1 FROM {call} AS m) AS {name}", name, columns)
    if how == "recordset":
        test = values.filled(g, env, "{bool}", 0)
        argument = f"CASE WHEN {test} THEN {_FIRST}::jsonb ELSE {_SECOND} END"
        columns = [Column("a", sqltypes.TEXT, True), Column("b", sqltypes.INT, True)]
        return _made(f"jsonb_to_recordset({argument}) AS {name}(a text, b int)", name, columns)
    template, types = g.pick(_IN_FROM)
    known = [sqltypes.BY_NAME[one] for one in types]
    columns = [Column(f"c{i}", one, one.exact) for i, one in enumerate(known, 1)]
    text = values.filled(g, env, template, 0)
    if "JSON_TABLE" not in text and g.chance("set_function.ordinality", 0.3):
        columns.append(Column("nr", sqltypes.BIGINT, True))
        text += " WITH ORDINALITY"
    return _made(f"{text} AS {name}({', '.join(c.name for c in columns)})", name, columns)


def _made(text: str, name: str, columns: list[Column]) -> tuple[str, Relation]:
    return text, Relation(name, tuple(columns))


def in_select(g: Gen, env: Env) -> Expr:
    """A set-returning call as an output."""
    name = g.pick(tuple(_IN_SELECT))
    text = values.filled(g, env, g.pick(_IN_SELECT[name]), 0)
    type_ = sqltypes.BY_NAME[name]
    return Expr(text, type_, type_.exact)
