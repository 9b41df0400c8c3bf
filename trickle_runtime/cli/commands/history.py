"""``history``: the last refreshes of a stream table."""

from __future__ import annotations

import click

from trickle_runtime.cli import output
from trickle_runtime.cli.target import Target

COLUMNS = (
    "started_at", "action", "status", "initiated_by", "rows_in", "inserted", "updated", "deleted",
    "duration_ms", "reason", "error_message",
)  # fmt: skip


@click.command()
@click.argument("name")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@output.json_option
@click.pass_obj
def command(target: Target, name: str, limit: int, json: bool) -> None:
    """Show the last refreshes of the stream table NAME, newest first."""
    with target.runtime() as runtime:
        output.show(runtime.history(name, limit=limit), as_json=json, columns=COLUMNS)
