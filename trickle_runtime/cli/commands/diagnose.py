"""``diagnose``: the last errors of a stream table and what to do about them."""

from __future__ import annotations

import click

from trickle_runtime.cli import output
from trickle_runtime.cli.target import Target


@click.command()
@click.argument("name")
@output.json_option
@click.pass_obj
def command(target: Target, name: str, json: bool) -> None:
    """Show the last errors of the stream table NAME, with a remedy for each."""
    with target.runtime() as runtime:
        output.show(runtime.diagnose_errors(name), as_json=json)
