"""From a model's SQL to a plan, with PostgreSQL as the analyser.

Invariant: the incremental plan is used only where the text that was planned, rendered back, is the
same query to PostgreSQL (``PARSE_FIDELITY`` otherwise).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlglot import exp
from sqlglot.errors import SqlglotError

from trickle_runtime.analysis import limits, typefacts
from trickle_runtime.analysis.catalog_reader import CatalogReader
from trickle_runtime.catalog.store import Store
from trickle_runtime.compiler import dialect, planning, volatility
from trickle_runtime.compiler.apply import Target
from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.plan import Plan
from trickle_runtime.compiler.planning import grouping_sets
from trickle_runtime.compiler.planning.planner import Planner
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.result import (
    IndexAdvice,
    OutputColumn,
    Reason,
    SourceUse,
    StateTable,
    Step,
    ViewUse,
)
from trickle_runtime.compiler.schema import Schema, SourceRelation
from trickle_runtime.compiler.strategies import Strategy
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Session
from trickle_runtime.db.sql import quote_ident
from trickle_runtime.errors import DatabaseError, InvalidQuery

_UNNAMED = Target(0, "nothing")
_MESSAGE = 300  # characters
_FRAME = re.compile(r"\b(ROWS|RANGE|GROUPS) BETWEEN ([^()]+?|\(.+?\)[^()]*?) AND CURRENT ROW\b")
_UNKNOWN = re.compile(r"IS (NOT )?UNKNOWN")


@dataclass(frozen=True)
class Analysis:
    """A query, what it reads, and how it is maintained.

    Attributes:
        canonical: the query as PostgreSQL prints it; computes the full result.
        columns: of the result.
        reasons: why, per construct; those of severity WARNING force ``full``.
        sources: tables that the query reads, below all views.
        views: views in between.
        functions: oid and xmin of the user-defined functions that it calls.
    """

    canonical: str
    columns: tuple[OutputColumn, ...]
    reasons: tuple[Reason, ...]
    sources: tuple[SourceUse, ...]
    views: tuple[ViewUse, ...]
    functions: Mapping[int, str]
    plan: Plan
    target: Target = field(default=_UNNAMED)

    @property
    def key(self) -> tuple[str, ...] | None:
        """Unique key of the result, by output names; () means at most one row."""
        return self.plan.key

    @property
    def states(self) -> tuple[StateTable, ...]:
        """Hidden tables to create and fill, in this order."""
        return self.plan.states(self.target)

    @property
    def always(self) -> frozenset[int]:
        """Relids that count as changed at every refresh; 0 stands for the time."""
        return self.plan.always

    @property
    def mode(self) -> str:
        """``differential`` or ``full``."""
        return "full" if self.plan.root is None else "differential"

    @property
    def strategies(self) -> tuple[Strategy, ...]:
        """How the parts of the query are maintained."""
        return self.plan.strategies()

    @property
    def advice(self) -> tuple[IndexAdvice, ...]:
        """Indexes that are missing for the deltas of joins."""
        return self.plan.advice()

    def computed(self, problem: str) -> Analysis:
        """The same query, computed as a whole at each refresh because of an error of ours."""
        reason = NotIncremental("INTERNAL", problem).reason
        return replace(self, plan=replace(self.plan, root=None), reasons=(reason, *self.reasons))

    def with_target(self, target: Target) -> Analysis:
        """The same analysis for a stream table that has its number by now."""
        return replace(self, target=target)

    def with_buffers(self, buffers: Mapping[int, str]) -> Analysis:
        """The same analysis reading the given buffers.

        Args:
            buffers: per relid a qualified name, or a query in parentheses with the columns
                ``xid, op, c<attnum>…``.
        """
        return replace(self, plan=replace(self.plan, buffers=buffers))

    def delta_steps(
        self, changed: frozenset[int], *, materialise: bool = False
    ) -> tuple[Step, ...]:
        """Statements of a differential refresh, given the relids with pending changes."""
        return self.plan.delta_steps(self.target, changed, materialise=materialise)

    def full_steps(self, *, materialise: bool = False, staged: bool = False) -> tuple[Step, ...]:
        """Statements that bring states and content to the query, by difference."""
        return self.plan.full_steps(self.target, materialise=materialise, staged=staged)

    def fill_sql(self) -> str:
        """SELECT for the first fill, once the states are filled."""
        return self.plan.fill_sql(self.target)


def analyse(
    session: Session,
    query: str,
    *,
    schemas: Schemas,
    search_path: str | None = None,
    target: Target | None = None,
    buffers: Mapping[int, str] | None = None,
    unique_key: Sequence[str] | None = None,
    force_full: bool = False,
    polled: Collection[str] = (),
    limited: bool = True,
) -> Analysis:
    """Analyse a query in a savepoint that is rolled back.

    Args:
        session: its transaction is left as it was.
        query: one SELECT, as the user wrote it.
        schemas: of the runtime.
        search_path: text for ``SET search_path``; the session's own where not given.
        target: the stream table, once it has a number.
        buffers: what to read per source; ``changes_<relid>_1`` where not given.
        unique_key: output columns that the user declares unique.
        force_full: do not plan for deltas.
        polled: names of sources whose changes can't be captured.
        limited: refuse a query that is too complex; PostgreSQL's own text of one that was accepted
            has more levels.

    Raises:
        InvalidQuery: PostgreSQL rejects the query.
        QueryTooComplex: the query is larger or deeper than the limits.
    """
    settings = Store(session, schemas).settings()
    if limited:
        limits.check(query, limits.number(settings, "max_parse_depth", 64))
    limits.allow_depth()
    session.execute("SAVEPOINT trickle_analyse")
    try:
        most_sets = limits.number(settings, "max_grouping_sets", grouping_sets.MOST_SETS)
        return _Analyser(session, schemas, most_sets).run(
            query, search_path, target or _UNNAMED, buffers, unique_key, force_full, polled
        )
    finally:
        session.execute("ROLLBACK TO SAVEPOINT trickle_analyse; RELEASE SAVEPOINT trickle_analyse")


class _Analyser:
    """One analysis."""

    def __init__(self, session: Session, schemas: Schemas, most_sets: int) -> None:
        self.session = session
        self.most_sets = most_sets
        self.schemas = schemas
        self.reader = CatalogReader(session, schemas)

    def run(
        self,
        query: str,
        search_path: str | None,
        target: Target,
        buffers: Mapping[int, str] | None,
        unique_key: Sequence[str] | None,
        force_full: bool,
        polled: Collection[str],
    ) -> Analysis:
        view = self._canonicalise(query, search_path)
        canonical = self.reader.definition(view)
        relations = self.reader.relations(view)
        rows = self.reader.columns(view)
        names = [str(row["name"]) for row in rows]
        if not names:
            raise InvalidQuery("the query has no columns", hint="Select at least one.")
        if force_full:
            root, reasons = None, self._restless(canonical, relations)
        else:
            root, reasons = self._planned(canonical, names, relations, polled)
        columns = tuple(
            OutputColumn(
                row["name"],
                row["type"],
                root is not None and root.column(row["name"]).not_null,
                row["collation"],
                self.reader.hashing.has(row),
                typefacts.exact(row),
                None if root is None else root.column(row["name"]).scales,
                # A declared key is checked by a unique index, whatever its type.
                typefacts.bounded(row) or row["name"] in (unique_key or ()),
            )
            for row in rows
        )
        defaults = {r: self._buffer(r) for r in relations}
        plan = Plan(
            canonical,
            columns,
            root,
            self.schemas,
            buffers if buffers is not None else defaults,
            tuple(unique_key) if unique_key else None,
        )
        return Analysis(
            canonical,
            columns,
            tuple(reasons),
            _sources(relations, plan),
            tuple(
                ViewUse(r.relid, _qualified(r), r.definition or "")
                for r in relations.values()
                if r.kind == "view"
            ),
            self.reader.user_functions(view),
            plan,
            target,
        )

    def _canonicalise(self, query: str, search_path: str | None) -> str:
        try:
            if search_path is not None:
                self.session.execute(f"SET LOCAL search_path = {search_path}")
            view = self.reader.view(query.strip().rstrip(";"))
        except DatabaseError as error:
            raise InvalidQuery(error.message, error.detail, error.hint) from error
        # Every name that is not PostgreSQL's own is then printed with its schema.
        self.session.execute("SET LOCAL search_path = pg_catalog")
        return view

    def _planned(
        self,
        canonical: str,
        names: list[str],
        relations: Mapping[int, SourceRelation],
        polled: Collection[str],
    ) -> tuple[Operator | None, list[Reason]]:
        """A plan, or the reasons for which there is none; an error of the planner is one."""
        self.session.execute("SAVEPOINT trickle_plan")
        try:
            root, reasons = self._plan(canonical, names, relations, polled)
        except Exception as error:
            if isinstance(error, DatabaseError) and error.transient:
                raise
            self.session.execute("ROLLBACK TO SAVEPOINT trickle_plan")
            text = f"{type(error).__name__}: {error}"
            root, reasons = None, [NotIncremental("INTERNAL", text[:_MESSAGE]).reason]
        self.session.execute("RELEASE SAVEPOINT trickle_plan")
        if root is None:
            reasons += self._restless(canonical, relations)
        return root, reasons

    def _plan(
        self,
        canonical: str,
        names: list[str],
        relations: Mapping[int, SourceRelation],
        polled: Collection[str],
    ) -> tuple[Operator | None, list[Reason]]:
        known = frozenset(r.relid for r in relations.values() if _qualified(r) in polled)
        try:
            tree = self._faithful(canonical)
            trees, unreadable = [tree], dict[int, NotIncremental]()
            views = [r for r in relations.values() if r.definition is not None]
            for relation in views:
                try:
                    trees.append(self._faithful(relation.definition or ""))
                except NotIncremental as refusal:
                    unreadable[relation.relid] = refusal
            hidden = {r.relid for r in relations.values() if not r.readable}
            for relation in views if hidden else ():
                if hidden & self.reader.read_through(relation.relid):
                    unreadable[relation.relid] = NotIncremental("HIDDEN_SOURCE", _hidden(relation))
            schema = self._schema(relations, trees, [relations[r] for r in unreadable])
            planner = Planner(schema, self.reader, known, unreadable, self.most_sets)
            return planner.plan(tree, names), planner.tools.notes
        except NotIncremental as refusal:
            return None, [refusal.reason]
        except RecursionError:
            return None, [NotIncremental("TOO_DEEP", "the query is nested too deeply").reason]

    def _schema(
        self,
        relations: Mapping[int, SourceRelation],
        trees: list[exp.Expr],
        unreadable: Sequence[SourceRelation],
    ) -> Schema:
        called = {name for tree in trees for name in volatility.function_names(tree)}
        texts = [relation.definition or "" for relation in unreadable]
        called |= {name for text in texts for name in volatility.names_in(text)}
        functions = self.reader.functions(called | planning.CALLED)
        for tree in trees:
            volatility.check(tree, functions)
        for text in texts:
            volatility.check_text(text, functions)
        return Schema({(r.schema, r.name): r for r in relations.values()}, functions)

    def _restless(self, canonical: str, relations: Mapping[int, SourceRelation]) -> list[Reason]:
        """Why the rows of a query that is not planned may change although no source does."""
        texts = [canonical, *(r.definition for r in relations.values() if r.definition)]
        functions = self.reader.functions({n for t in texts for n in volatility.names_in(t)})
        try:
            for text in texts:
                volatility.check_text(text, functions, time=True)
        except NotIncremental as refusal:
            return [refusal.reason]
        return []

    def _reread(self, text: str) -> str:
        return self.reader.definition(self.reader.view(text))

    def _faithful(self, canonical: str, rereads: int = 3) -> exp.Expr:
        """Parse, and prove by PostgreSQL that nothing was lost.

        PostgreSQL prints some of what it has read otherwise than it would read it again: a cast of
        an array, which it then gives to the elements; a sort key that is there twice. What is
        parsed is the text that it settles on, since later analyses begin with the canonical one.
        """
        try:
            tree = dialect.parse(canonical)
            rendered = dialect.render(tree)
        except (SqlglotError, TypeError, ValueError) as error:
            raise NotIncremental("PARSE_FIDELITY", str(error).split("\n")[0][:200]) from error
        except RecursionError as error:
            raise NotIncremental("TOO_DEEP", "the text is nested too deeply") from error
        self.session.execute("SAVEPOINT trickle_fidelity")
        try:
            again = self._reread(rendered)
            settled = canonical if again == canonical else self._reread(canonical)
        except DatabaseError as error:
            self.session.execute("ROLLBACK TO SAVEPOINT trickle_fidelity")
            raise NotIncremental("PARSE_FIDELITY", error.message) from error
        self.session.execute("RELEASE SAVEPOINT trickle_fidelity")
        if settled != canonical and rereads > 0:
            return self._faithful(settled, rereads - 1)
        if not _same(again, settled):
            raise NotIncremental("PARSE_FIDELITY", "the text changed its meaning when read back")
        return tree

    def _buffer(self, relid: int) -> str:
        return f"{quote_ident(self.schemas.changes)}.{quote_ident(f'changes_{relid}_1')}"


def _hidden(view: SourceRelation) -> str:
    return f"the role may read {_qualified(view)}, but not all that it reads"


def _same(one: str, other: str) -> bool:
    """Whether two canonical texts are the same query.

    They may differ in how chains of AND and OR are nested (BETWEEN beside AND is), and in two
    spellings of the same test.
    """
    if _words(one) != _words(other):
        return False
    return _normal(one) == _normal(other) or _flat(one) == _flat(other)


def _normal(text: str) -> str:
    """Canonical text, with two spellings of the same test, or window frame, made equal."""
    text = _UNKNOWN.sub(lambda m: f"IS {m[1] or ''}NULL", text)
    return _FRAME.sub(r"\1 \2", text)


def _words(text: str) -> list[str]:
    return _normal(text).replace("(", " ").replace(")", " ").split()


def _flat(text: str) -> str:
    return dialect.render(dialect.flatten(dialect.parse(_normal(text))))


def _qualified(relation: SourceRelation) -> str:
    return f"{quote_ident(relation.schema)}.{quote_ident(relation.name)}"


def _sources(relations: Mapping[int, SourceRelation], plan: Plan) -> tuple[SourceUse, ...]:
    found: list[SourceUse] = []
    for relation in relations.values():
        if relation.kind == "view" or relation.kind == "system":
            continue
        every = {column.attnum for column in relation.columns}
        attnums = plan.tables.get(relation.relid, set[int]()) if plan.root is not None else every
        found.append(
            SourceUse(
                relation.relid,
                _qualified(relation),
                relation.kind,
                tuple(sorted(attnums)),
                relation.pgt_id,
            )
        )
    return tuple(sorted(found, key=lambda source: source.relid))
