"""``bench capture``: what capturing changes costs those who write.

Invariant: each round measures every variant on a fresh table of the same rows, in turn; ratios are
to "no trigger" of the same round.
"""

from __future__ import annotations

import math
import random
import statistics
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trickle_runtime.api import Runtime
from trickle_runtime.bench import timing
from trickle_runtime.bench.report import Cell, Table
from trickle_runtime.db import sql
from trickle_runtime.db.connection import PsycopgSession, connect

_FILE = "bench/sql/capture.sql"
VARIANTS = ("no trigger", "bare trigger", "ours")
_WRITERS = 8
# What the study that set the goals measured for this scheme (wall time, times no trigger).
_GOAL = {
    "single insert": 1.11,
    "insert loop": 1.93,
    "bulk insert": 1.33,
    "bulk update": 1.51,
    "bulk delete": 2.87,
    "8 writers": 1.27,
}


@dataclass(frozen=True)
class Sizes:
    """How much is written; the defaults are those of the study that set the goals."""

    rows: int = 300_000
    bulk: int = 100_000
    loop: int = 10_000
    single: int = 1_500
    per_writer: int = 250

    @property
    def names(self) -> dict[str, str]:
        """What the statements call them."""
        return {"rows": str(self.rows), "bulk": str(self.bulk), "loop": str(self.loop)}


@dataclass(frozen=True)
class Measured:
    """One scenario once."""

    taken: timing.Taken
    wal: int


_Results = dict[str, dict[str, list[Measured]]]  # scenario -> variant -> one per round


def run(
    runtime: Runtime,
    session: PsycopgSession,
    dsn: str,
    *,
    rounds: int,
    say: Callable[[str], None],
    sizes: Sizes | None = None,
) -> tuple[Table, ...]:
    """Measure all variants ``rounds`` times, in random order within a round."""
    session.execute(_statement("schema"))
    session.commit()
    sizes = sizes or Sizes()
    results: _Results = {}
    order = list(VARIANTS)
    for number in range(rounds):
        random.Random(number).shuffle(order)
        for variant in order:
            say(f"round {number + 1} of {rounds}: {variant}")
            _variant(runtime, session, dsn, variant, results, sizes)
    return _tables(results, sizes)


def _variant(
    runtime: Runtime,
    session: PsycopgSession,
    dsn: str,
    variant: str,
    results: _Results,
    sizes: Sizes,
) -> None:
    table = "capture_bench." + variant.replace(" ", "_")
    names = {"table": table, "buffer": f"{table}_buffer", "function": f"{table}_capture"}
    names |= sizes.names
    session.execute(sql.render(_statement("table"), **names))
    if variant == "bare trigger":
        session.execute(sql.render(_statement("bare_capture"), **names))
    session.commit()
    sink = f"{table}_sink"
    if variant == "ours":
        query = sql.render(_statement("sink_query"), table=table)
        runtime.create_stream_table(sink, query, schedule="1h")
    session.autocommit("CHECKPOINT")
    for scenario, work in _scenarios(session, dsn, names, sizes):
        measured = _measure(session, work)
        results.setdefault(scenario, {}).setdefault(variant, []).append(measured)
    if variant == "ours":
        runtime.drop_stream_table(sink)
    session.execute(sql.render(_statement("drop"), **names))
    session.commit()


def _scenarios(
    session: PsycopgSession, dsn: str, names: dict[str, str], sizes: Sizes
) -> tuple[tuple[str, Callable[[], None]], ...]:
    def one_by_one(statement: str, first: int) -> Callable[[], None]:
        text = sql.render(_statement(statement), **names)

        def work() -> None:
            for number in range(sizes.single):
                session.execute(text, {"id": first + number})
                session.commit()

        return work

    def once(statement: str) -> Callable[[], None]:
        def work() -> None:
            session.execute(sql.render(_statement(statement), **names))
            session.commit()

        return work

    return (
        ("single insert", one_by_one("single_insert", 500_000)),
        ("single update", one_by_one("single_update", 2 * sizes.bulk + 1)),
        ("single delete", one_by_one("single_delete", 2 * sizes.bulk + 1)),
        ("insert loop", once("insert_loop")),
        ("bulk insert", once("bulk_insert")),
        ("bulk update", once("bulk_update")),
        ("bulk delete", once("bulk_delete")),
        ("8 writers", lambda: _writers(dsn, names, sizes.per_writer)),
    )


def _measure(session: PsycopgSession, work: Callable[[], None]) -> Measured:
    before = _wal(session)
    taken = timing.Meter(session, client=False).measure(work)
    return Measured(taken, _wal(session) - before)


def _wal(session: PsycopgSession) -> int:
    (row,) = session.execute(_statement("wal_position"))
    session.commit()
    return int(row["bytes"])


def _writers(dsn: str, names: dict[str, str], transactions: int) -> None:
    """Let eight connections write at once; each transaction inserts, updates and deletes a row."""
    text = sql.render(_statement("writer_transaction"), **names)
    failures: list[Exception] = []

    def write(number: int) -> None:
        try:
            with connect(dsn) as session:
                for turn in range(transactions):
                    session.execute(text, {"id": 3_000_000 + number * 10_000 + turn})
                    session.commit()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(_WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _tables(results: _Results, sizes: Sizes) -> tuple[Table, ...]:
    time_rows: list[tuple[Cell, ...]] = []
    wal_rows: list[tuple[Cell, ...]] = []
    for scenario, by_variant in results.items():
        plain = by_variant[VARIANTS[0]]
        times = timing.median(one.taken for one in plain)
        time_rows.append((scenario, times.cell, *_time_ratios(by_variant), _GOAL.get(scenario)))
        wal = statistics.median(one.wal for one in plain)
        wal_rows.append((scenario, round(wal), *_wal_ratios(by_variant)))
    return (
        Table(
            "Capture: time of the writer, wall / CPU of the server",
            ("write", "no trigger, ms", "bare trigger x", "ours x", "goal x"),
            tuple(time_rows),
            (
                f"Medians of ratios per round. 'single': {sizes.single:,} one-row transactions on "
                f"one connection; 'bulk': {sizes.bulk:,} rows in one statement; '8 writers': "
                f"{sizes.per_writer} transactions each with an insert, an update and a delete.",
            ),
        ),
        Table(
            "Capture: WAL written",
            ("write", "no trigger, bytes", "bare trigger x", "ours x"),
            tuple(wal_rows),
        ),
    )


def ratios(values: Mapping[str, Sequence[float]]) -> tuple[float, ...]:
    """Return the median, over the rounds, of each variant's ratio to "no trigger"."""
    plain = values[VARIANTS[0]]
    return tuple(
        statistics.median(
            one / base if base else math.nan  # a clock that has not moved between two readings
            for one, base in zip(values[name], plain, strict=True)
        )
        for name in VARIANTS[1:]
    )


def _time_ratios(by_variant: dict[str, list[Measured]]) -> tuple[tuple[float, float | None], ...]:
    wall = ratios({name: [one.taken.wall for one in all_] for name, all_ in by_variant.items()})
    cpu = ratios({name: [one.taken.cpu for one in all_] for name, all_ in by_variant.items()})
    return tuple(timing.Taken(*pair).cell for pair in zip(wall, cpu, strict=True))


def _wal_ratios(by_variant: dict[str, list[Measured]]) -> tuple[float, ...]:
    return ratios({name: [float(one.wal) for one in all_] for name, all_ in by_variant.items()})


def _statement(name: str) -> str:
    return sql.load_queries(_FILE)[name]
