"""How errors reach the person at the terminal.

Invariant: an error of the runtime is printed as message, detail and hint on stderr, and ends the
program with the exit code of its kind.
"""

from __future__ import annotations

import types

import click

from trickle_runtime.errors import ConnectionFailed, InvalidConfig, TrickleError

PROBLEM = 1
WRONG_USE = 2
CANNOT_CONNECT = 3


def exit_code(error: TrickleError) -> int:
    """Return the exit code for ``error``."""
    if isinstance(error, ConnectionFailed):
        return CANNOT_CONNECT
    return WRONG_USE if isinstance(error, InvalidConfig) else PROBLEM


def print_error(error: TrickleError) -> None:
    """Print ``error`` in PostgreSQL's shape."""
    click.secho(f"error[{error.code}]", fg="red", bold=True, nl=False, err=True)
    click.echo(f": {error.message}", err=True)
    for label, text in (("detail", error.detail), ("hint", error.hint)):
        if text:
            click.echo(f"  {label}: {text}", err=True)


class ErrorCodes:
    """A context in which errors of the runtime are printed and become exit codes."""

    def __init__(self, *, debug: bool) -> None:
        self._debug = debug

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        """Print a ``TrickleError`` and exit; with ``debug`` let it pass."""
        if isinstance(error, TrickleError) and not self._debug:
            print_error(error)
            raise click.exceptions.Exit(exit_code(error)) from error
