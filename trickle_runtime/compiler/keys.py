"""Keys by which rows are partitioned, in operators that keep their output per partition."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from trickle_runtime.compiler.result import OutputColumn


@dataclass(frozen=True)
class PartitionKey:
    """A partition key: its expression over the child and the facts on its type."""

    value: exp.Expr
    identity: OutputColumn
