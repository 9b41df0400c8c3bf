"""Progress of a long first fill, in dbt's log.

Invariant: the fill goes on whatever happens here. The thread has a connection of its own, from
dbt's pool, since that of the model is busy; it opens none before the fill has become a long one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

from dbt.adapters.events.logging import AdapterLogger
from dbt_common.exceptions import DbtBaseException

from trickle_runtime.errors import TrickleError

if TYPE_CHECKING:
    from trickle_runtime.api import FillProgress

logger = AdapterLogger("Trickle")
EVERY_S = 10.0


@contextmanager
def watched(name: tuple[str, str], look: Callable[[], Sequence[FillProgress]]) -> Generator[None]:
    """Log every few seconds how far the creation of a stream table is."""
    end = Event()
    thread = Thread(target=_watch, args=(name, look, end), name="trickle-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def _watch(name: tuple[str, str], look: Callable[[], Sequence[FillProgress]], end: Event) -> None:
    while not end.wait(EVERY_S):
        try:
            for one in look():
                if (one.schema, one.name) == name:
                    text = str(one)
                    logger.info(f"{text[0].upper()}{text[1:]}")
        except (TrickleError, DbtBaseException) as error:
            logger.debug(f"no progress to tell: {error}")
            return
