"""Version of the distribution; dbt imports it when it registers the adapter."""

from __future__ import annotations

version = "0.1.0"
