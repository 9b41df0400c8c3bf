"""Progress of what takes long, in dbt's log.

Invariant: the work goes on whatever happens here. The thread never uses the model's connection,
which is busy; whoever asks the database opens one of its own, not before the work has become long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
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
Name = tuple[str, str]
Tell = Callable[[], Iterable[str]]


@contextmanager
def watched(tell: Tell) -> Generator[None]:
    """Log every few seconds what ``tell`` says of the work inside."""
    end = Event()
    thread = Thread(target=_watch, args=(tell, end), name="trickle-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def fill_of(name: Name, look: Callable[[], Sequence[FillProgress]]) -> Tell:
    """Tell how far the creation of a stream table is."""

    def tell() -> Iterable[str]:
        for one in look():
            if (one.schema, one.name) == name:
                text = str(one)
                yield f"{text[0].upper()}{text[1:]}"

    return tell


def time_of(what: str, name: Name) -> Tell:
    """Tell how long the work on a stream table takes; its rows are not seen before its commit."""
    started = time.monotonic()

    def tell() -> Iterable[str]:
        yield f"{what} {name[0]}.{name[1]}: {time.monotonic() - started:.0f} s"

    return tell


def _watch(tell: Tell, end: Event) -> None:
    while not end.wait(EVERY_S):
        try:
            for text in tell():
                logger.info(text)
        except (TrickleError, DbtBaseException) as error:
            logger.debug(f"no progress to tell: {error}")
            return
