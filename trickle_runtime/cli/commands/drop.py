"""``drop``: remove a stream table."""

from __future__ import annotations

import click

from trickle_runtime.cli.target import Target


@click.command()
@click.argument("name")
@click.option("--cascade", is_flag=True, help="Drop the stream tables above it as well.")
@click.option("--if-exists", is_flag=True, help="Do nothing where there is no such table.")
@click.pass_obj
def command(target: Target, name: str, cascade: bool, if_exists: bool) -> None:
    """Drop the stream table NAME with all that is kept for it."""
    with target.runtime() as runtime:
        runtime.drop_stream_table(name, cascade=cascade, if_exists=if_exists)
    click.echo(f"dropped {name}", err=True)
