"""The command line, ``trickle-runtime``.

Invariant: stdout carries data, stderr talk. Exit codes: 0 done, 1 found a problem, 2 wrong use,
3 cannot connect. A command lives in ``commands/`` and is loaded when it is called.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

from trickle_runtime.cli.errors import ErrorCodes
from trickle_runtime.cli.target import Target

COMMANDS = (
    "serve", "status", "refresh", "create", "alter", "drop", "pause", "resume", "validate",
    "explain", "columns", "diagnose", "history", "fuse", "verify", "repair", "wait", "cleanup",
    "doctor", "install", "upgrade", "uninstall", "demo", "bench",
)  # fmt: skip


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which help shows them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import ``commands.<name>`` and return its ``command``."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"trickle_runtime.cli.commands.{cmd_name}")
        return module.command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors of the runtime become a message and an exit code."""
        with ErrorCodes(debug=bool(ctx.params["debug"])):
            return super().invoke(ctx)


@click.group(
    cls=LazyGroup,
    context_settings={"auto_envvar_prefix": "TRICKLE", "help_option_names": ["-h", "--help"]},
)
@click.option("--dsn", help="Connection string or URI; without it libpq's environment counts.")
@click.option(
    "--project-dir",
    type=click.Path(file_okay=False),
    help="Connect as the dbt project in this folder does.",
)
@click.option(
    "--profiles-dir",
    type=click.Path(file_okay=False),
    envvar=["TRICKLE_PROFILES_DIR", "DBT_PROFILES_DIR"],
    help="Folder of dbt's profiles.yml; default: the project's folder, then ~/.dbt.",
)
@click.option("--profile", help="Connect as this profile of dbt does.")
@click.option("--target", help="Target of the profile; default: the one the profile names.")
@click.option(
    "--runtime-schema",
    help="Prefix of the runtime's schemas; default: the profile's, then pgtrickle.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="dbt-trickle", prog_name="trickle-runtime")
@click.pass_context
def cli(ctx: click.Context, **options: Any) -> None:
    """Keep stream tables equal to their queries, on stock PostgreSQL."""
    ctx.obj = Target.from_options(**{k: v for k, v in options.items() if k != "debug"})


def main() -> None:
    """Run the command line and exit."""
    cli(prog_name="trickle-runtime")
