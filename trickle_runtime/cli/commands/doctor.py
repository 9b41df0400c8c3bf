"""``doctor``: is everything in order?"""

from __future__ import annotations

import click

from trickle_runtime.cli import output
from trickle_runtime.cli.errors import PROBLEM
from trickle_runtime.cli.target import Target


@click.command()
@output.json_option
@click.pass_context
def command(ctx: click.Context, json: bool) -> None:
    """Check privileges, triggers, indexes, buffers and workers.

    Ends with 1 if there is a warning or an error.
    """
    target: Target = ctx.obj
    with target.runtime(installed=False) as runtime:
        findings = runtime.doctor()
    output.show(findings, as_json=json)
    if any(output.record(one)["severity"] in {"WARNING", "ERROR"} for one in findings):
        ctx.exit(PROBLEM)
