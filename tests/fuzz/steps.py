"""The steps of a history, and a whole case: what a fuzz run does, and what a case file holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Sql:
    """A statement of the writing session, or of the other one."""

    sql: str
    other: bool = False


@dataclass(frozen=True)
class Create:
    """The creation of a stream table that did not exist from the beginning."""

    name: str


@dataclass(frozen=True)
class Refresh:
    """A refresh of one stream table."""

    name: str
    mode: str | None = None


Step = Sql | Create | Refresh


@dataclass(frozen=True)
class Case:
    """Tables, stream tables in the order of their creation, and a history."""

    setup: tuple[str, ...]
    streams: dict[str, str]
    steps: tuple[Step, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    def created_later(self) -> set[str]:
        """Stream tables with a step of their own."""
        return {step.name for step in self.steps if isinstance(step, Create)}
