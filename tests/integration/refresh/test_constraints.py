"""Declared keys and constraints are enforced on every way that rows come in, or refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trickle_runtime.api import Constraint, Runtime
from trickle_runtime.errors import ConstraintViolated, InvalidConfig

Oracle = Callable[[Runtime, str], None]
QUERY = "SELECT id, grp, v FROM src"
NOT_NULL = Constraint("not_null", ("v",))
CHECK = Constraint("check", (), "v > 0", "v_is_positive")
UNIQUE = Constraint("unique", ("grp", "v"))
PRIMARY = Constraint("primary_key", ("id",), name="t_pk")


@pytest.fixture(autouse=True)
def source(sql) -> None:
    sql(
        "CREATE TABLE src (id int, grp int, v int, doc json)",
        "INSERT INTO src VALUES (1, 1, 10, '{}'), (2, 1, 20, '{}'), (3, 2, 30, '{}')",
    )


def on_table(sql, name: str = "t") -> list[str]:
    found = sql(
        "SELECT conname AS name FROM pg_constraint"
        f" WHERE conrelid = '{name}'::regclass AND contype <> 'n' ORDER BY 1"
    )
    return [row["name"] for row in found]


def not_nulls(sql) -> list[str]:
    found = sql(
        "SELECT attname AS name FROM pg_attribute"
        " WHERE attrelid = 't'::regclass AND attnum > 0 AND attnotnull ORDER BY 1"
    )
    return [row["name"] for row in found]


BAD = {
    "not null": (NOT_NULL, "(4, 4, NULL)"),
    "check": (CHECK, "(4, 4, -1)"),
    "unique": (UNIQUE, "(4, 2, 30)"),
    "primary key": (PRIMARY, "(3, 4, 40)"),
}


@pytest.mark.parametrize("mode", ["auto", "full"])
@pytest.mark.parametrize("bad", BAD)
def test_no_refresh_commits_a_violation(rt: Runtime, sql, oracle: Oracle, mode: str, bad: str):
    constraint, row = BAD[bad]
    rt.create_stream_table("t", QUERY, constraints=[constraint], refresh_mode=mode)
    sql(f"INSERT INTO src VALUES {row}, (5, 5, 50)")
    with pytest.raises(ConstraintViolated, match="t violate") as error:
        rt.refresh("t")
    assert error.value.detail
    assert sql.value("SELECT count(*) FROM t") == 3
    assert sql.value("SELECT last_error_code FROM pgtrickle.pgt_stream_tables") == "TR406"
    sql(f"DELETE FROM src WHERE (id, grp, v) IS NOT DISTINCT FROM ROW{row}")
    rt.refresh("t")
    oracle(rt, "t")


@pytest.mark.parametrize("replaces", [False, True])
@pytest.mark.parametrize("bad", BAD)
def test_no_creation_commits_a_violation(rt: Runtime, sql, bad: str, replaces: bool):
    constraint, row = BAD[bad]
    if replaces:
        sql("CREATE TABLE t AS SELECT 7 AS other")
    sql(f"INSERT INTO src VALUES {row}")
    with pytest.raises(ConstraintViolated):
        rt.create_stream_table("t", QUERY, constraints=[constraint], replace_relation=replaces)
    assert sql.value("SELECT to_regclass('t') IS NOT NULL") == replaces
    assert sql("SELECT FROM pgtrickle.pgt_stream_tables") == []


def test_in_place_of_a_table_with_the_same_names(rt: Runtime, sql, oracle: Oracle):
    sql("CREATE TABLE t (id int CONSTRAINT t_pk PRIMARY KEY)")
    rt.create_stream_table("t", QUERY, constraints=[PRIMARY, CHECK], replace_relation=True)
    assert on_table(sql) == ["t_pk", "v_is_positive"]
    oracle(rt, "t")


IN_PLACE = "SELECT id, grp, v, v + 1 AS w FROM src"
BESIDE = "SELECT v, grp, id FROM src"


@pytest.mark.parametrize("query", [IN_PLACE, BESIDE], ids=["in place", "beside"])
def test_they_outlive_a_new_query(rt: Runtime, sql, oracle: Oracle, query: str):
    rt.create_stream_table("t", QUERY, constraints=[NOT_NULL, CHECK, UNIQUE, PRIMARY])
    before = not_nulls(sql)
    rt.alter_stream_table("t", query=query)
    oracle(rt, "t")
    assert not_nulls(sql) == before == ["id", "v"]
    assert {"t_pk", "v_is_positive"} < set(on_table(sql))
    assert len(on_table(sql)) == 3
    sql("INSERT INTO src VALUES (4, 4, -1)")
    with pytest.raises(ConstraintViolated, match="v_is_positive"):
        rt.refresh("t")


@pytest.mark.parametrize("query", [IN_PLACE, BESIDE], ids=["in place", "beside"])
def test_rows_of_a_new_query_have_to_keep_them(rt: Runtime, sql, oracle: Oracle, query: str):
    rt.create_stream_table("t", QUERY, constraints=[CHECK])
    with pytest.raises(ConstraintViolated):
        rt.alter_stream_table("t", query=query.replace("v,", "-v AS v,"))
    assert rt.query("t") == QUERY
    oracle(rt, "t")


@pytest.mark.parametrize("query", [IN_PLACE, BESIDE], ids=["in place", "beside"])
def test_they_change_together_with_the_query(rt: Runtime, sql, oracle: Oracle, query: str):
    rt.create_stream_table("t", QUERY, constraints=[CHECK, NOT_NULL])
    negative = Constraint("check", (), "v < 0", "v_is_negative")
    query = query.replace("v,", "-v AS v,")
    rt.alter_stream_table("t", query=query, constraints=[negative, PRIMARY])
    assert on_table(sql) == ["t_pk", "v_is_negative"]
    assert not_nulls(sql) == ["id"]
    oracle(rt, "t")


def test_they_are_altered_alone(rt: Runtime, sql, oracle: Oracle):
    rt.create_stream_table("t", QUERY)
    altered = rt.alter_stream_table("t", constraints=[NOT_NULL, PRIMARY, CHECK])
    assert altered.changed == ("constraints",)
    assert (not_nulls(sql), on_table(sql)) == (["id", "v"], ["t_pk", "v_is_positive"])
    assert rt.alter_stream_table("t", constraints=[NOT_NULL, PRIMARY, CHECK]).changed == ()
    assert rt.alter_stream_table("t", constraints=[CHECK]).changed == ("constraints",)
    assert (not_nulls(sql), on_table(sql)) == ([], ["v_is_positive"])
    sql("INSERT INTO src VALUES (1, 1, 10)")
    rt.refresh("t")
    oracle(rt, "t")
    with pytest.raises(ConstraintViolated):
        rt.alter_stream_table("t", constraints=[PRIMARY])
    assert on_table(sql) == ["v_is_positive"]


def test_they_follow_to_partitions(rt: Runtime, sql, oracle: Oracle):
    rt.create_stream_table("t", QUERY, constraints=[NOT_NULL, CHECK, PRIMARY])
    rt.alter_stream_table("t", partition_by="HASH:id:2")
    assert (not_nulls(sql), on_table(sql)) == (["id", "v"], ["t_pk", "v_is_positive"])
    rt.alter_stream_table("t", constraints=[CHECK])
    assert on_table(sql) == ["v_is_positive"]
    sql("INSERT INTO src VALUES (4, 4, NULL)")
    rt.refresh("t")
    oracle(rt, "t")


def test_a_query_must_not_lose_a_column_of_one(rt: Runtime, sql):
    rt.create_stream_table("t", QUERY, constraints=[CHECK])
    with pytest.raises(InvalidConfig, match="v_is_positive"):
        rt.alter_stream_table("t", query="SELECT id, grp FROM src")
    rt.alter_stream_table("t", query="SELECT id, grp FROM src", constraints=[])
    assert on_table(sql) == []


def test_keys_that_swap_between_rows(rt: Runtime, sql, oracle: Oracle):
    rt.create_stream_table("t", QUERY, constraints=[PRIMARY, UNIQUE])
    assert rt.status("t")[0].mode == "differential"
    for _ in range(2):
        sql("UPDATE src SET id = 3 - id WHERE id < 3", "UPDATE src SET v = 30 - v WHERE v < 30")
        assert rt.refresh("t").action == "DIFFERENTIAL"
        oracle(rt, "t")


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        (Constraint("not_null", ("nope",)), "no column of the query"),
        (Constraint("check", (), "nope > 1"), "nope"),
        (Constraint("check", (), "v >"), "syntax error"),
    ],
)
def test_what_can_not_be_enforced_is_refused(rt: Runtime, sql, constraint, message: str):
    with pytest.raises(InvalidConfig, match=message):
        rt.create_stream_table("t", QUERY, constraints=[constraint])
    assert sql("SELECT FROM pgtrickle.pgt_stream_tables") == []


@pytest.mark.parametrize(
    ("kind", "columns", "expression"),
    [("foreign_key", ("id",), None), ("check", (), " "), ("unique", (), None)],
)
def test_what_makes_no_sense_is_no_constraint(kind: str, columns, expression):
    with pytest.raises(InvalidConfig, match=kind):
        Constraint(kind, columns, expression)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unique_key": ["grp"]}, "grp is not unique"),
        ({"unique_key": ["nope"]}, "no column"),
        ({"unique_key": ["doc"]}, "doc can't be indexed"),
        ({"unique_key": ["id"], "partition_by": "LIST:grp"}, "across partitions"),
    ],
)
def test_a_key_that_can_not_be_enforced_is_refused(rt: Runtime, sql, options, message: str):
    with pytest.raises(InvalidConfig, match=message):
        rt.create_stream_table("t", "SELECT id, grp, v, doc FROM src", **options)
    assert sql("SELECT FROM pgtrickle.pgt_stream_tables") == []


def test_a_key_is_enforced_in_every_refresh(rt: Runtime, sql, oracle: Oracle):
    rt.create_stream_table("t", QUERY, unique_key=["id"])
    sql("INSERT INTO src VALUES (3, 3, 33)")
    with pytest.raises(ConstraintViolated, match="key"):
        rt.refresh("t")
    sql("DELETE FROM src WHERE v = 33")
    rt.refresh("t")
    oracle(rt, "t")
    with pytest.raises(ConstraintViolated):
        rt.alter_stream_table("t", unique_key=["grp"])
    with pytest.raises(InvalidConfig, match="across partitions"):
        rt.alter_stream_table("t", partition_by="LIST:grp")
    oracle(rt, "t")
