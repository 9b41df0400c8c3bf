"""``validate``: what would a query become?"""

from __future__ import annotations

import click

from trickle_runtime.cli import options, output
from trickle_runtime.cli.errors import PROBLEM
from trickle_runtime.cli.target import Target


@click.command()
@options.query_option(required=True)
@output.json_option
@click.pass_context
def command(ctx: click.Context, query: str, json: bool) -> None:
    """Say how a query would be maintained, and why; creates nothing.

    Ends with 1 if the query is wrong.
    """
    target: Target = ctx.obj
    with target.runtime() as runtime:
        checks = runtime.validate_query(query)
    output.show(checks, as_json=json)
    if any(output.record(check)["severity"] == "ERROR" for check in checks):
        ctx.exit(PROBLEM)
