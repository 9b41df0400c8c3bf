"""The gate of a model: its data tests of severity error, compiled.

Invariant: a test is compiled here as ``dbt test`` would compile it, on a copy of its node: ``dbt
build`` goes on to compile and run the test itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from dbt.compilation import Compiler

if TYPE_CHECKING:
    from trickle_runtime.api import Runtime
    from trickle_runtime.config import GateTest

# They ask the runtime about the stored content, not about the new rows.
OURS = frozenset({"stream_table_exact", "stream_table_fresh", "stream_table_healthy"})


def compiled_tests(config: Any, manifest: Any, unique_id: str) -> list[dict[str, Any]]:
    """Return the tests that read a model, and what dbt makes their verdict of."""
    compiler = Compiler(config)
    nodes = sorted(manifest.nodes.values(), key=lambda node: node.unique_id)
    return [_compiled(compiler, manifest, node) for node in nodes if _is_wanted(node, unique_id)]


def differs(
    runtime: Runtime,
    name: tuple[str, str],
    described: Mapping[str, Any],
    tests: Sequence[GateTest],
) -> bool:
    """Whether the stored gate is another one.

    Where a test is not there, the runtime is asked: it may belong to a stream table above.
    """
    stored = [(one["name"], one["query"]) for one in _stored(described)]
    if stored == [(test.name, test.query) for test in tests]:
        return False
    return runtime.gate_differs(name, tests)


def incomplete(described: Mapping[str, Any]) -> bool:
    """Whether the stored gate has tests that could not be run so far."""
    return any(one["missing"] is not None for one in _stored(described))


def not_run_yet(runtime: Runtime, name: tuple[str, str]) -> list[str]:
    """Say which tests of a gate can't be run yet, and why."""
    return [
        f"its gate does not run test {test.name} yet: {test.missing}"
        for test in runtime.gate(name)
        if test.missing is not None
    ]


def _stored(described: Mapping[str, Any]) -> list[dict[str, Any]]:
    return json.loads(described["gate"] or "[]")


def _is_wanted(node: Any, unique_id: str) -> bool:
    if str(node.resource_type) != "test" or unique_id not in node.depends_on.nodes:
        return False
    metadata = getattr(node, "test_metadata", None)
    if metadata is not None and metadata.name in OURS:
        return False
    return str(node.config.severity).lower() == "error"


def _compiled(compiler: Compiler, manifest: Any, node: Any) -> dict[str, Any]:
    copied = compiler.compile_node(deepcopy(node), manifest, write=False)
    config = copied.config
    return {
        "name": node.name,
        "sql": copied.compiled_code,
        "fail_calc": config.fail_calc,
        "warn_if": config.warn_if,
        "error_if": config.error_if,
        "limit": config.limit,
    }
