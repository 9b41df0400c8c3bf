"""The ``trickle`` adapter plugin: dbt-postgres plus the ``stream_table`` materialization.

``dependencies=["postgres"]`` loads dbt-postgres' macros and puts ``postgres__x`` behind
``trickle__x`` in every dispatch, so whatever is not overridden here is inherited.
"""

from __future__ import annotations

from dbt.adapters.base import AdapterPlugin
from dbt.include import trickle

from dbt.adapters.trickle.connections import TrickleConnectionManager, TrickleCredentials
from dbt.adapters.trickle.impl import TrickleAdapter
from dbt.adapters.trickle.relation import TrickleRelation

__all__ = [
    "Plugin",
    "TrickleAdapter",
    "TrickleConnectionManager",
    "TrickleCredentials",
    "TrickleRelation",
]

Plugin = AdapterPlugin(
    adapter=TrickleAdapter,
    credentials=TrickleCredentials,
    include_path=trickle.PACKAGE_PATH,
    dependencies=["postgres"],
)
