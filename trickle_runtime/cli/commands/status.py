"""``status``: how the stream tables are."""

from __future__ import annotations

import click

from trickle_runtime.cli import output
from trickle_runtime.cli.target import Target

COLUMNS = (
    "schema", "name", "status", "schedule", "mode", "lag", "pending", "fuse_state", "last_error",
)  # fmt: skip


@click.command()
@click.argument("names", nargs=-1)
@output.json_option
@click.pass_obj
def command(target: Target, names: tuple[str, ...], json: bool) -> None:
    """Show the stream tables: state, lag, pending changes, fuse (default: all of them)."""
    with target.runtime() as runtime:
        rows = runtime.status(*names)
    output.show(rows, as_json=json, columns=COLUMNS)
