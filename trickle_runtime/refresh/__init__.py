"""The refresh engine: creation, the pass, alteration, and what is asked about stream tables."""

from __future__ import annotations
