"""``fuse``: look at the fuses, and reset a blown one."""

from __future__ import annotations

import click

from trickle_runtime.cli import output
from trickle_runtime.cli.target import Target

ACTIONS = ("apply", "reinitialize", "skip_changes")


@click.group()
def command() -> None:
    """Look at the fuses of the stream tables, and reset a blown one."""


@command.command()
@output.json_option
@click.pass_obj
def status(target: Target, json: bool) -> None:
    """Show every fuse: its state, its threshold and what is pending."""
    with target.runtime() as runtime:
        output.show(runtime.fuse_status(), as_json=json)


@command.command()
@click.argument("name")
@click.option(
    "--action",
    type=click.Choice(ACTIONS),
    default="apply",
    show_default=True,
    help="Process the backlog, recompute from the sources, or skip the changes for good.",
)
@click.pass_obj
def reset(target: Target, name: str, action: str) -> None:
    """Reset the blown fuse of the stream table NAME."""
    with target.runtime() as runtime:
        runtime.reset_fuse(name, action=action)
    click.echo(f"reset the fuse of {name} ({action})", err=True)
