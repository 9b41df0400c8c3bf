"""Every statement of a definition, put to PostgreSQL before any data is touched.

The statements are compiled for a table that exists in a savepoint only, over buffers that are
empty by definition, and explained: a statement that PostgreSQL does not accept is found when the
stream table is defined and not at some later refresh. Invariant: the session is left as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from trickle_runtime.analysis import Analysis
from trickle_runtime.capture import changelog
from trickle_runtime.catalog.store import Store
from trickle_runtime.compiler.result import Step
from trickle_runtime.compiler.template import comma, fill, ident
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.errors import DatabaseError
from trickle_runtime.refresh import meaning, states

MOST_SETS = 32  # of changed sources; with more, those of one, of two, and of all
CHECKED = "pg_temp.pgtrickle_checked"
_TARGET = "CREATE TEMPORARY TABLE pgtrickle_checked ON COMMIT DROP AS SELECT $columns WITH NO DATA"
_TEMPORARY = "CREATE TEMPORARY TABLE"


def check(session: Session, schemas: Schemas, analysis: Analysis) -> str | None:
    """Return what PostgreSQL, or the compiler, has against a statement of a differential plan.

    Raises:
        DatabaseError: the server could not answer.
    """
    session.execute("SAVEPOINT trickle_dry_run")
    try:
        _DryRun(session, schemas, analysis).run()
    except DatabaseError as error:
        if error.transient:
            raise
        return error.message
    except Exception as error:  # whatever the compiler does, the query can be computed
        return f"{type(error).__name__}: {error}"
    finally:
        session.execute("ROLLBACK TO SAVEPOINT trickle_dry_run; RELEASE SAVEPOINT trickle_dry_run")
    return None


def plans(
    session: Session, schemas: Schemas, steps: Sequence[Step], places: Mapping[str, str]
) -> list[str]:
    """Return PostgreSQL's plans of statements that follow each other; nothing is run.

    Args:
        session: its transaction is left as it was.
        steps: see ``Plan.delta_steps``.
        places: settings that the statements read.
    """
    session.execute("SAVEPOINT trickle_dry_run")
    try:
        meaning.apply(session, schemas, places)
        return [_plan(session, step) for step in steps]
    finally:
        session.execute("ROLLBACK TO SAVEPOINT trickle_dry_run; RELEASE SAVEPOINT trickle_dry_run")


def changed_sets(sources: Sequence[int], always: frozenset[int]) -> Iterator[frozenset[int]]:
    """The sets of changed sources to check, the largest first."""
    single = sorted(set(sources) - always)
    sizes = range(len(single), 0, -1)
    if 2 ** len(single) > MOST_SETS:
        sizes = dict.fromkeys((len(single), 2, 1))
    for size in sizes:
        for chosen in combinations(single, size):
            yield always | frozenset(chosen)
    if always:
        yield always


class _DryRun:
    """One check, inside of a savepoint."""

    def __init__(self, session: Session, schemas: Schemas, analysis: Analysis) -> None:
        self.session, self.schemas = session, schemas
        pid = session.execute("SELECT pg_backend_pid() AS pid")[0]["pid"]
        # States get names of their own: two sessions that check would wait for each other.
        target = replace(analysis.target, pgt_id=-pid, relation=CHECKED, log=False)
        empty = analysis.plan.empty_buffers()
        self.analysis = analysis.with_target(target).with_buffers(empty)

    def run(self) -> None:
        self._prepare()
        _plan(self.session, Step("state", self.analysis.fill_sql()))
        read = [source.relid for source in self.analysis.sources]
        for changed in changed_sets(read, self.analysis.always):
            self._steps(self.analysis.delta_steps(changed))
        every = frozenset(read) | self.analysis.always
        self._steps(self.analysis.delta_steps(every, materialise=True))

    def _prepare(self) -> None:
        columns = [f"NULL::{c.type} AS {ident(c.name)}" for c in self.analysis.columns]
        self.session.execute(fill(_TARGET, columns=comma(columns)))
        states.create(self.session, self.schemas, self.analysis.states, fill=False)
        store, prefix = Store(self.session, self.schemas), self.schemas.prefix
        places = {"frontier": "1:1:", "clock": "2000-01-01 00:00:00+00", "refresh_no": "1"}
        for source in self.analysis.sources:
            if source.pgt_id is not None:
                places[f"upstream_{source.pgt_id}"] = "0"
                if store.resolve(changelog.log_name(self.schemas, source.pgt_id)) is None:
                    changelog.ensure(self.session, self.schemas, source.pgt_id)
        settings = {f"{prefix}.{name}": value for name, value in places.items()}
        meaning.apply(self.session, self.schemas, settings)

    def _steps(self, steps: Sequence[Step]) -> None:
        self.session.execute("SAVEPOINT trickle_steps")
        for step in steps:
            _plan(self.session, step)
        self.session.execute("ROLLBACK TO SAVEPOINT trickle_steps")


def _plan(session: Session, step: Step) -> str:
    """The plan of a step, if it has one; makes its temporary table, empty, for later steps."""
    if step.kind == "utility":
        return ""
    rows = session.execute(f"EXPLAIN {step.sql}")
    if step.sql.startswith(_TEMPORARY):
        session.execute(f"{step.sql} WITH NO DATA")
    return "\n".join(str(row["QUERY PLAN"]) for row in rows)
