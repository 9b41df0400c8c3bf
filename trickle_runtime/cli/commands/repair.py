"""``repair``: make a stream table equal to its query again."""

from __future__ import annotations

import click

from trickle_runtime.cli import output
from trickle_runtime.cli.target import Target


@click.command()
@click.argument("name")
@output.json_option
@click.pass_obj
def command(target: Target, name: str, json: bool) -> None:
    """Bring the stream table NAME to the exact image of its query, by a full difference."""
    with target.runtime() as runtime:
        output.show_one(runtime.repair(name), as_json=json)
