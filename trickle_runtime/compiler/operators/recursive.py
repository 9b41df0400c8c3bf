"""Recursive: WITH RECURSIVE with UNION.

    ΔS = (rows gained) - (rows lost)

S is the least set that holds the base and step(S); step reads S once, so it is linear in it.
Delete and rederive, then semi-naive evaluation (Gupta, Mumick, Subrahmanian, Maintaining Views
Incrementally, SIGMOD 1993; amendment A15). E' are the other inputs of the step, as they are now.

    lost    the least D with all rows of S that lose a derivation from the base or from step(S),
            and all rows of S in step(D; E')
    kept    K = S - D
    gained  the least I with the rows of D that are in the base or in step(K; E'), the rows that
            the base or step(K) gains a derivation of, and all rows of step(I; E'), less K

Membership is NULL-safe. The changes of the step's other inputs are those of its operators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from trickle_runtime.compiler import bags
from trickle_runtime.compiler.context import Context
from trickle_runtime.compiler.identity import hash_expression, match_key
from trickle_runtime.compiler.operators.base import Column, Node, Operator
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.compiler.template import comma, fill, ident
from trickle_runtime.compiler.term import WEIGHT, FromItem, Relation, Term, ref, union

_WITH = """WITH RECURSIVE $found ($names) AS ($seed UNION $step) SELECT * FROM $found"""
_NESTED = "SELECT * FROM ($query) q"
_AMONG = "EXISTS (SELECT 1 FROM $rows m WHERE $match)"
_SELECT = "SELECT $names FROM ($query) q WHERE $where"
_SIGNED = "SELECT $names FROM $rows q WHERE q.__pgt_w $sign 0 AND $where"
_NOTHING = "SELECT $names FROM $state q WHERE false"
_KEPT = "(SELECT * FROM $state q WHERE NOT $lost)"
_CHANGES = """SELECT $names, -1 AS __pgt_w FROM $lost q WHERE NOT $again
 UNION ALL SELECT $names, 1 FROM $gained q WHERE NOT $before"""
_DELETE = "DELETE FROM $state AS st USING $changes d WHERE d.__pgt_w < 0 AND $match"
_INSERT = "INSERT INTO $state ($names) SELECT $names FROM $changes d WHERE d.__pgt_w > 0"
_HASH = "CREATE INDEX ON $state (($hash))"


@dataclass(frozen=True)
class Recursive(Operator):
    """The rows of ``base`` and all that ``step`` derives from them."""

    stateful: ClassVar[bool] = True

    alias: str
    base: Operator
    step: Operator
    identity: tuple[OutputColumn, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of the base; what the step gives may be NULL."""
        return tuple(Column(item.name) for item in self.identity)

    @property
    def keys(self) -> tuple[frozenset[str], ...]:
        """The whole row: it is a set."""
        return (frozenset(item.name for item in self.identity),)

    @property
    def inputs(self) -> tuple[Operator, ...]:
        """The base and the step."""
        return (self.base, self.step)

    def current(self, out: Context) -> Relation:
        """The kept rows; for describing, the recursion itself."""
        if out.stateless:
            return (self._term(f"({self._query(out)})"),)
        out.states_read.add(self.alias)
        return (self._term(out.state_table(self.alias)),)

    def delta(self, out: Context) -> Relation:
        """Rows lost and gained."""
        if not self.changed(out):
            return ()
        if self.alias not in out.stored:
            # Takes several statements, after the states below have been maintained.
            out.states_read.add(self.alias)
            return (self._term(out.state_table(self.alias)),)
        if self.alias not in out.deltas:
            out.deltas[self.alias] = self._changes(out)
        term = self._term(out.deltas[self.alias])
        return (replace(term, weights=(ref(self.alias, WEIGHT),)),)

    def nodes(self, out: Context) -> Iterator[Node]:
        """The set."""
        hashed = hash_expression(self.identity)
        state = out.state_table(self.alias)
        indexes = (fill(_HASH, state=state, hash=hashed),) if hashed else ()
        yield Node(self.alias, self._query(out), indexes, "the rows of WITH RECURSIVE")

    def needs(self, needed: frozenset[str]) -> dict[str, frozenset[str]]:
        """Everything: rows are compared as a whole."""
        return {
            self.base.alias: frozenset(c.name for c in self.base.columns),
            self.step.alias: frozenset(c.name for c in self.step.columns),
        }

    def keep(self, needed: frozenset[str], inputs: Mapping[str, Operator]) -> Operator:
        """The same over pruned inputs."""
        return replace(self, base=inputs[self.base.alias], step=inputs[self.step.alias])

    @property
    def _names(self) -> list[str]:
        return [item.name for item in self.identity]

    @property
    def _listed(self) -> str:
        return comma([ident(name) for name in self._names])

    def _query(self, out: Context) -> str:
        """The recursion from scratch."""
        fork = out.fork(self.alias, "found")
        base, step = (
            fill(_NESTED, query=fork.complete(union(rows, self._names, weighted=False)))
            for rows in (self.base.current(fork), self.step.current(fork))
        )
        return fill(_WITH, found="found", names=self._listed, seed=base, step=step)

    def _changes(self, out: Context) -> str:
        state = out.state_table(self.alias)
        base = self._base_delta(out)
        rows = fill(_NESTED, query=self._lost(out, state, base))
        lost = out.store(f"lost_{self.alias}", rows)
        rows = fill(_NESTED, query=self._gained(out, state, base, lost))
        gained = out.store(f"gained_{self.alias}", rows)
        changes = out.store(
            f"changes_{self.alias}",
            fill(
                _CHANGES,
                names=self._listed,
                lost=lost,
                gained=gained,
                again=self._among(gained),
                before=self._among(lost),
            ),
        )
        match = match_key(self.identity, "st", "d")
        out.run(fill(_DELETE, state=state, changes=changes, match=match))
        out.run(fill(_INSERT, state=state, names=self._listed, changes=changes))
        return changes

    def _base_delta(self, out: Context) -> str | None:
        """The base's netted delta, kept for both halves."""
        relation = self.base.delta(out)
        if not relation:
            return None
        rows = union(relation, self._names, weighted=True)
        name = out.add(f"base_{self.alias}", bags.net(self.identity, rows))
        return out.store(name, fill("SELECT * FROM $name", name=name))

    def _lost(self, out: Context, state: str, base: str | None) -> str:
        """Rows that a lost derivation, or a lost row, has derived."""
        fork = out.fork(self.alias, state)
        seeds = [fill(_NOTHING, names=self._listed, state=state)]
        among = self._among(state)
        seeds += self._of_base(base, "<", among)
        # Not netted: a derivation that is gained may come from a row that is lost in turn.
        seeds += self._of_step(fork, "<", among, lambda rows: f"({rows})")
        over = out.fork(self.alias, "found")
        step = union(self.step.current(over), self._names, weighted=False)
        again = fill(_SELECT, names=self._listed, query=step, where=self._among(state))
        return self._fixpoint(fork, over, seeds, again)

    def _gained(self, out: Context, state: str, base: str | None, lost: str) -> str:
        """Rows that can still, or can now, be derived from what was kept."""
        kept = fill(_KEPT, state=state, lost=self._among(lost))
        fork = out.fork(self.alias, kept)
        rest = f"(NOT {self._among(state)} OR {self._among(lost)})"
        seeds = [fill(_NOTHING, names=self._listed, state=state)]
        seeds += self._of_base(base, ">", rest)
        seeds += self._of_step(fork, ">", rest, lambda rows: bags.net(self.identity, rows))
        for operator in (self.base, self.step):
            rows = union(operator.current(fork), self._names, weighted=False)
            among = self._among(lost)
            seeds.append(fill(_SELECT, names=self._listed, query=rows, where=among))
        over = out.fork(self.alias, "found")
        step = union(self.step.current(over), self._names, weighted=False)
        again = fill(_SELECT, names=self._listed, query=step, where=rest)
        return self._fixpoint(fork, over, seeds, again)

    def _of_base(self, base: str | None, sign: str, where: str) -> list[str]:
        """Seeds from the changes of the base."""
        if base is None:
            return []
        return [fill(_SIGNED, names=self._listed, rows=base, sign=sign, where=where)]

    def _of_step(
        self, fork: Context, sign: str, where: str, rows: Callable[[str], str]
    ) -> list[str]:
        """Seeds from the changes of the step's other inputs; ``rows`` makes a relation of them."""
        relation = self.step.delta(fork)
        if not relation:
            return []
        signed = rows(union(relation, self._names, weighted=True))
        name = fork.add(f"step_{self.alias}", signed)
        return [fill(_SIGNED, names=self._listed, rows=name, sign=sign, where=where)]

    def _fixpoint(self, seeding: Context, over: Context, seeds: list[str], step: str) -> str:
        """All that the step derives from the seeds."""
        seed = seeding.complete(" UNION ALL ".join(seeds))
        return fill(
            _WITH,
            found="found",
            names=self._listed,
            seed=fill(_NESTED, query=seed),
            step=fill(_NESTED, query=over.complete(step)) if over.ctes else step,
        )

    def _among(self, rows: str) -> str:
        """Whether row ``q`` is one of some rows."""
        return fill(_AMONG, rows=rows, match=match_key(self.identity, "m", "q"))

    def _term(self, sql: str) -> Term:
        columns = {name: ref(self.alias, name) for name in self._names}
        return Term((FromItem(sql, self.alias),), dict(columns))
