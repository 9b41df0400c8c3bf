"""``explain``: the SQL that maintains a stream table."""

from __future__ import annotations

import click

from trickle_runtime.cli import options, output
from trickle_runtime.cli.target import Target


@click.command()
@click.argument("name", required=False)
@options.query_option(required=False)
@click.option("--delta", is_flag=True, help="Show the statements of a differential refresh.")
@click.option("--rewrite", is_flag=True, help="Show the query after every rewriting pass.")
@output.json_option
@click.pass_obj
def command(
    target: Target, name: str | None, query: str | None, delta: bool, rewrite: bool, json: bool
) -> None:
    """Show the SQL behind the stream table NAME, or behind a query (default: both views)."""
    if (name is None) == (query is None):
        raise click.UsageError("give either NAME or --query-file")
    if delta and query is not None:
        raise click.UsageError("--delta needs NAME: a delta belongs to a stream table")
    with target.runtime() as runtime:
        if name is not None and not rewrite:
            output.show_steps(runtime.explain_delta(name), as_json=json)
            return
        text = runtime.query(name) if name is not None else query or ""
        output.show(runtime.explain_query_rewrite(text), as_json=json)
