"""The command line of ``trickle-runtime demo``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from trickle_runtime.demo.show import Options, Show


def main(arguments: list[str]) -> int:
    """Run ``demo`` with its arguments; return the exit code."""
    code: int | None = command.main(
        args=arguments, prog_name="trickle-runtime demo", standalone_mode=False
    )
    return code or 0


@click.command()
@click.option("--scale", type=float, default=0.1, show_default=True, help="TPC-H scale factor.")
@click.option("--seconds", type=float, default=30, show_default=True, help="How long to write.")
@click.option(
    "--keep", is_flag=True, help="Leave the server and the daemon running; print the DSN."
)
@click.option("--pg-bin", help="PostgreSQL's bin directory (default: the embedded one).")
@click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The dbt project (default: ours).",
)
def command(
    scale: float, seconds: float, keep: bool, pg_bin: str | None, project: Path | None
) -> int:
    """Load TPC-H, build stream tables with dbt, keep them fresh beside a writer, verify them."""
    options = Options(scale, seconds, keep, pg_bin, project)
    return Show(options, Console(highlight=False)).run()
