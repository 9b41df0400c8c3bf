"""Errors of the runtime as dbt's.

Invariant: an error leaves no transaction open.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from dbt.adapters.events.logging import AdapterLogger
from dbt_common.exceptions import DbtRuntimeError

from dbt.adapters.trickle.session import DbtSession
from trickle_runtime.errors import TrickleError

if TYPE_CHECKING:
    from dbt.adapters.trickle.impl import TrickleAdapter

logger = AdapterLogger("Trickle")
P = ParamSpec("P")
R = TypeVar("R")
Method = Callable[Concatenate["TrickleAdapter", P], R]


def runtime_errors(method: Method[P, R]) -> Method[P, R]:
    """Turn a ``TrickleError`` into a ``DbtRuntimeError`` that keeps detail, hint and code."""

    @wraps(method)
    def call(adapter: TrickleAdapter, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(adapter, *args, **kwargs)
        except TrickleError as error:
            DbtSession(adapter.connections).rollback()
            raise DbtRuntimeError(f"{error} [{error.code}]") from error

    return call


def warns(consequence: str) -> Callable[[Method[P, None]], Method[P, None]]:
    """Make an error of upkeep a warning: what the user asked for has been done by then."""

    def decorate(method: Method[P, None]) -> Method[P, None]:
        @wraps(method)
        def call(adapter: TrickleAdapter, *args: P.args, **kwargs: P.kwargs) -> None:
            try:
                method(adapter, *args, **kwargs)
            except (TrickleError, DbtRuntimeError) as error:
                DbtSession(adapter.connections).rollback()
                logger.warning(f"{consequence}: {error}")

        return call

    return decorate
