"""``bench tpch`` and ``bench sweep``: TPC-H queries as stream tables against running them again.

Invariant: a refresh and the CREATE TABLE AS of its query are timed one after the other in the same
state of the database, and at the end every stream table is compared with its query.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trickle_runtime import errors, tpch
from trickle_runtime.api import Runtime
from trickle_runtime.bench import timing
from trickle_runtime.bench.report import Cell, Table
from trickle_runtime.db import sql
from trickle_runtime.db.connection import PsycopgSession
from trickle_runtime.refresh.result import NO_DATA
from trickle_runtime.tpch import changes, data

Say = Callable[[str], None]

_MATVIEW = "CREATE MATERIALIZED VIEW tpch.{name}_matview AS {query}"
_REFRESH = "REFRESH MATERIALIZED VIEW tpch.{name}_matview"
_SWEEP = (
    ("1 order", (changes.Change("touch_order", 1),)),
    ("0.1 % of lines", (changes.Change("touch_lines", 1),)),
    ("1 % of lines", (changes.Change("touch_lines", 10),)),
    ("10 % of lines", (changes.Change("touch_lines", 100),)),
    ("30 % of lines", (changes.Change("touch_lines", 300),)),
    ("all lines", (changes.Change("touch_lines", 1000),)),
)
_GOAL = 1.5
_TABLES = """
SELECT format('tpch.%I', relname) AS name
FROM pg_class WHERE relnamespace = 'tpch'::regnamespace AND relkind = 'r'
"""
_ONE = timing.Taken(1.0, 1.0)
_MEAN = "geometric mean of those that change"


@dataclass
class _Measured:
    """Times of one query at one rate of change."""

    ours: list[timing.Taken] = field(default_factory=list[timing.Taken])
    full: list[timing.Taken] = field(default_factory=list[timing.Taken])
    actions: list[str] = field(default_factory=list[str])

    @property
    def ratio(self) -> timing.Taken:
        """How many times faster ours is."""
        return timing.median(self.full) / timing.median(self.ours)

    @property
    def concerned(self) -> bool:
        """Whether the changes concerned the query at all."""
        return any(action != NO_DATA for action in self.actions)


def set_up(session: PsycopgSession, scale: float, say: Say) -> None:
    """Make and load the TPC-H tables."""
    with tempfile.TemporaryDirectory(prefix="trickle-tpch-") as folder:
        say(f"making TPC-H data at scale factor {scale:g}")
        data.generate(scale, Path(folder))
        say("loading it, with keys, foreign keys and their indexes")
        data.load(session, Path(folder))


def run(
    runtime: Runtime, session: PsycopgSession, *, change: float, repeat: int, say: Say
) -> tuple[Table, ...]:
    """Measure one changed order, then ``change`` (a share of all orders)."""
    fills = create(runtime, say)
    plain = _materialized_views(session, repeat, say)
    (row,) = session.execute("SELECT count(*) AS n FROM tpch.orders")
    each = max(1, round(row["n"] * change / 4))
    say("one changed order with its lines")
    touch = (changes.Change("touch_order", 1),)
    one = _measure(runtime, session, touch, repeat, large=False)
    say(
        f"{change:.2%} of the orders changed: {each} new, deleted, repriced and advanced ones each"
    )
    many = _measure(runtime, session, changes.refresh_functions(each), repeat, large=True)
    verify(runtime, say)
    return (_table(one, many, change, fills, plain),)


def sweep(
    runtime: Runtime, session: PsycopgSession, *, repeat: int, say: Say
) -> tuple[Table, ...]:
    """Measure ``auto`` from one order to all lines."""
    create(runtime, say)
    rows: list[tuple[Cell, ...]] = []
    slowest: list[Cell] = []
    for label, batch in _SWEEP:
        say(f"changed: {label}")
        measured = _measure(runtime, session, batch, repeat, large=True)
        times = [_ONE / one.ratio for one in measured.values()]
        worst = max(times, key=lambda one: one.wall)
        rows.append((label, *(one.cell for one in times)))
        slowest.append(worst.cell)
        say(f"slowest: {worst.wall:.2f} x CREATE TABLE AS; " + _actions(measured))
    verify(runtime, say)
    return (
        Table(
            "refresh_mode auto: a refresh as a multiple of CREATE TABLE AS, wall / CPU",
            ("change", *tpch.QUERIES, "slowest"),
            tuple((*row, worst) for row, worst in zip(rows, slowest, strict=True)),
            (f"Goal: at most {_GOAL} everywhere.",),
        ),
    )


def create(runtime: Runtime, say: Say) -> dict[str, float]:
    """Create the stream tables; return the milliseconds that each fill took."""
    fills: dict[str, float] = {}
    for name in tpch.QUERIES:
        fills[name] = timing.milliseconds(
            lambda name=name: runtime.create_stream_table(
                _stream_table(name), tpch.query(name), schedule="1h"
            )
        )
        say(f"created {name} in {fills[name]:,.0f} ms")
    return fills


def verify(runtime: Runtime, say: Say) -> None:
    """Compare every stream table with its query."""
    for name in tpch.QUERIES:
        runtime.refresh(_stream_table(name))
        answer = runtime.verify(_stream_table(name))
        if not answer.equal:
            raise errors.Diverged(f"{name} differs from its query", detail=str(answer))
    say("every stream table equals its query")


def _measure(
    runtime: Runtime,
    session: PsycopgSession,
    batch: Sequence[changes.Change],
    repeat: int,
    *,
    large: bool,
) -> dict[str, _Measured]:
    """Measure a batch of changes; after ``large`` ones the database is tidied up every time."""
    meter = timing.Meter(session)
    measured = {name: _Measured() for name in tpch.QUERIES}
    # Two more, not counted: they compile the statements for this set of changed sources and let
    # the session get to know the tables.
    for number in range(-1, repeat + 1):
        changes.apply(session, batch)
        session.commit()
        for name, one in measured.items():
            results: list[str] = []
            taken = meter.measure(
                lambda name=name, results=results: results.append(
                    runtime.refresh(_stream_table(name)).action
                )
            )
            if number > 0:
                one.ours.append(taken)
                one.full.append(timing.create_table_as(session, meter, tpch.query(name)))
                one.actions += results
        if number < 1 or large:
            _tidy(runtime, session)
    return measured


def _tidy(runtime: Runtime, session: PsycopgSession) -> None:
    """Do what the daemon's cleanup and autovacuum would do by and by."""
    runtime.cleanup()
    rows = session.execute(_TABLES)
    session.commit()
    for row in rows:
        session.autocommit(sql.render("VACUUM {table}", table=row["name"]))


def _materialized_views(session: PsycopgSession, repeat: int, say: Say) -> dict[str, timing.Taken]:
    """Return the time of REFRESH MATERIALIZED VIEW of each query."""
    say("materialized views of the same queries")
    meter = timing.Meter(session)
    times: dict[str, timing.Taken] = {}
    for name in tpch.QUERIES:
        session.execute(sql.render(_MATVIEW, name=name, query=tpch.query(name)))
        session.commit()
        times[name] = timing.median(
            meter.measure(lambda name=name: _refresh(session, name)) for _ in range(repeat)
        )
    return times


def _refresh(session: PsycopgSession, name: str) -> None:
    session.execute(sql.render(_REFRESH, name=name))
    session.commit()


def _table(
    one: dict[str, _Measured],
    many: dict[str, _Measured],
    change: float,
    fills: dict[str, float],
    plain: dict[str, timing.Taken],
) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            fills[name],
            plain[name].cell,
            timing.median(one[name].full).cell,
            timing.median(one[name].ours).cell,
            one[name].ratio.cell,
            timing.median(many[name].full).cell,
            timing.median(many[name].ours).cell,
            many[name].ratio.cell,
            _actions({name: many[name]}),
        )
        for name in tpch.QUERIES
    ]
    means = [
        timing.geometric_mean(m.ratio for m in run.values() if m.concerned).cell
        for run in (one, many)
    ]
    nothing = (None, None)
    rows.append((_MEAN, *nothing, *nothing, means[0], *nothing, means[1], None))
    share = f"{change:.2%} of orders"
    return Table(
        "TPC-H queries as stream tables: milliseconds, wall / CPU, medians",
        (
            "query",
            "fill",
            "REFRESH MATERIALIZED VIEW",
            "one order: CREATE TABLE AS",
            "ours",
            "times faster",
            f"{share}: CREATE TABLE AS",
            "ours",
            "times faster",
            "action",
        ),
        tuple(rows),
        ("Queries 3 and 10 without ORDER BY and LIMIT.",),
    )


def _actions(measured: dict[str, _Measured]) -> str:
    seen = [action for one in measured.values() for action in one.actions]
    counts = {action: seen.count(action) for action in sorted(set(seen))}
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{action} {count}" for action, count in counts.items())


def _stream_table(name: str) -> str:
    return f"tpch.{name}_stream"
