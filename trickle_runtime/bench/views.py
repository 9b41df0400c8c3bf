"""``bench views``: views, each maintained by us and by a delta that an expert wrote by hand.

Invariant: both get the same changes of the same table in the same transaction, both are compared
with the query after every refresh, and who goes first alternates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trickle_runtime import errors
from trickle_runtime.api import Runtime
from trickle_runtime.bench import timing
from trickle_runtime.bench.report import Cell, Table
from trickle_runtime.db import sql
from trickle_runtime.db.connection import PsycopgSession

_FILE = "bench/sql/views.sql"
_RATES = (("1 row", 0.0), ("0.1 %", 0.001), ("1 %", 0.01), ("10 %", 0.1))


@dataclass(frozen=True)
class View:
    """A view, the table that changes under it, and the columns its hand-written delta needs."""

    name: str
    source: str
    columns: str
    key: str
    output: str = "*"
    copies: bool = False  # the hand-maintained table counts duplicates in a column of its own

    @property
    def query(self) -> str:
        """The defining query."""
        return _statement(f"{self.name}_query")

    @property
    def table(self) -> str:
        """The hand-maintained table."""
        return f"shop.{self.name}_hand"

    @property
    def stream_table(self) -> str:
        """The stream table."""
        return f"shop.{self.name}_stream"


VIEWS = (
    View(
        "filter_project",
        "shop.lines",
        "order_id, line, part_id, quantity, price, discount, ship_date, ship_mode, remark",
        key="order_id, line",
    ),
    View(
        "join3",
        "shop.orders",
        "order_id, customer_id, order_date, status, total",
        key="order_id",
    ),
    View("group_by", "shop.lines", "part_id, quantity, price", key="part_id"),
    View(
        "join_group_by",
        "shop.orders",
        "customer_id, order_date, total",
        key="nation, order_date",
    ),
    View(
        "distinct",
        "shop.orders",
        "customer_id, priority",
        key="customer_id, priority",
        output="customer_id, priority",
        copies=True,
    ),
    View("min_max", "shop.orders", "customer_id, total", key="customer_id"),
    View(
        "left_join",
        "shop.orders",
        "order_id, customer_id, status, total",
        key="customer_id, order_id",
    ),
    View("semi_join", "shop.lines", "order_id, quantity", key="order_id"),
    View(
        "window",
        "shop.orders",
        "order_id, customer_id, order_date, total",
        key="customer_id, order_id",
    ),
    View("top_k", "shop.orders", "order_id, customer_id, total", key="order_id"),
    View("except", "shop.orders", "customer_id, priority", key="customer_id"),
)


def run(
    runtime: Runtime,
    session: PsycopgSession,
    *,
    customers: int,
    repeat: int,
    say: Callable[[str], None],
) -> tuple[Table, ...]:
    """Measure all views; ``say`` is told what happens."""
    say(f"making {customers:,} customers, {10 * customers:,} orders and their lines")
    session.execute(
        sql.render(sql.load_text("bench/sql/views_schema.sql"), customers=str(customers))
    )
    session.commit()
    session.autocommit("VACUUM (ANALYZE)")
    rows: list[tuple[Cell, ...]] = []
    for view in VIEWS:
        say(f"view {view.name}")
        rows += _Run(runtime, session, view, customers, repeat).rows()
    return (
        Table(
            "Views: milliseconds, wall / CPU, medians",
            (
                "view",
                "change",
                "CREATE TABLE AS",
                "REFRESH MATERIALIZED VIEW",
                "by hand",
                "ours",
                "our cleanup",
                "ours / by hand",
                "CREATE TABLE AS / ours",
            ),
            tuple(rows),
            ("Ours: mode differential at every rate; what auto does is measured by sweep.",),
        ),
    )


class _Run:
    """One view with its two maintainers."""

    def __init__(
        self, runtime: Runtime, session: PsycopgSession, view: View, customers: int, repeat: int
    ) -> None:
        self.runtime = runtime
        self.session = session
        self.view = view
        self.customers = customers
        self.repeat = repeat
        self.meter = timing.Meter(session)
        self.turn = 0
        count = self._one("SELECT count(*) AS n FROM {source}", source=view.source)
        self.source_rows = int(count)

    def rows(self) -> list[tuple[Cell, ...]]:
        """Measure all rates and remove what was made for it."""
        self._set_up()
        full = timing.median(
            timing.create_table_as(self.session, self.meter, self.view.query)
            for _ in range(self.repeat)
        )
        plain = timing.median(self._refresh_materialized_view() for _ in range(self.repeat))
        try:
            return [self._rate(label, rate, full, plain) for label, rate in _RATES]
        finally:
            self._tear_down()

    def _rate(
        self, label: str, rate: float, full: timing.Taken, plain: timing.Taken
    ) -> tuple[Cell, ...]:
        hand: list[timing.Taken] = []
        ours: list[timing.Taken] = []
        cleanup: list[timing.Taken] = []
        # Two more, not counted: they compile the statements, and get to know the table.
        for number in range(-1, self.repeat + 1):
            tidy = rate > 0 or number < 1
            self._change(rate, tidy=tidy)
            measured = self._refresh_both()
            if tidy:
                cleanup.append(self.meter.measure(self.runtime.cleanup))
            self._compare()
            if number > 0:
                hand.append(measured[0])
                ours.append(measured[1])
        h, o = timing.median(hand), timing.median(ours)
        times = (full, plain, h, o, timing.median(cleanup), o / h, full / o)
        return (self.view.name, label, *(time.cell for time in times))

    def _refresh_both(self) -> tuple[timing.Taken, timing.Taken]:
        self.turn += 1
        if self.turn % 2:
            hand = self.meter.measure(self._by_hand)
            return hand, self.meter.measure(self._by_us)
        ours = self.meter.measure(self._by_us)
        return self.meter.measure(self._by_hand), ours

    def _by_hand(self) -> None:
        self.session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self._do(f"{self.view.name}_apply", mine=self.view.table)
        self.session.commit()

    def _by_us(self) -> None:
        self.runtime.refresh(self.view.stream_table, mode="differential")

    def _set_up(self) -> None:
        view = self.view
        fill = "fill_with_copies" if view.copies else "fill"
        self._do(fill, mine=view.table, query=view.query, key=view.key, source=view.source)
        self._do(
            "capture",
            columns=view.columns,
            source=view.source,
            function=f"shop.{view.name}_capture",
            trigger=f"{view.name}_hand",
        )
        self.session.execute(
            sql.render(
                "CREATE MATERIALIZED VIEW shop.{name}_matview AS {query}",
                name=view.name,
                query=view.query,
            )
        )
        self.session.commit()
        self.runtime.create_stream_table(view.stream_table, view.query, schedule="1h")

    def _tear_down(self) -> None:
        self.session.rollback()
        self.runtime.drop_stream_table(self.view.stream_table)
        self._do("drop", mine=self.view.table, name=self.view.name)
        self.session.commit()

    def _refresh_materialized_view(self) -> timing.Taken:
        statement = sql.render(
            "REFRESH MATERIALIZED VIEW shop.{name}_matview", name=self.view.name
        )

        def refresh() -> None:
            self.session.execute(statement)
            self.session.commit()

        return self.meter.measure(refresh)

    def _change(self, rate: float, *, tidy: bool) -> None:
        """Change the source, and do what autovacuum would where ``tidy``."""
        table = self.view.source.removeprefix("shop.")
        if rate == 0:
            name = f"change_one_{table.removesuffix('s')}"
            params = {"at": 1000 * self.turn}
        else:
            name = f"change_{table}"
            params = {"n": max(3, round(rate * self.source_rows)), "customers": self.customers}
        self.session.execute(_statement(name), params)
        self.session.commit()
        if not tidy:
            return
        for relation in (self.view.source, self.view.table, self.view.stream_table):
            self.session.autocommit(sql.render("VACUUM (ANALYZE) {name}", name=relation))
        self.session.autocommit(sql.render("VACUUM {name}_buffer", name=self.view.table))

    def _compare(self) -> None:
        view = self.view
        for table in (view.table, view.stream_table):
            different = self._one(
                _statement("difference"), query=view.query, table=table, output=view.output
            )
            if different:
                raise errors.Diverged(f"{table} differs from its query in {different} rows")

    def _do(self, statement: str, **names: str) -> None:
        text = sql.render(_statement(statement), buffer=f"{self.view.table}_buffer", **names)
        self.session.execute(text)

    def _one(self, template: str, **names: str) -> int:
        (row,) = self.session.execute(sql.render(template, **names))
        self.session.commit()
        return int(row["n"])


def _statement(name: str) -> str:
    return sql.load_queries(_FILE)[name]
