"""Shapes of plans, keys and deltas; what is refused and with which code."""

from __future__ import annotations

import re

import pytest

from tests.unit.compiler.fakes import IntegersDescriber, relation, schema
from trickle_runtime.compiler.apply import Target
from trickle_runtime.compiler.dialect import parse
from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.plan import Plan
from trickle_runtime.compiler.planning.planner import Planner
from trickle_runtime.compiler.reasons import HINTS, NotIncremental
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.config import Schemas

A = relation(1, "a", "id", "x", "y", key="id")
B = relation(2, "b", "id", "x", "z", key="id")
C = relation(3, "c", "id", "x", key="id")
D = relation(4, "d", "id", "x", key="id")


def plan(text: str, *names: str) -> Operator:
    return Planner(schema(A, B, C, D), IntegersDescriber()).plan(parse(text), names)


def compiled(text: str, *names: str) -> Plan:
    root = plan(text, *names)
    columns = tuple(OutputColumn(n, "integer", root.column(n).not_null) for n in names)
    buffers = {relid: f"changes_{relid}" for relid in range(1, 5)}
    return Plan(text, columns, root, Schemas(), buffers)


JOIN = (
    "SELECT a.id, b.z FROM ((public.a JOIN public.b ON ((b.id = a.x)))"
    " JOIN public.c ON ((c.id = b.x)))"
)


@pytest.mark.parametrize(
    ("changed", "terms"),
    [({1}, 1), ({1, 2}, 3), ({1, 2, 3}, 7)],
)
def test_join_terms(changed: set[int], terms: int) -> None:
    steps = compiled(JOIN, "id", "z").delta_steps(Target(1, "st"), frozenset(changed))
    assert len(steps) == 1
    assert steps[0].sql.count("UNION ALL") == terms - 1


def test_four_changed_inputs_are_split_into_named_parts() -> None:
    text = (
        "SELECT a.id, d.id AS did FROM (((public.a JOIN public.b ON ((b.id = a.x)))"
        " JOIN public.c ON ((c.id = b.x))) JOIN public.d ON ((d.id = c.x)))"
    )
    steps = compiled(text, "id", "did").delta_steps(Target(1, "st"), frozenset({1, 2, 3, 4}))
    assert steps[0].sql.count("UNION ALL") == 6 + 2


MANY = (
    "SELECT a.id, b.z FROM ((public.a JOIN public.b ON ((b.x = a.x)))"
    " JOIN public.c ON ((c.id = b.z)))"
)


def _delta(text: str, *changed: int) -> tuple[dict[str, str], str]:
    """The named queries of a delta and its terms."""
    (step,) = compiled(text, "id", "z").delta_steps(Target(1, "st"), frozenset(changed))
    named, _, rest = step.sql.partition(", net AS ")
    pieces = re.split(r"(?:WITH|,) (\w+) AS (?:MATERIALIZED )?(?=\()", named)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True)), rest.partition(") d) d")[0]


def test_deltas_that_find_each_other_by_key_meet_in_a_query_of_their_own() -> None:
    named, terms = _delta(JOIN, 1, 2)
    (met,) = (name for name in named if name.endswith("_t1_t2"))
    assert "delta__t1" in named[met]
    assert "delta__j4__t2_net" in named[met]
    assert "public" not in named[met]
    last = terms.split("UNION ALL")[-1]
    assert met in last
    assert "delta__t1" not in last


def test_deltas_that_may_multiply_each_other_meet_in_the_term() -> None:
    named, terms = _delta(MANY, 1, 2)
    assert set(named) == {"delta__t1", "delta__j4__t1_net", "delta__t2", "delta__j4__t2_net"}
    assert '"public"."c"' in terms.split("UNION ALL")[-1]


def test_a_delta_meets_a_filtered_input_once() -> None:
    named, terms = _delta(JOIN + " WHERE (c.x > 5)", 1, 2)
    assert [name for name, query in named.items() if '"public"."c"' in query] == ["delta__j4__t2_"]
    assert terms.count("delta__j4__t2_ AS") == 2
    assert terms.count('"public"."c"') == 1  # where only a has changed


def test_a_delta_whose_rows_meet_many_is_netted() -> None:
    assert "delta__j4__t1_net" not in _delta(JOIN, 1)[0]
    assert "delta__j4__t2_net" in _delta(JOIN, 2)[0]
    assert "delta__j4__t1_net" in _delta(MANY, 1)[0]


def test_equal_deltas_are_read_once() -> None:
    twice = "SELECT a.id, o.x AS z FROM (public.a JOIN public.a o ON ((o.id = a.x)))"
    named, _ = _delta(twice, 1)
    assert [name for name, query in named.items() if "changes_1" in query] == ["delta__t1"]


def test_foreign_keys_reduce_the_key_of_a_join() -> None:
    assert compiled(JOIN, "id", "z").key == ("id",)


def test_only_used_columns_are_read() -> None:
    assert compiled(JOIN, "id", "z").tables == {1: {1, 2}, 2: {1, 2, 3}, 3: {1}}


def test_columns_of_a_subquery_that_nobody_reads_are_not_captured() -> None:
    text = "SELECT q.id FROM ( SELECT a.id, a.x, a.y FROM public.a) q"
    assert compiled(text, "id").tables == {1: {1}}


def test_aggregate_that_shows_its_state_keeps_none() -> None:
    text = "SELECT x, count(*) AS n, sum(id) AS s FROM public.a GROUP BY x"
    assert compiled(text, "x", "n", "s").states(Target(1, "st")) == ()


def test_hidden_count_needs_a_state() -> None:
    text = "SELECT x, sum(id) AS s FROM public.a GROUP BY x"
    states = compiled(text, "x", "s").states(Target(1, "st"))
    assert len(states) == 1
    assert "__pgt_count" in states[0].query


def test_unchanged_source_has_no_term() -> None:
    steps = compiled(JOIN, "id", "z").delta_steps(Target(1, "st"), frozenset({3}))
    assert "changes_1" not in steps[0].sql
    assert "changes_3" in steps[0].sql


def test_missing_indexes_are_named_once() -> None:
    advice = compiled(JOIN, "id", "z").advice()
    assert {(a.relation, a.columns) for a in advice} == {
        ('"public"."a"', ("x",)),
        ('"public"."b"', ("x",)),
    }
    assert all(a.ddl.startswith("CREATE INDEX ON ") for a in advice)


def test_log_and_partitions_reach_the_statement() -> None:
    text = "SELECT id, x FROM public.a"
    target = Target(7, "st", log=True, partition_columns=("x",))
    sql = compiled(text, "id", "x").delta_steps(target, frozenset({1}))[0].sql
    assert '"pgtrickle_changes"."log_7"' in sql
    assert '"st"."x" = "n"."__pgt_old.x"' in sql


REFUSED = [
    ("SELECT id FROM public.a LIMIT 3", "LIMIT"),
    ("SELECT CURRENT_DATE AS id FROM public.a", "STABLE_FUNCTION"),
    ("SELECT oid AS id FROM pg_class", "SYSTEM_CATALOG"),
    ("SELECT id FROM public.a TABLESAMPLE bernoulli (10)", "TABLE_SAMPLE"),
]


@pytest.mark.parametrize(("text", "code"), REFUSED)
def test_refusals(text: str, code: str) -> None:
    with pytest.raises(NotIncremental) as refusal:
        plan(text, "id")
    assert refusal.value.reason.code == code
    assert refusal.value.reason.hint == HINTS[code]


def test_volatile_function_is_refused() -> None:
    planner = Planner(schema(A, volatile=frozenset({"random"})), IntegersDescriber())
    with pytest.raises(NotIncremental, match="VOLATILE_FUNCTION"):
        planner.plan(parse("SELECT random() AS r FROM public.a"), ["r"])


def test_order_without_limit_is_dropped_and_said() -> None:
    planner = Planner(schema(A), IntegersDescriber())
    planner.plan(parse("SELECT id FROM public.a ORDER BY id"), ["id"])
    assert [note.code for note in planner.tools.notes] == ["ORDER_DROPPED"]


def test_equal_columns_stand_in_for_each_other_in_a_key() -> None:
    text = "SELECT a.id, b.z FROM (public.a JOIN public.b ON ((b.x = a.id)))"
    assert compiled(text, "id", "z").key is None
    text = "SELECT a.x AS bid, a.y FROM (public.a JOIN public.b ON ((b.id = a.x)))"
    assert compiled(text, "bid", "y").key is None  # many a per b
    text = "SELECT b.x AS aid, b.id FROM (public.a JOIN public.b ON ((a.id = b.x)))"
    assert compiled(text, "aid", "id").key == ("id",)
