"""How many random queries are differential: the queries of ``make fuzz``, planned but not played.

The deltas are not explained, so an error of the compiler that only PostgreSQL would find
is not counted. Invariant: the queries are those that a run of the same seed draws, but that a
plain table stands in for each stream table that others read.
"""

from __future__ import annotations

import re
from collections import Counter

import click
import psycopg
from psycopg import sql

from tests.fuzz.databases import Databases, served
from tests.fuzz.play import player
from tests.fuzz.worlds import Plan, World
from trickle_runtime.analysis.analyse import Analysis, analyse
from trickle_runtime.api import Runtime
from trickle_runtime.compiler.result import Reason
from trickle_runtime.config import Schemas
from trickle_runtime.errors import TrickleError

_TABLE = "CREATE TABLE {} AS {}"
_DETAIL = 60  # characters of a message that tell constructs apart


class Share:
    """Counts of queries by how they would be maintained."""

    def __init__(self, *, verbose: bool) -> None:
        self.verbose = verbose
        self.queries = self.differential = self.recomputing = 0
        self.whole: Counter[str] = Counter()
        self.nodes: Counter[str] = Counter()

    def add(self, query: str, analysis: Analysis) -> None:
        """Count one query."""
        warned = [one for one in analysis.reasons if one.severity == "WARNING"]
        nodes = [one for one in analysis.reasons if one.message.startswith("recomputed: ")]
        differential = analysis.mode == "differential" and not warned
        self.queries += 1
        self.differential += differential
        self.recomputing += differential and bool(nodes)
        self.whole.update({_kind(c) for c in warned})
        self.nodes.update({_kind(c) for c in nodes})
        if self.verbose and (warned or nodes):
            kinds = ", ".join(_kind(c) for c in (*warned, *nodes))
            click.echo(f"-- {analysis.mode}: {kinds}\n{query};\n")
            click.echo(f"-- canonical\n{analysis.canonical}\n-- end")

    def report(self) -> None:
        """Print the counts."""
        for title, counts in (("the whole in full", self.whole), ("nodes", self.nodes)):
            click.echo(f"\n{title}:")
            for kind, number in counts.most_common():
                click.echo(f"{number:6} {100 * number / max(1, self.queries):5.2f} %  {kind}")
        for what, number in (
            ("differential, as a run counts them", self.differential),
            ("without a recomputed node", self.differential - self.recomputing),
        ):
            share = 100 * number / max(1, self.queries)
            click.echo(f"{what}: {number} of {self.queries}, {share:.2f} %")


def _kind(reason: Reason) -> str:
    return f"{reason.code}: {re.sub(r'[0-9]+', '#', reason.message)[:_DETAIL]}"


def plan_world(databases: Databases, plan: Plan, number: int, share: Share) -> None:
    """Plan the queries of one world."""
    world = World(plan, number)
    if share.verbose:
        click.echo(f"-- world {number}")
    with databases.database() as dsn, player(dsn, world.case()) as playing:
        playing.set_up()
        world.add_views(playing.writer)

        def create(name: str) -> bool:
            return _planned(playing.rt, playing.writer, name, world.texts[name], share)

        world.add_streams(create, playing.writer)
        for name in world.later:
            create(name)


def _planned(rt: Runtime, writer: psycopg.Connection, name: str, query: str, share: Share) -> bool:
    try:
        share.add(query, analyse(rt.session, query, schemas=Schemas()))
    except TrickleError as error:
        rt.session.rollback()
        share.whole.update([f"error {error.code}: {str(error)[:_DETAIL]}"])
        return False
    rt.session.rollback()
    try:
        writer.execute(sql.SQL(_TABLE).format(sql.Identifier(name), sql.SQL(query)))
    except psycopg.Error:
        return False
    return True


@click.command()
@click.option("--queries", type=int, default=2000, help="Begin no world after so many.")
@click.option("--seed", default="1", help="As of make fuzz.")
@click.option("--first", type=int, default=0, help="Number of the first world.")
@click.option("--verbose", is_flag=True, help="Show the queries that are not, or in part.")
def main(queries: int, seed: str, first: int, verbose: bool) -> None:
    """Count the random queries that are differential."""
    share, number = Share(verbose=verbose), first
    with served() as databases:
        while share.queries < queries:
            plan_world(databases, Plan(seed), number, share)
            number += 1
    share.report()


if __name__ == "__main__":
    main()
