"""The compiler: canonical SQL and schema in, delta SQL out.

Invariant: pure. No driver, no catalog, no dbt.
"""

from __future__ import annotations
