"""Analysis: PostgreSQL canonicalises a query and tells its types; the compiler plans it.

Everything happens inside a savepoint that is rolled back: analysing leaves nothing behind.
"""

from __future__ import annotations

from trickle_runtime.analysis.analyse import Analysis, analyse

__all__ = ["Analysis", "analyse"]
