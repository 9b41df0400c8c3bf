"""The gate: tests that new content has to pass before readers see it.

Invariant: they run in the transaction that made the content, at its snapshot, after all stream
tables that they read were brought up to date; when one fails, nothing of that content is
committed. A test belongs to the topmost stream table that it reads: below, it would compare new
rows with old ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace

from trickle_runtime import dag
from trickle_runtime.catalog.models import from_row
from trickle_runtime.config import GateTest, Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.db.sql import load_queries, render
from trickle_runtime.errors import DatabaseError, GateFailed, InvalidConfig, RefreshError
from trickle_runtime.refresh import meaning, needs
from trickle_runtime.refresh.bookkeeping import Failed
from trickle_runtime.refresh.members import Member, Observation

MISSING = frozenset({"42P01", "3F000"})  # a relation, a schema: to be built later


@dataclass(frozen=True)
class Found:
    """A test and the failures that it gave."""

    test: GateTest
    failures: float

    @property
    def passed(self) -> bool:
        """Whether there are no more failures than were accepted."""
        return self.failures <= self.test.accepted

    def __str__(self) -> str:
        return f"test {self.test.name} failed: {self.failures:g} failures"


def stored(session: Session, schemas: Schemas, pgt_id: int) -> tuple[GateTest, ...]:
    """Return the gate of a stream table."""
    rows = session.execute(_sql(schemas)["stored"], {"pgt_id": pgt_id})
    return tuple(from_row(GateTest, row) for row in rows)


def put(session: Session, schemas: Schemas, pgt_id: int, tests: Sequence[GateTest]) -> bool:
    """Make ``tests`` the gate of a stream table, in the open transaction; whether it changed.

    Tests that read stream tables above it are left to those. What reads a relation that does not
    exist yet is kept, and run once the gate is put again.

    Raises:
        InvalidConfig: PostgreSQL rejects a test.
    """
    before = stored(session, schemas, pgt_id)
    after = _after(before, _belonging(session, schemas, pgt_id, tests))
    if after == before:
        return False
    values = {
        "pgt_id": pgt_id,
        "tests": json.dumps([asdict(test) for test in after]),
        "was_found": any(test.found is not None for test in before),
    }
    session.execute(_sql(schemas)["put"], values)
    return True


def differs(session: Session, schemas: Schemas, pgt_id: int, tests: Sequence[GateTest]) -> bool:
    """Whether ``tests`` are another gate than the stored one; changes nothing."""
    belonging = _belonging(session, schemas, pgt_id, tests)
    before = [(test.name, test.query) for test in stored(session, schemas, pgt_id)]
    return before != [(test.name, test.query) for test in belonging]


def require(
    session: Session,
    schemas: Schemas,
    pgt_id: int,
    name: str,
    settings: Mapping[str, str],
    tests: Sequence[GateTest],
) -> None:
    """Run the tests of a gate on what the open transaction sees.

    Raises:
        GateFailed: one has more failures than were accepted.
        RefreshError: one can't be run.
    """
    runnable = [test for test in tests if test.missing is None]
    if not runnable:
        return
    meaning.apply(session, schemas, settings)
    every = [Found(test, _failures(session, schemas, name, test)) for test in runnable]
    failed = [one for one in every if not one.passed]
    if failed:
        failures = {one.test.position: one.failures for one in failed}
        raise GateFailed(name, failures, [str(one) for one in failed])
    for one in every:
        if one.failures < one.test.accepted:  # what was mended once must stay so
            values = {"pgt_id": pgt_id, "position": one.test.position, "accepted": one.failures}
            session.execute(_sql(schemas)["lower"], values)


def has_blown(session: Session, schemas: Schemas, pgt_id: int) -> bool:
    """Whether it was the gate that blew the fuse."""
    return any(test.found is not None for test in stored(session, schemas, pgt_id))


def passed(session: Session, schemas: Schemas, pgt_id: int) -> None:
    """Note that the whole content passed, whatever blew the fuse before."""
    session.execute(_sql(schemas)["passed"], {"pgt_id": pgt_id})


def record(
    session: Session, schemas: Schemas, failed: Iterable[Failed], held: Set[int], by: str
) -> None:
    """Blow the fuses of tables whose gates held content back; the caller commits."""
    sql = _sql(schemas)
    for one in failed:
        error, pgt_id = one.error, one.member.pgt_id
        if not isinstance(error, GateFailed):
            continue
        session.execute(
            sql["found"], {"pgt_id": pgt_id, "failures": json.dumps(dict(error.failures))}
        )
        values = {
            "pgt_id": pgt_id,
            "reason": error.detail,
            "code": error.code,
            "action": one.action,
            "why": one.reason,
            "initiated_by": by,
            "rows_in": one.rows_in,
            "held": pgt_id in held,
        }
        session.execute(sql["blow"], values)


def together(seen: Observation, held: Set[int]) -> list[frozenset[int]]:
    """Return the members that must be refreshed together, since a test reads them."""
    found = (
        frozenset({pgt_id, *test.reads}) & held for pgt_id in held for test in judged(seen, pgt_id)
    )
    return [group for group in found if len(group) > 1]


def judged(seen: Observation, pgt_id: int) -> tuple[GateTest, ...]:
    """Return the tests of a member's gate that are its own by now.

    One of the tables that a test reads may have come to read this one since the gate was put.
    """
    tests = seen.gates.get(pgt_id, ())
    if not any(test.reads for test in tests):
        return tests
    reads = seen.reads()
    return tuple(
        test
        for test in tests
        if not any(pgt_id in dag.reachable(reads, one) for one in test.reads)
    )


def unmet(seen: Observation, held: Set[int], pgt_id: int) -> list[Member]:
    """Return what a member's gate reads that is neither up to date nor refreshed in this pass."""
    others = {one for test in judged(seen, pgt_id) for one in test.reads} - held
    members = [seen.members[one] for one in sorted(others & seen.members.keys())]
    return [one for one in members if needs.assess(one) is not None]


def _belonging(
    session: Session, schemas: Schemas, pgt_id: int, tests: Sequence[GateTest]
) -> list[GateTest]:
    """Return the tests that are this table's, with what they read."""
    found: list[GateTest] = []
    for test in tests:
        try:
            above, reads = _reads(session, schemas, pgt_id, test)
        except DatabaseError as error:
            if error.sqlstate not in MISSING:
                raise InvalidConfig(
                    f"test {test.name} can't be part of a gate", detail=error.message
                ) from error
            found.append(replace(test, missing=error.message))
        else:
            if not above:
                found.append(replace(test, reads=reads))
    return [replace(test, position=number) for number, test in enumerate(found, start=1)]


def _reads(
    session: Session, schemas: Schemas, pgt_id: int, test: GateTest
) -> tuple[bool, tuple[int, ...]]:
    """Return whether a test reads a table above, and which stream tables it reads."""
    sql = _sql(schemas)
    try:
        session.execute(render(sql["probe"], query=test.query))
        rows = session.execute(sql["reads"], {"pgt_id": pgt_id})
    finally:
        session.execute(sql["drop_probe"])
    return any(row["above"] for row in rows), tuple(row["pgt_id"] for row in rows)


def _after(before: Sequence[GateTest], tests: Sequence[GateTest]) -> tuple[GateTest, ...]:
    """Give tests what is known of those of the same name."""
    known = {test.name: test for test in before}
    return tuple(
        replace(test, accepted=known[test.name].accepted, found=known[test.name].found)
        if test.name in known
        else test
        for test in tests
    )


def _failures(session: Session, schemas: Schemas, name: str, test: GateTest) -> float:
    try:
        row = session.execute(render(_sql(schemas)["run"], query=test.query))[0]
    except DatabaseError as error:
        if error.transient:
            raise
        raise RefreshError(
            f"test {test.name} of the gate of {name} can't be run",
            detail=error.message,
            hint="Correct the test, or leave it out of the gate.",
        ) from error
    return float(row["rows"] if row["failures"] is None else row["failures"])


def _sql(schemas: Schemas) -> dict[str, str]:
    return load_queries("refresh/gate.sql", schemas)
