"""``serve``: the daemon."""

from __future__ import annotations

import datetime
import signal
from types import FrameType
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from trickle_runtime.cli import logs
from trickle_runtime.cli.target import Target


def _zone(ctx: click.Context, param: click.Parameter, value: str) -> datetime.tzinfo:
    if value == "UTC":
        return datetime.timezone.utc  # needs no tz database
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise click.BadParameter(f"there is no time zone {value!r}", ctx, param) from error


@click.command()
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Connections that refresh independent groups at the same time.",
)
@click.option(
    "--interval",
    type=click.FloatRange(0.05, 3600),
    default=1.0,
    show_default=True,
    help="Seconds between two looks at the catalog, at most.",
)
@click.option(
    "--drain-timeout",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Seconds that running refreshes get to end, after SIGTERM or SIGINT.",
)
@click.option(
    "--timezone",
    default="UTC",
    show_default=True,
    callback=_zone,
    help="Time zone of cron schedules, such as Europe/Berlin.",
)
@click.option("--log-format", type=click.Choice(logs.FORMATS), default="text", show_default=True)
@click.option("--log-level", type=click.Choice(logs.LEVELS), default="info", show_default=True)
@click.pass_obj
def command(
    target: Target,
    workers: int,
    interval: float,
    drain_timeout: float,
    timezone: datetime.tzinfo,
    log_format: str,
    log_level: str,
) -> None:
    """Keep the stream tables fresh until SIGTERM or SIGINT.

    Several daemons may run on one database; they share the work.
    """
    from trickle_runtime.scheduler.daemon import Daemon, Settings  # loads the compiler: 0.3 s

    logs.configure(log_format, log_level)
    settings = Settings(workers, interval, drain_timeout, timezone)
    daemon = Daemon(target.dsn, target.schemas, settings=settings)

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        daemon.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    daemon.run()
