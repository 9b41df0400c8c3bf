"""The command line of ``trickle-runtime bench``.

Invariant: results go to stdout, what happens meanwhile to stderr.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from trickle_runtime.api import Runtime
from trickle_runtime.bench import capture, environment, many, tpch, views
from trickle_runtime.bench.report import Report, Table
from trickle_runtime.config import Schemas
from trickle_runtime.db.connection import PsycopgSession, connect

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class _Bench:
    """What a measurement gets to work with."""

    runtime: Runtime
    session: PsycopgSession
    dsn: str


def main(arguments: list[str]) -> int:
    """Run ``bench`` with its arguments; return the exit code."""
    group.main(args=arguments, prog_name="trickle-runtime bench", standalone_mode=False)
    return 0


@click.group()
def group() -> None:
    """Measure refreshes and capture, side by side with plain SQL.

    Without --dsn a private PostgreSQL is started and removed again. With it, an empty database is
    expected: schemas are created in it and stay there.
    """


def _shared(function: _Function) -> _Function:
    function = click.option("--dsn", help="Measure in this empty database.")(function)
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


@group.command("tpch")
@click.option("--scale", type=float, default=1.0, show_default=True, help="TPC-H scale factor.")
@click.option("--change", type=float, default=0.001, show_default=True, help="Share of orders.")
@click.option("--repeat", type=int, default=3, show_default=True)
@_shared
def tpch_command(scale: float, change: float, repeat: int, dsn: str | None, as_json: bool) -> None:
    """TPC-H queries as stream tables against running them again."""

    def measure(bench: _Bench) -> tuple[Table, ...]:
        tpch.set_up(bench.session, scale, _say)
        return tpch.run(bench.runtime, bench.session, change=change, repeat=repeat, say=_say)

    _run(f"tpch --scale {scale:g} --change {change:g} --repeat {repeat}", measure, dsn, as_json)


@group.command("sweep")
@click.option("--scale", type=float, default=0.1, show_default=True, help="TPC-H scale factor.")
@click.option("--repeat", type=int, default=3, show_default=True)
@_shared
def sweep_command(scale: float, repeat: int, dsn: str | None, as_json: bool) -> None:
    """Mode auto from one order to all lines, against CREATE TABLE AS."""

    def measure(bench: _Bench) -> tuple[Table, ...]:
        tpch.set_up(bench.session, scale, _say)
        return tpch.sweep(bench.runtime, bench.session, repeat=repeat, say=_say)

    _run(f"sweep --scale {scale:g} --repeat {repeat}", measure, dsn, as_json)


@group.command("views")
@click.option("--customers", type=int, default=25_000, show_default=True)
@click.option("--repeat", type=int, default=3, show_default=True)
@_shared
def views_command(customers: int, repeat: int, dsn: str | None, as_json: bool) -> None:
    """Views against deltas written by hand."""

    def measure(bench: _Bench) -> tuple[Table, ...]:
        return views.run(
            bench.runtime, bench.session, customers=customers, repeat=repeat, say=_say
        )

    _run(f"views --customers {customers} --repeat {repeat}", measure, dsn, as_json)


@group.command("capture")
@click.option("--rounds", type=int, default=3, show_default=True)
@_shared
def capture_command(rounds: int, dsn: str | None, as_json: bool) -> None:
    """What capture costs the writers, in time and in WAL."""

    def measure(bench: _Bench) -> tuple[Table, ...]:
        return capture.run(bench.runtime, bench.session, bench.dsn, rounds=rounds, say=_say)

    _run(f"capture --rounds {rounds}", measure, dsn, as_json)


@group.command("idle")
@click.option("--tables", type=int, default=100, show_default=True)
@_shared
def idle_command(tables: int, dsn: str | None, as_json: bool) -> None:
    """A pass over many stream tables in which nothing has changed."""

    def measure(bench: _Bench) -> tuple[Table, ...]:
        return many.idle(bench.runtime, bench.session, tables=tables, say=_say)

    _run(f"idle --tables {tables}", measure, dsn, as_json)


@group.command("memory")
@click.option("--tables", type=int, default=500, show_default=True)
@_shared
def memory_command(tables: int, dsn: str | None, as_json: bool) -> None:
    """Resident memory of serve with many stream tables."""

    def measure(bench: _Bench) -> tuple[Table, ...]:
        return many.memory(bench.runtime, bench.session, bench.dsn, tables=tables, say=_say)

    _run(f"memory --tables {tables}", measure, dsn, as_json)


def _run(
    arguments: str, measure: Callable[[_Bench], tuple[Table, ...]], dsn: str | None, as_json: bool
) -> None:
    with environment.database(dsn) as found, connect(found) as session:
        runtime = Runtime(session, Schemas())
        runtime.install()
        tables = measure(_Bench(runtime, session, found))
        command = f"trickle-runtime bench {arguments}"
        report = Report(command, environment.machine(session), tables)
    click.echo(report.as_json() if as_json else report.as_markdown())


def _say(what: str) -> None:
    click.echo(what, err=True)
