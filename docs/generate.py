"""Write the reference pages that are made from the code: ``python docs/generate.py``.

A test fails when a page is not current.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from trickle_runtime import cli, errors
from trickle_runtime.compiler.operators import OPERATORS
from trickle_runtime.compiler.reasons import HINTS

FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Made by docs/generate.py; edit the code and run it. -->"
HEAD = (
    "Data goes to stdout, talk to stderr. Exit codes: 0 done, 1 found a problem, 2 wrong use, 3",
    "cannot connect. Every option can be given by the environment variable named with it.",
    "",
    "The connection is what `--dsn` says, else the dbt profile of `--project-dir` or `--profile`,",
    "else what libpq's environment (`PGHOST`, `PGDATABASE`, ...) says. Of a profile's Jinja only",
    "`env_var()` is understood, with the filters `int`, `as_number`, `as_bool`, `as_native` and",
    "`as_text`; anything else is an error that names the key.",
)
HANDED_ON = {"demo", "bench"}  # parse their own arguments


def cli_page() -> str:
    """Return the page on the command line."""
    return "\n".join(_cli_lines()).rstrip() + "\n"


def _cli_lines() -> Iterator[str]:
    yield from ("# Command line", "", NOTE, "")
    yield from HEAD
    context = cli.cli.make_context("trickle-runtime", [], resilient_parsing=True)
    yield from _command(cli.cli, context, "##")


def _command(command: click.Command, context: click.Context, level: str) -> Iterator[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    yield from ("", f"{level} {context.command_path}", "")
    yield from ("```", f"{context.command_path} {usage}", "```", "")
    yield inspect.cleandoc(command.help or "")
    options = [one for one in command.get_params(context) if isinstance(one, click.Option)]
    rows = [_option(one, context) for one in options if not {"--help", "--version"} & {*one.opts}]
    if rows:
        yield from ("", "| option | environment | meaning |", "|---|---|---|", *rows)
    if command.name in HANDED_ON:
        yield from ("", f"`{context.command_path} --help` tells its options.")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            made = below.make_context(name, [], context, resilient_parsing=True)
            yield from _command(below, made, "##")


def _option(option: click.Option, context: click.Context) -> str:
    names, text = option.get_help_record(context) or ("", "")
    variable = option.envvar or f"{context.auto_envvar_prefix}_{option.name}".upper()
    variables = [variable] if isinstance(variable, str) else list(variable)
    cells = (f"`{names}`", ", ".join(f"`{one}`" for one in variables), text)
    return "| " + " | ".join(re.sub(r"\s+", " ", one).replace("|", "\\|") for one in cells) + " |"


def errors_page() -> str:
    """Return the page on the errors."""
    found = [one for one in vars(errors).values() if inspect.isclass(one)]
    found = [one for one in found if issubclass(one, errors.TrickleError)]
    rows = [
        f"| {one.code} | `{one.__name__}` | `{one.__base__.__name__}` | {_sentence(one)} |"
        for one in sorted(found, key=lambda one: one.code)
    ]
    return "\n".join(
        [
            "# Errors",
            "",
            NOTE,
            "",
            "Every error has a message, and where there is more to say a detail and a hint, in",
            "PostgreSQL's shape. The command line prints `error[CODE]: message`; in Python they",
            "are the classes of `trickle_runtime.errors`, and dbt shows the same text.",
            "",
            "| code | class | kind of | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _sentence(error: type[errors.TrickleError]) -> str:
    return (
        inspect.cleandoc(error.__doc__ or "")
        .split("\n\n")[0]
        .replace("\n", " ")
        .replace("|", "\\|")
    )


def operators_page() -> str:
    """Return the page on the operators: their equations and rules."""
    lines = ["# Operators", "", NOTE, ""]
    lines += ["Everything else in a query is rewritten into these first.", ""]
    lines += ["R is a relation before a refresh, R' after it, ΔR the signed rows between."]
    for operator in OPERATORS:
        module = importlib.import_module(operator.__module__)
        title, _, text = inspect.cleandoc(module.__doc__ or "").partition("\n")
        lines += ["", f"## {title.rstrip('.')}", "", text.strip()]
    return "\n".join(lines) + "\n"


def reasons_page() -> str:
    """Return the page on the reason codes."""
    lines = ["# Reason codes", "", NOTE, ""]
    lines += [
        "Why a query is not maintained incrementally, as `validate`, `explain` and the column",
        "`mode_reasons` of `pgt_stream_tables` tell it, and what to do about it.",
        "",
        "| code | hint |",
        "|---|---|",
    ]
    lines += [f"| `{code}` | {hint} |" for code, hint in sorted(HINTS.items())]
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli_page,
    "errors.md": errors_page,
    "operators.md": operators_page,
    "reasons.md": reasons_page,
}


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
