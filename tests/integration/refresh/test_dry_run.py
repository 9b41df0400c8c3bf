"""Errors of the compiler are found when a stream table is defined; they are not the user's."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest

from tests.oracle import assert_exact
from trickle_runtime.compiler.operators.project import Project
from trickle_runtime.compiler.plan import Plan
from trickle_runtime.compiler.planning.planner import Planner
from trickle_runtime.refresh import dry_run

QUERY = "SELECT a.id, b.x FROM a JOIN b USING (id)"


@pytest.fixture
def tables(sql):
    sql(
        "CREATE DOMAIN never AS int NOT NULL",
        "CREATE TABLE a (id int PRIMARY KEY)",
        "CREATE TABLE b (id int, x never)",
        "INSERT INTO a VALUES (1), (2)",
        "INSERT INTO b VALUES (1, 1), (2, 2)",
    )


def _internal(info):
    return [reason.message for reason in info.reasons if reason.code == "INTERNAL"]


def test_a_statement_that_postgresql_refuses(rt, sql, tables, monkeypatch):
    plain = Plan.delta_steps

    def broken(self, target, changed, **options):
        steps = plain(self, target, changed, **options)
        if len(changed) < 2:  # a statement that many refreshes would not meet
            return steps
        renamed = (re.sub(r"\bnet\b", "nothing", step.sql, count=1) for step in steps)
        return [replace(step, sql=text) for step, text in zip(steps, renamed, strict=True)]

    monkeypatch.setattr(Plan, "delta_steps", broken)
    info = rt.create_stream_table("st", QUERY)
    assert info.effective_mode == "full"
    assert '"net" does not exist' in _internal(info)[0]
    sql("INSERT INTO a VALUES (3)", "INSERT INTO b VALUES (3, 3)")
    assert rt.refresh("st").action == "FULL"
    assert_exact(rt, "st")


def test_an_error_while_statements_are_made(rt, tables, monkeypatch):
    def broken(self, out):
        raise KeyError("lost")

    monkeypatch.setattr(Project, "delta", broken)
    info = rt.create_stream_table("st", QUERY)
    assert info.effective_mode == "full"
    assert _internal(info) == ["KeyError: 'lost'"]
    assert_exact(rt, "st")


def test_an_error_of_the_planner(rt, sql, tables, monkeypatch):
    def broken(self, tree, names):
        raise AssertionError("nonsense")

    monkeypatch.setattr(Planner, "plan", broken)
    info = rt.create_stream_table("st", QUERY)
    assert info.effective_mode == "full"
    assert _internal(info) == ["AssertionError: nonsense"]
    assert_exact(rt, "st")


def test_nothing_is_left(rt, session, tables):
    rt.create_stream_table("st", QUERY)
    left = session.execute(
        "SELECT relname FROM pg_class WHERE relname ~ '^s_-' OR relname = 'pgtrickle_checked'"
    )
    assert left == []


def test_all_sets_of_few_sources_and_the_small_ones_of_many():
    few = list(dry_run.changed_sets([1, 2, 3], frozenset()))
    assert len(few) == len(set(few)) == 7
    many = list(dry_run.changed_sets(list(range(10)), frozenset({99})))
    assert frozenset({*range(10), 99}) in many
    assert {frozenset({a, b, 99}) for a, b in itertools.combinations(range(10), 2)} <= set(many)
    assert frozenset({99}) in many
    assert len(many) == len(set(many)) == 1 + 45 + 10 + 1
