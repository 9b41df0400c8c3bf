"""``alter``: change the query or the options of a stream table."""

from __future__ import annotations

from typing import Any

import click

from trickle_runtime.cli import options, output
from trickle_runtime.cli.target import Target


@click.command()
@click.argument("name")
@options.query_option(required=False)
@options.stream_table_options
@output.json_option
@click.pass_obj
def command(target: Target, name: str, query: str | None, json: bool, **given: Any) -> None:
    """Change the stream table NAME in place: its query, its options, or both."""
    changes = options.given({"query": query, **given})
    if not changes:
        raise click.UsageError("nothing to change: give --query-file or an option")
    with target.runtime() as runtime:
        result = runtime.alter_stream_table(name, **changes)
    output.show_one(result, as_json=json)
