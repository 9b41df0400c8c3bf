"""``trickle-runtime bench``: every number in docs/BENCHMARK.md, side by side in one run.

Invariant: a measurement prints what it compared, the machine and the load average beside it.
"""

from __future__ import annotations

from trickle_runtime.bench.command import main

__all__ = ["main"]
