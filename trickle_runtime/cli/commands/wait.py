"""``wait``: until a stream table is fresh."""

from __future__ import annotations

import click

from trickle_runtime.cli.target import Target


@click.command()
@click.argument("name")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Seconds after which to give up, with exit code 1.",
)
@click.pass_obj
def command(target: Target, name: str, timeout: float) -> None:
    """Wait until NAME shows everything that was committed when the command started."""
    with target.runtime() as runtime:
        runtime.wait(name, timeout)
    click.echo(f"{name} is fresh", err=True)
