"""The runtime's tables: migrations, rows as data, and one method for each statement on them."""

from __future__ import annotations
