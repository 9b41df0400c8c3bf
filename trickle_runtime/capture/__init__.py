"""Change capture: triggers and buffers on the sources, what is pending in them, their upkeep."""

from __future__ import annotations
