"""Options that several commands share, or that need a type of their own.

Invariant: what the user did not give of a stream table's options is not passed on, so that
defaults and unchanged values are decided in ``config.StreamTableOptions`` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timezone, tzinfo
from typing import Any, TextIO, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from trickle_runtime import config

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--schedule", help="'30s', '5m', '1h30m', five cron fields, or 'calculated'."),
    click.option("--refresh-mode", type=click.Choice(config.REFRESH_MODES)),
    click.option("--partition-by", help="'col', 'a,b', 'LIST:col', 'HASH:col[:N]'; '' for none."),
    click.option("--fuse", type=click.Choice(config.FUSE_MODES)),
    click.option("--fuse-ceiling", type=int, help="Changes per refresh above which it blows."),
    click.option("--fuse-sensitivity", type=float, help="k of the mean plus k deviations."),
    click.option("--tier", type=click.Choice(config.TIERS)),
    click.option("--cdc-mode", type=click.Choice(config.CDC_MODES)),
    click.option("--diamond-consistency", type=click.Choice(config.DIAMOND_MODES)),
    click.option("--append-only/--no-append-only", default=None),
    click.option("--unique-key", help="Columns that identify a row, comma-separated."),
)


def time_zone(ctx: click.Context, param: click.Parameter, value: str) -> tzinfo:
    """Return the zone of that name; UTC needs no database of time zones."""
    if value == "UTC":
        return timezone.utc
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise click.BadParameter(f"there is no time zone {value!r}", ctx, param) from error


def stream_table_options(function: Function) -> Function:
    """Add the options of a stream table."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def query_option(*, required: bool) -> Callable[[Function], Function]:
    """Add ``--query-file``, passed on as the text ``query``; ``-`` is standard input."""
    return click.option(
        "--query-file",
        "query",
        type=click.File(encoding="utf-8"),
        required=required,
        callback=_text,
        help="File with the query; - for standard input.",
    )


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that the user gave."""
    found = {name: value for name, value in options.items() if value is not None}
    if "unique_key" in found:
        found["unique_key"] = [one.strip() for one in found["unique_key"].split(",")]
    return found


def _text(ctx: click.Context, param: click.Parameter, value: TextIO | None) -> str | None:
    del ctx, param
    return None if value is None else value.read()
