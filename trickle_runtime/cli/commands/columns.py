"""``columns``: what is kept for a stream table besides its own columns."""

from __future__ import annotations

import click

from trickle_runtime.cli import output
from trickle_runtime.cli.target import Target


@click.command()
@click.argument("name")
@output.json_option
@click.pass_obj
def command(target: Target, name: str, json: bool) -> None:
    """Show state tables, buffers and indexes that are kept for the stream table NAME."""
    with target.runtime() as runtime:
        output.show(runtime.list_auxiliary_columns(name), as_json=json)
