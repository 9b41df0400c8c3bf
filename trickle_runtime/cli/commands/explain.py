"""``explain``: the SQL that maintains a stream table."""

from __future__ import annotations

import click

from trickle_runtime.cli import options, output
from trickle_runtime.cli.target import Target


@click.command()
@click.argument("name", required=False)
@options.query_option(required=False)
@click.option("--nodes", is_flag=True, help="Show how each part of the query is maintained.")
@click.option("--delta", is_flag=True, help="Show the statements of a differential refresh.")
@click.option("--changed", multiple=True, help="A source that has changed (default: all).")
@click.option("--plan", is_flag=True, help="Show PostgreSQL's plan of each statement, too.")
@click.option("--rewrite", is_flag=True, help="Show the query after every rewriting pass.")
@output.json_option
@click.pass_obj
def command(
    target: Target,
    name: str | None,
    query: str | None,
    nodes: bool,
    delta: bool,
    changed: tuple[str, ...],
    plan: bool,
    rewrite: bool,
    json: bool,
) -> None:
    """Show what is behind the stream table NAME (default: parts and statements), or a query."""
    if (name is None) == (query is None):
        raise click.UsageError("give either NAME or --query-file")
    if query is not None and (nodes or delta or changed or plan):
        raise click.UsageError("these options need NAME: a delta belongs to a stream table")
    with target.runtime() as runtime:
        if name is not None and not rewrite:
            if nodes or not (delta or json):
                output.show(runtime.explain(name), as_json=json)
            if not nodes:
                steps = runtime.explain_delta(name, changed or None, plan=plan)
                output.show_steps(steps, as_json=json)
            return
        text = runtime.query(name) if name is not None else query or ""
        output.show(runtime.explain_query_rewrite(text), as_json=json)
