"""``cleanup``: delete captured changes that nobody needs any more."""

from __future__ import annotations

import click

from trickle_runtime.cli import output
from trickle_runtime.cli.target import Target


@click.command()
@output.json_option
@click.pass_obj
def command(target: Target, json: bool) -> None:
    """Delete captured changes that every stream table has consumed (serve does so by itself)."""
    with target.runtime() as runtime:
        output.show_one({"deleted": runtime.cleanup()}, as_json=json)
