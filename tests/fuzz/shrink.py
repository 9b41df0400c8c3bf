"""Shrinks a failing case while it fails the same way, within a time limit.

Invariant: what comes out fails as what went in does, and its query has one answer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import psycopg

from tests.fuzz import reduce_data, reduce_query
from tests.fuzz.checks import Failure
from tests.fuzz.databases import Databases
from tests.fuzz.play import player
from tests.fuzz.steps import Case

_VIEW = re.compile(r"(CREATE VIEW \w+ (?:\([^)]*\) )?AS )(.*)", re.DOTALL)
Pass = Callable[[Case], Iterator[Case]]
_PASSES: tuple[Pass, ...] = (
    reduce_data.fewer_streams,
    reduce_data.plain_sources,
    reduce_data.simpler_steps,
    reduce_data.fewer_rows,
    reduce_data.fewer_columns,
)


@dataclass
class Shrinker:
    """Shrinks one failure."""

    databases: Databases
    failure: Failure
    seconds: float
    tries: int = 0
    _end: float = field(default=0.0)

    def shrink(self, case: Case) -> tuple[Case, Failure] | None:
        """The smallest case found, and how it fails; None if the failure does not come again."""
        self._end = time.monotonic() + self.seconds
        smaller = reduce_data.alone(case, self.failure.name)
        found = self.fails(smaller)
        if found is None:  # it takes the refreshes of others
            smaller, found = case, self.fails(case)
        if found is None:
            return None
        case = smaller
        case = replace(case, steps=case.steps[: found.step + 1])
        before = ""
        while before != repr(case) and not self._is_late():
            before = repr(case)
            case = self._fewer(case, reduce_data.fewer_steps, len(case.steps))
            case = self._fewer(case, reduce_data.fewer_statements, len(case.setup))
            case = self._query(case)
            for proposals in _PASSES:
                case = self._greedy(case, proposals)
        failure = self.fails(case)
        return None if failure is None else (case, failure)

    def fails(self, case: Case) -> Failure | None:
        """Play a case; its failure, if that is the one."""
        self.tries += 1
        try:
            with self.databases.database() as dsn, player(dsn, case) as playing:
                playing.play(until_failure=True)
                found = next(iter(playing.failures), None)
                if found is None or found.signature != self.failure.signature:
                    return None
                return found
        except psycopg.Error:  # the setup makes no sense any more
            return None

    def _is_late(self) -> bool:
        return time.monotonic() > self._end

    def _fewer(
        self, case: Case, propose: Callable[[Case, int], Iterator[Case]], size: int
    ) -> Case:
        """Without ever smaller parts."""
        while size >= 1 and not self._is_late():
            case = self._greedy(case, lambda one, size=size: propose(one, size))
            size //= 2
        return case

    def _greedy(self, case: Case, propose: Pass) -> Case:
        """Take proposals as long as there is one that fails."""
        skipped = 0
        while not self._is_late():
            for number, proposal in enumerate(propose(case)):
                if self._is_late():
                    return case
                if number >= skipped and self.fails(proposal) is not None:
                    case, skipped = proposal, number
                    break
            else:
                return case
        return case

    def _query(self, case: Case) -> Case:
        """Cut the query that fails, and those below it."""
        for name, query in _queries(case).items():
            for tree in reduce_query.readings(query):
                again = _with_query(case, name, reduce_query.written(tree))
                if self.fails(again) is not None:
                    case = self._cut(again, name, tree)
                    break
        return case

    def _cut(self, case: Case, name: str, tree: reduce_query.exp.Expr) -> Case:
        start = 0
        with _Probe(self.databases, case) as probe:
            while not self._is_late():
                for number, smaller in reduce_query.proposals(tree, start):
                    text = _text(smaller)
                    if self._is_late():
                        return case
                    if text is None or len(text) >= len(_queries(case)[name]):
                        continue
                    proposal = _with_query(case, name, text)
                    if probe.takes(text) and self.fails(proposal) is not None:
                        case, tree, start = proposal, smaller, number
                        break
                else:
                    return case
        return case


class _Probe:
    """Asks PostgreSQL whether a text is a query, which is cheaper than playing it."""

    def __init__(self, databases: Databases, case: Case) -> None:
        self._database = databases.database()
        self._connection = psycopg.connect(self._database.__enter__(), autocommit=True)
        self._usable = self._set_up(case)

    def __enter__(self) -> _Probe:
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()
        self._database.__exit__(None, None, None)

    def takes(self, query: str) -> bool:
        """Whether it is a query over these tables."""
        try:
            with self._connection.transaction(force_rollback=True):
                self._connection.execute(f"CREATE TEMPORARY VIEW probe AS {query}")
        except psycopg.Error:
            return not self._usable
        return True

    def _set_up(self, case: Case) -> bool:
        try:
            for statement in case.setup:
                self._connection.execute(statement)
            for name, query in case.streams.items():
                self._connection.execute(f"CREATE VIEW {name} AS {query}")
        except psycopg.Error:
            return False
        return True


def _text(tree: reduce_query.exp.Expr) -> str | None:
    try:
        return reduce_query.written(tree)
    except (ValueError, TypeError, AttributeError, KeyError):
        return None


def _queries(case: Case) -> dict[str, str]:
    """Queries by the name of their stream table, or by the beginning of their CREATE VIEW."""
    found = dict(case.streams)
    for statement in case.setup:
        match = _VIEW.fullmatch(statement)
        if match is not None:
            found[match[1]] = match[2]
    return found


def _with_query(case: Case, name: str, query: str) -> Case:
    if name in case.streams:
        return replace(case, streams={**case.streams, name: query})
    setup = tuple(name + query if s.startswith(name) else s for s in case.setup)
    return replace(case, setup=setup)
