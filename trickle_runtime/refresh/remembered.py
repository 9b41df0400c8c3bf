"""What a session remembers between passes, as long as it lives."""

from __future__ import annotations

from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from trickle_runtime.db.session import Session

K = TypeVar("K")
V = TypeVar("V")

MOST = 500  # things of a kind that a session remembers


class Remembered(Generic[K, V]):
    """One kind of things, for every session by itself."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Session, dict[K, V]] = WeakKeyDictionary()

    def get(self, session: Session, key: K) -> V | None:
        """Return what is remembered under ``key``."""
        return self._known.get(session, {}).get(key)

    def put(self, session: Session, key: K, value: V) -> None:
        """Remember a thing; with too many of them the others are forgotten."""
        known = self._known.setdefault(session, {})
        if len(known) >= MOST:
            known.clear()
        known[key] = value

    def drop(self, session: Session, key: K) -> None:
        """Forget one thing."""
        self._known.get(session, {}).pop(key, None)

    def forget(self, session: Session) -> None:
        """Forget all of them."""
        self._known.pop(session, None)
