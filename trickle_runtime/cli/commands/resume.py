"""``resume``: refresh again after a pause or a suspension."""

from __future__ import annotations

import click

from trickle_runtime.cli.target import Target


@click.command()
@click.argument("name")
@click.pass_obj
def command(target: Target, name: str) -> None:
    """Refresh the stream table NAME again after a pause or a suspension."""
    with target.runtime() as runtime:
        runtime.resume(name)
    click.echo(f"resumed {name}", err=True)
