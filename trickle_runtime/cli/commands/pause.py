"""``pause``: stop refreshing until it is resumed."""

from __future__ import annotations

import click

from trickle_runtime.cli.target import Target


@click.command()
@click.argument("name")
@click.pass_obj
def command(target: Target, name: str) -> None:
    """Stop refreshing the stream table NAME until it is resumed."""
    with target.runtime() as runtime:
        runtime.pause(name)
    click.echo(f"paused {name}", err=True)
