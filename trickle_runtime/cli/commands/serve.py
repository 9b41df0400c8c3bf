"""``serve``: the daemon."""

from __future__ import annotations

from datetime import tzinfo

import click

from trickle_runtime.cli import logs, options
from trickle_runtime.cli.target import Target


@click.command(context_settings={"show_default": True})
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=4,
    help="Connections that refresh independent groups at the same time.",
)
@click.option(
    "--interval",
    type=click.FloatRange(0.05, 3600),
    default=1.0,
    help="Seconds between two looks at the catalog, at most.",
)
@click.option(
    "--drain-timeout",
    type=click.FloatRange(min=0),
    default=60.0,
    help="Seconds that running refreshes get to end, after SIGTERM or SIGINT.",
)
@click.option(
    "--timezone",
    callback=options.time_zone,
    default="UTC",
    help="Time zone of cron schedules, such as Europe/Berlin.",
)
@click.option("--log-format", type=click.Choice(logs.FORMATS), default="text")
@click.option("--log-level", type=click.Choice(logs.LEVELS), default="info")
@click.pass_obj
def command(
    target: Target,
    workers: int,
    interval: float,
    drain_timeout: float,
    timezone: tzinfo,
    log_format: str,
    log_level: str,
) -> None:
    """Keep the stream tables fresh until SIGTERM or SIGINT.

    Several daemons may run on one database; they share the work.
    """
    from trickle_runtime.scheduler import daemon  # loads the compiler: 0.3 s

    logs.configure(log_format, log_level)
    settings = daemon.Settings(workers, interval, drain_timeout, timezone)
    server = daemon.Daemon(target.dsn, target.schemas, settings=settings)
    server.stop_on_signals()
    server.run()
