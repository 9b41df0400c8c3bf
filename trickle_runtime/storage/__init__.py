"""The tables behind stream tables: their creation, row identity, partitions and rebuilding."""

from __future__ import annotations
