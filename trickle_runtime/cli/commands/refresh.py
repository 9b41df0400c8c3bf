"""``refresh``: bring stream tables up to date now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from trickle_runtime.cli import output
from trickle_runtime.cli.errors import PROBLEM, print_error
from trickle_runtime.cli.target import Target
from trickle_runtime.errors import DatabaseError, RefreshError

if TYPE_CHECKING:
    from trickle_runtime.api import RefreshResult, Runtime

MODES = ("differential", "full")
COLUMNS = (
    "name", "action", "status", "rows_in", "inserted", "updated", "deleted", "duration", "reason",
)  # fmt: skip


@click.command()
@click.argument("names", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Everything that has changes pending.")
@click.option("--mode", type=click.Choice(MODES), help="Instead of the table's own mode.")
@output.json_option
@click.pass_context
def command(
    ctx: click.Context, names: tuple[str, ...], every: bool, mode: str | None, json: bool
) -> None:
    """Refresh the stream tables NAMES, or all of them.

    Ends with 1 if a refresh failed.
    """
    if every == bool(names):
        raise click.UsageError("give either names or --all")
    if every and mode:
        raise click.UsageError("--mode needs names")
    target: Target = ctx.obj
    with target.runtime() as runtime:
        results = runtime.refresh_all() if every else list(_refresh(runtime, names, mode))
    output.show([one for one in results if one is not None], as_json=json, columns=COLUMNS)
    if any(one is None or one.status == "failed" for one in results):
        ctx.exit(PROBLEM)


def _refresh(
    runtime: Runtime, names: tuple[str, ...], mode: str | None
) -> Iterator[RefreshResult | None]:
    """Refresh one table after the other; None for one that failed, after its error."""
    for name in names:
        try:
            yield runtime.refresh(name, mode=mode)
        except (RefreshError, DatabaseError) as error:
            print_error(error)
            yield None
