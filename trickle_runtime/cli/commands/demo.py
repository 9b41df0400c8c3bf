"""``demo``: handed on to ``trickle_runtime.demo``, which parses its own arguments."""

from __future__ import annotations

import importlib

import click


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Watch stream tables at work on TPC-H data in a private PostgreSQL."""
    module = importlib.import_module("trickle_runtime.demo")
    ctx.exit(module.main(list(arguments)) or 0)
