"""``upgrade``: the catalog in the database."""

from __future__ import annotations

import click

from trickle_runtime.cli.target import Target


@click.command()
@click.pass_obj
def command(target: Target) -> None:
    """Bring the catalog to the version of this program."""
    with target.runtime(installed=False) as runtime:
        runtime.upgrade()
    click.echo("the catalog is up to date", err=True)
