"""The application that writes while the daemon refreshes.

Invariant: each batch is one transaction, as TPC-H's refresh functions are.
"""

from __future__ import annotations

import threading
from types import TracebackType

from trickle_runtime.db.connection import PsycopgSession, connect
from trickle_runtime.tpch import changes

_PAUSE = 0.1
# Days beyond TPC-H's last one: rows that need new partitions.
_NEW_DAYS = ("1998-08-03", "1999-06-30")


class Writer:
    """A thread that applies batches until it is stopped."""

    def __init__(self, dsn: str, orders: int) -> None:
        self.transactions = 0
        self._dsn = dsn
        self._orders = orders
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raise what the thread died of."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            with connect(self._dsn, application_name="demo writer") as session:
                while not self._stop.wait(_PAUSE):
                    self._write(session)
                    self.transactions += 1
        except Exception as failure:
            self._failure = failure

    def _write(self, session: PsycopgSession) -> None:
        changes.apply(session, changes.refresh_functions(self._orders))
        few = (changes.Change("new_orders", max(1, self._orders // 4)),)
        changes.apply(session, few, first_day=_NEW_DAYS[0], last_day=_NEW_DAYS[1])
        changes.apply(session, (changes.Change("change_costs", 1),))
        session.commit()
