"""``install``: the catalog in the database."""

from __future__ import annotations

import click

from trickle_runtime.cli.target import Target


@click.command()
@click.pass_obj
def command(target: Target) -> None:
    """Create the catalog in the database; does nothing where it exists."""
    with target.runtime(installed=False) as runtime:
        runtime.install()
    click.echo("the catalog is up to date", err=True)
