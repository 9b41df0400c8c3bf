"""Alerts: JSON on the channel ``<prefix>_alert``.

Invariant: an alert is sent in the transaction whose effect it reports, so nobody hears of what was
rolled back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.refresh.members import queries


@dataclass(frozen=True)
class Alert:
    """Something that somebody should know about a stream table."""

    event: str  # suspended, resumed, reinitialized, mode_fallback, source_changed …
    stream_table: str
    facts: dict[str, Any] = field(default_factory=dict[str, Any])


def send(session: Session, schemas: Schemas, alerts: list[Alert]) -> None:
    """Send alerts in the open transaction."""
    if not alerts:
        return
    at = datetime.now(timezone.utc).isoformat()
    payloads = [
        json.dumps(
            {"event": one.event, "stream_table": one.stream_table, "at": at, **one.facts},
            default=str,
        )
        for one in alerts
    ]
    session.execute(queries(schemas)["notify"], {"payloads": payloads})
