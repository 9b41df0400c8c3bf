"""The statement under construction: named queries, statements that must run before, what was read.

A stateful operator's delta is computed from its *old* state, so it is normally one statement with
the final apply: data-modifying CTEs do not see each other's work (PostgreSQL manual, 7.8.4). But
where an operator above reads the *new* state, the delta is stored and the state maintained in
statements of their own first. Invariant: a query that reads a state table's new rows stands in a
later statement than the one that maintains it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from trickle_runtime.compiler import temporary
from trickle_runtime.compiler.result import OutputColumn, Step
from trickle_runtime.compiler.template import fill, ident
from trickle_runtime.compiler.term import Term
from trickle_runtime.config import Schemas

CLOCK = 0  # stands among the changed sources for the time, which always changes


@dataclass(frozen=True)
class Shared:
    """A stream table that serves as the state of its root operator.

    ``slots`` maps the operator's keys, count and slots to expressions in which ``{alias}`` stands
    for the table; ``key`` has the group keys as the stream table names them; ``partitioned`` tells
    that a place (ctid) alone names no row of it.
    """

    relation: str
    slots: Mapping[str, str]
    key: tuple[OutputColumn, ...]
    partitioned: bool = False


@dataclass
class Context:
    """Collects one plan's SQL for one set of changed sources.

    Attributes:
        changed: relids of the sources with pending changes.
        pgt_id: of the stream table; names of temporary and state tables are made from it.
        stateless: render aggregates as plain GROUP BY, for describing and for ``define``.
        stored: aliases of stateful operators whose delta goes into a table of its own.
        shared: aliases of operators whose state is the stream table itself.
        checks: queries that count what must not be; added to the announced changes.
        not_numbers: conditions under which the result must be computed from the query.
        plain: aliases of operators to compute from their inputs instead of reading their state.
        recursions: what the recursive reference of an operator reads, by its alias.
        currents, changes: terms of the rows and of the delta of inputs of joins, by alias.
    """

    schemas: Schemas
    pgt_id: int
    changed: frozenset[int] = frozenset()
    stateless: bool = False
    stored: frozenset[str] = frozenset()
    shared: Mapping[str, Shared] = field(default_factory=dict[str, Shared])
    plain: frozenset[str] = frozenset()
    buffers: Mapping[int, str] = field(default_factory=dict[int, str])
    ctes: dict[str, str] = field(default_factory=dict)
    writes: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list[Step])
    states_read: set[str] = field(default_factory=set)
    deltas: dict[str, str] = field(default_factory=dict)
    checks: list[str] = field(default_factory=list)
    not_numbers: list[str] = field(default_factory=list)
    recursions: dict[str, str] = field(default_factory=dict[str, str])
    currents: dict[str, Term] = field(default_factory=dict[str, Term])
    changes: dict[str, Term] = field(default_factory=dict[str, Term])

    def fork(self, alias: str, relation: str) -> Context:
        """A context of its own for one query in which a recursion reads ``relation``.

        What must run before, and the states, are shared; the named queries are not, since the same
        operators give others there.
        """
        recursions = {**self.recursions, alias: relation}
        return replace(self, ctes={}, currents={}, changes={}, recursions=recursions)

    def state_table(self, alias: str) -> str:
        """Qualified name of an operator's state table."""
        return f"{ident(self.schemas.state)}.{ident(f's_{self.pgt_id}_{alias}')}"

    def add(self, name: str, query: str) -> str:
        """Name a query once; later calls with the same name change nothing."""
        self.ctes.setdefault(name, query)
        return name

    def share(self, name: str, query: str) -> str:
        """Name a query, unless the same one already has a name."""
        same = (n for n, known in self.ctes.items() if known == query)
        return next(same, None) or self.add(name, query)

    def store(self, name: str, query: str) -> str:
        """Compute a query into a temporary table now, as a statement of its own."""
        table = f"pgtrickle_{self.pgt_id}_{name}"
        self.steps += temporary.create(ident(table), self.complete(query))
        return f"pg_temp.{ident(table)}"

    def keep(self, alias: str, name: str) -> str:
        """Name a stateful operator's delta, computed now where an operator above needs it so."""
        if alias not in self.stored:
            return name
        return self.store(name, fill("SELECT * FROM $name", name=name))

    def maintain(self, alias: str, statements: Mapping[str, str]) -> None:
        """Bring a state to its delta by statements per verb: now, or with the final one."""
        for verb, statement in statements.items():
            if alias in self.stored:
                self.run(statement)
            else:
                self.write(f"{verb}_{alias}", statement)

    def run(self, statement: str) -> None:
        """Add a statement that runs before the final one."""
        self.steps.append(Step("state", self.complete(statement)))

    def write(self, name: str, statement: str) -> None:
        """Add a data-modifying CTE to the final statement."""
        self.writes[name] = statement

    def complete(self, body: str) -> str:
        """Put the named queries that ``body`` needs in front of it."""
        needed = self._needed(body)
        if not needed:
            return body
        return f"WITH {', '.join(f'{name} AS {self.ctes[name]}' for name in needed)} {body}"

    def final(self, body: str, writes: Mapping[str, str]) -> str:
        """The last statement: named queries, data-modifying CTEs, then ``body``."""
        every = {**self.writes, **writes}
        needed = self._needed(" ".join([*every.values(), body]))
        parts = [f"{name} AS {self.ctes[name]}" for name in needed]
        parts += [f"{name} AS ({statement})" for name, statement in every.items()]
        return f"WITH {', '.join(parts)} {body}" if parts else body

    def _needed(self, body: str) -> list[str]:
        """Names used by ``body``, directly or through other names, in order of definition."""
        wanted: set[str] = set()
        pending = [body]
        while pending:
            words = set(re.findall(r"[a-z_]\w*", pending.pop()))
            for name in self.ctes:
                if name in words and name not in wanted:
                    wanted.add(name)
                    pending.append(self.ctes[name])
        return [name for name in self.ctes if name in wanted]
