"""A private PostgreSQL for the demo, the bench and the tests.

Invariant: nothing here touches what it did not create, and nothing runs on after its owner ended,
unless the owner asked for that.
"""

from __future__ import annotations

from trickle_runtime.embedded.provider import MINIMUM_MAJOR, bin_directory, server_version
from trickle_runtime.embedded.server import FAST_SETTINGS, Server

__all__ = ["FAST_SETTINGS", "MINIMUM_MAJOR", "Server", "bin_directory", "server_version"]
