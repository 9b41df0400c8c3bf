"""``uninstall``: remove every trace from the database."""

from __future__ import annotations

import click

from trickle_runtime.cli.target import Target


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def command(target: Target, yes: bool) -> None:
    """Remove the catalog, all capture triggers, buffers and states.

    The stream tables stay, as ordinary tables that nobody refreshes.
    """
    if not yes:
        click.confirm("Remove the catalog and all change capture?", abort=True, err=True)
    with target.runtime(installed=False) as runtime:
        runtime.uninstall()
    click.echo("uninstalled", err=True)
