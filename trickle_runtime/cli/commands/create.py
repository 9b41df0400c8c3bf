"""``create``: make a stream table of a query."""

from __future__ import annotations

from typing import Any

import click

from trickle_runtime.cli import options, output
from trickle_runtime.cli.target import Target


@click.command()
@click.argument("name")
@options.query_option(required=True)
@options.stream_table_options
@click.option("--initialize/--no-initialize", default=None, help="Fill it now (default).")
@output.json_option
@click.pass_obj
def command(target: Target, name: str, query: str, json: bool, **given: Any) -> None:
    """Create the stream table NAME over a query, and fill it."""
    with target.runtime() as runtime:
        info = runtime.create_stream_table(name, query, **options.given(given))
    output.show_one(info, as_json=json)
