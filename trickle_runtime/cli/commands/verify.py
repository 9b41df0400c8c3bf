"""``verify``: compare stream tables with their queries."""

from __future__ import annotations

import click

from trickle_runtime.cli import output
from trickle_runtime.cli.errors import PROBLEM
from trickle_runtime.cli.target import Target


@click.command()
@click.argument("name", required=False)
@click.option("--all", "every", is_flag=True, help="Every stream table.")
@output.json_option
@click.pass_context
def command(ctx: click.Context, name: str | None, every: bool, json: bool) -> None:
    """Refresh the stream table NAME, and compare it with its query at the same snapshot.

    Ends with 1 if a row differs.
    """
    if every == (name is not None):
        raise click.UsageError("give either NAME or --all")
    target: Target = ctx.obj
    with target.runtime() as runtime:
        results = runtime.verify_all() if name is None else [runtime.verify(name)]
    output.show(results, as_json=json)
    if not all(output.record(one)["equal"] for one in results):
        ctx.exit(PROBLEM)
