"""The fuzzer's own parts: templates, seeds, case files, reductions."""

from __future__ import annotations

import random
from pathlib import Path

import psycopg
import pytest

from tests.fuzz import case_files, reduce_data, reduce_query, schema, sqltypes
from tests.fuzz.grammar import queries, templates, values
from tests.fuzz.grammar.gen import Column, Env, Gen, Relation
from tests.fuzz.steps import Case, Create, Refresh, Sql
from tests.fuzz.ways import arranged

EVERYTHING = Relation("e", tuple(Column(t.name, t, t.exact) for t in sqltypes.ALL), kind="table")
KINDS = {
    "scalar": (templates.SCALAR, "SELECT {} FROM everything AS e"),
    "aggregate": (templates.AGGREGATE, "SELECT {} FROM everything AS e"),
    "window": (templates.WINDOW, "SELECT {} FROM everything AS e"),
    "ordered window": (templates.ORDERED_WINDOW, "SELECT {} FROM everything AS e"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_templates_are_sql_and_raise_nothing(kind: str, empty_database: str) -> None:
    """Over every value that rows may hold, also the rare ones."""
    known, query = KINDS[kind]
    g = Gen(random.Random(1), [])
    env = Env(EVERYTHING.expressions())
    with psycopg.connect(empty_database, autocommit=True) as connection:
        _make_everything(connection)
        for name, texts in known.items():
            for template in texts:
                text = values.filled(g, env, template.replace("{over}", "OVER (ORDER BY 1)"), 0)
                if "window" in kind and "OVER" not in text:
                    text += " OVER (ORDER BY e.int)"
                row = connection.execute(query.format(text)).fetchone()
                assert row is not None, (name, text)


def _make_everything(connection: psycopg.Connection) -> None:
    for statement in sqltypes.PRELUDE:
        connection.execute(statement)
    columns = ", ".join(f'"{t.name}" {t.ddl}' for t in sqltypes.ALL)
    connection.execute(f"CREATE TABLE everything ({columns})")
    every = [("NULL", *t.values, *t.rare) for t in sqltypes.ALL]
    rng = random.Random(2)
    for number in range(40):
        row = [v[number] if number < len(v) else rng.choice(v) for v in every]
        connection.execute(f"INSERT INTO everything VALUES ({', '.join(row)})")


def test_same_seed_same_text() -> None:
    assert _texts(3) == _texts(3) != _texts(4)


def _texts(seed: int) -> list[str]:
    rng = random.Random(seed)
    relations = [table.relation() for table in schema.tables(rng)]
    return [queries.statement(Gen(rng, relations), 3).sql for _ in range(20)]


def test_case_file_and_back(tmp_path: Path) -> None:
    steps = (Sql("BEGIN", other=True), Sql("x"), Create("b"), Refresh("a"), Refresh("b", "full"))
    case = Case(("one", "two\nlines"), {"a": "SELECT 1", "b": "SELECT 2"}, steps, {"seed": "s"})
    path = case_files.next_path(tmp_path / "new", "name")
    case_files.save(path, case)
    assert path.name == "0001_name.yml"
    assert case_files.load(path) == case
    assert case_files.next_path(path.parent, "name").name == "0002_name.yml"


def test_ways() -> None:
    case = Case((), {"a": ""}, (Sql("BEGIN"), Sql("x"), Refresh("a"), Sql("COMMIT"), Sql("y")))
    assert [getattr(s, "sql", "refresh") for s in arranged(case, "end").steps] == [
        *("BEGIN", "x", "COMMIT", "y", "refresh")
    ]
    assert [getattr(s, "sql", "refresh") for s in arranged(case, "each").steps] == [
        *("BEGIN", "x", "COMMIT", "refresh", "y", "refresh", "refresh")
    ]


def test_query_proposals_cut_every_clause() -> None:
    (tree, *_) = reduce_query.readings(
        "SELECT a.x, count(*) AS n FROM a JOIN b ON a.x = b.x AND b.y > 1 WHERE a.x IN "
        "(SELECT c.x FROM c) GROUP BY a.x HAVING count(*) > 1 ORDER BY 1 LIMIT 2"
    )
    found = {reduce_query.written(smaller) for _, smaller in reduce_query.proposals(tree)}
    for part in ("WHERE", "HAVING", "JOIN", "LIMIT", "GROUP BY", "count(*) AS n", "b.y"):
        assert any(part not in text for text in found), part


def test_rows_and_columns_are_cut() -> None:
    case = Case(
        (
            'CREATE TABLE t (x int, "s" text, PRIMARY KEY (x))',
            "INSERT INTO t (x, \"s\") VALUES (1, 'a,)'), (2, NULL) ON CONFLICT DO NOTHING",
        ),
        {"a": "SELECT 1"},
        (Sql("INSERT INTO t (x, \"s\") VALUES (3, 'o''x')"), Refresh("a")),
    )
    rows = {one.setup[1] for one in reduce_data.fewer_rows(case)}
    assert 'INSERT INTO t (x, "s") VALUES (2, NULL) ON CONFLICT DO NOTHING' in rows
    smaller = {(one.setup, one.steps) for one in reduce_data.fewer_columns(case)}
    setup = (
        "CREATE TABLE t (x int, PRIMARY KEY (x))",
        "INSERT INTO t (x) VALUES (1), (2) ON CONFLICT DO NOTHING",
    )
    assert (setup, (Sql("INSERT INTO t (x) VALUES (3)"), Refresh("a"))) in smaller
