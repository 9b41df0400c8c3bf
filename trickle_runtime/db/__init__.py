"""The database seam: sessions, error translation, named SQL blocks."""

from __future__ import annotations
