"""``bench``: handed on to ``trickle_runtime.bench``, which parses its own arguments."""

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
    """Measure refreshes and capture, side by side with plain SQL."""
    module = importlib.import_module("trickle_runtime.bench")
    ctx.exit(module.main(list(arguments)) or 0)
