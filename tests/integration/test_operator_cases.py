"""Every case of tests/cases/operators, run three ways (scenarios.md, head).

``end``: one refresh after all changes. ``each``: a refresh after every change. ``open``: as
``end``, with an unrelated transaction open throughout. After each refresh the table equals its
query, and before each refresh the compiled delta equals new minus old; a case that lists its delta
is compared with that list as well.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import yaml

from tests.delta_oracle import assert_delta, net_delta
from tests.oracle import assert_exact, assert_unrepaired
from trickle_runtime.refresh import dry_run

if TYPE_CHECKING:
    from trickle_runtime.api import Runtime

FOLDER = Path(__file__).parents[1] / "cases" / "operators"
WAYS = ("end", "each", "open")


class Once(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key is there twice: {sorted(map(str, keys))}"
        return super().construct_mapping(node, deep)


def _cases() -> list[Any]:
    found: list[Any] = []
    for file in sorted(FOLDER.glob("*.yml")):
        content = yaml.load(file.read_text(encoding="utf-8"), Once)
        assert content["operator"] == file.stem
        for name, case in content["cases"].items():
            merged = {"setup": content.get("setup", ""), **case}
            found.append(pytest.param(merged, id=f"{file.stem}-{name}"))
    return found


@pytest.fixture
def writer(database: str):
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize(
    "way", ["end", *(pytest.param(w, marks=pytest.mark.once) for w in WAYS[1:])]
)
@pytest.mark.parametrize("case", _cases())
def test_case(
    case: dict[str, Any],
    way: str,
    rt: Runtime,
    writer: psycopg.Connection,
    supported: Callable[[str], bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "requires" in case and not supported(case["requires"]):
        pytest.skip(f"this PostgreSQL is too old for it, or built without it: {case['requires']}")
    _prepare(case, writer)
    if way != "end":  # where PostgreSQL has explained the same statements
        monkeypatch.setattr(dry_run, "check", lambda *_: None)
    info = rt.create_stream_table("public.st", case["query"], schedule="1h")
    assert info.effective_mode == case.get("mode", "differential"), info.reasons
    assert_exact(rt, "public.st")
    if way == "open":
        writer.execute("CREATE TABLE unrelated (x int)")
        with psycopg.connect(writer.info.dsn) as other:
            other.execute("INSERT INTO unrelated VALUES (1)")
            _run(case, rt, writer, each=False)
            other.rollback()
    else:
        _run(case, rt, writer, each=way == "each")


def _prepare(case: dict[str, Any], writer: psycopg.Connection) -> None:
    if case.get("generated"):
        row = writer.execute(case["setup"]).fetchone()
        assert row is not None
        writer.execute(row[0])
    elif case["setup"]:
        writer.execute(case["setup"])


def _run(case: dict[str, Any], rt: Runtime, writer: psycopg.Connection, *, each: bool) -> None:
    for change in case["changes"]:
        writer.execute(change)
        if each:
            _refresh(case, rt)
    if not each:
        if "expect" in case:
            expected = [[row[0], *row[1:]] for row in case["expect"]]
            assert sorted(net_delta(rt, "public.st"), key=repr) == sorted(expected, key=repr)
        _refresh(case, rt)


def _refresh(case: dict[str, Any], rt: Runtime) -> None:
    if case.get("delta", True) and case.get("mode", "differential") == "differential":
        assert_delta(rt, "public.st")
    result = rt.refresh("public.st", mode=case.get("refresh"))
    assert_unrepaired(result)
    assert_exact(rt, "public.st")


def test_every_operator_has_cases() -> None:
    """An operator is its file, its class and its YAML; ``sources`` has the kinds of tables."""
    from trickle_runtime.compiler.operators import OPERATORS

    modules = {operator.__module__.rpartition(".")[2] for operator in OPERATORS}
    assert modules | {"sources"} == {file.stem for file in FOLDER.glob("*.yml")}
