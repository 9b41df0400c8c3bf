"""From a canonical query to a tree of operators.

The only place that decides which shapes are incremental. Invariant: what is not understood raises
``NotIncremental`` and is recomputed as a node, or makes the whole query FULL; nothing is guessed.
"""

from __future__ import annotations

# Functions that planning puts into queries.
CALLED = frozenset({"array_agg", "coalesce", "count", "generate_series", "greatest", "least"})
