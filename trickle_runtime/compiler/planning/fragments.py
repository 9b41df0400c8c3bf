"""Parts of a query that are recomputed: their text, what it reads, when it may have changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from trickle_runtime.compiler.context import CLOCK
from trickle_runtime.compiler.dialect import render
from trickle_runtime.compiler.operators.recompute import Recompute
from trickle_runtime.compiler.planning import functions, time
from trickle_runtime.compiler.planning.relations import POLLED, Cte, Ctes
from trickle_runtime.compiler.planning.scope import SYSTEM_COLUMNS
from trickle_runtime.compiler.planning.tools import Tools
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.compiler.schema import Schema, SourceRelation
from trickle_runtime.compiler.template import comma, fill, ident

_ALL = "SELECT $columns FROM $relation"
_NAMED = "SELECT * FROM ($query) AS q ($names)"


def recompute(
    tree: exp.Expr,
    ctes: Ctes,
    schema: Schema,
    polled: frozenset[int],
    tools: Tools,
    refusal: NotIncremental,
) -> Recompute:
    """A node for a query that is not correlated.

    Args:
        tree: the query.
        ctes: the common table expressions that it can name.
        schema: knows the relations.
        polled: relids of tables whose changes can't be captured.
        tools: see ``Tools``.
        refusal: why no rule covers it.
    """
    whole = _with(tree, ctes)
    named = [ident(name) for name in unique(functions.output_names(tree))]
    text = fill(_NAMED, query=render(whole), names=comma(named))
    sources = tools.tables(text)
    kinds = {relation.relid: relation.kind for relation in schema.relations.values()}
    always = {relid for relid in sources if kinds.get(relid) in POLLED or relid in polled}
    if any(time.mentioned(one) for one in (text, *_definitions(schema))):
        always.add(CLOCK)
    if any(column.name in SYSTEM_COLUMNS for column in whole.find_all(exp.Column)):
        always |= sources.keys()
    return Recompute(
        tools.alias("x"),
        text,
        tuple(d.identity(d.name) for d in tools.describe(text)),
        tuple(sources.items()),
        frozenset(always),
        f"{refusal.reason.code}: {refusal.reason.message}",
    )


def unique(names: Sequence[str]) -> list[str]:
    """Names of columns, made unique where the query repeats one."""
    seen: set[str] = set()
    found: list[str] = []
    for number, name in enumerate(names):
        made = name if name and name not in seen else f"{name}.{number}"
        seen.add(made)
        found.append(made)
    return found


def _definitions(schema: Schema) -> list[str]:
    return [relation.definition or "" for relation in schema.relations.values()]


def polled(relation: SourceRelation, tools: Tools, refusal: NotIncremental) -> Recompute:
    """A node that reads a whole relation at each refresh."""
    names = [column.name for column in relation.columns]
    text = fill(
        _ALL,
        columns=comma([ident(name) for name in names] or ["1 AS __pgt_none"]),
        relation=f"{ident(relation.schema)}.{ident(relation.name)}",
    )
    identity: tuple[OutputColumn, ...] = tuple(
        column.described.identity(column.name) for column in relation.columns
    )
    attnums = frozenset(column.attnum for column in relation.columns)
    return Recompute(
        tools.alias("x"),
        text,
        identity,
        ((relation.relid, attnums),),
        frozenset({relation.relid}),
        f"{refusal.reason.code}: {refusal.reason.message}",
    )


def _with(tree: exp.Expr, ctes: Ctes) -> exp.Expr:
    """A query together with the common table expressions that it names."""
    needed: dict[str, Cte] = {}
    _collect(tree, ctes, needed)
    copied = tree.copy()
    if not needed:
        return copied
    if copied.args.get("with_") is not None:
        copied = exp.select("*").from_(exp.Subquery(this=copied, alias="q"), copy=False)
    # The parser takes SEARCH and CYCLE after the last expression only.
    ordered = sorted(needed.values(), key=lambda cte: bool(cte.clauses))
    if sum(bool(cte.clauses) for cte in ordered) > 1:
        raise NotIncremental("RECURSIVE", "several SEARCH or CYCLE clauses", whole=True)
    clause = exp.With(
        expressions=[cte.node.copy() for cte in ordered],
        recursive=any(cte.recursive for cte in ordered),
        **ordered[-1].clauses,
    )
    copied.set("with_", clause)
    return copied


def _collect(tree: exp.Expr, ctes: Ctes, needed: dict[str, Cte]) -> None:
    """Add the expressions that a tree names, those that they name first."""
    for table in tree.find_all(exp.Table):
        cte = ctes.get(table.name) if not table.db else None
        if cte is None or table.name in needed:
            continue
        visible: Mapping[str, Cte] = cte.visible
        _collect(cte.node.this, visible, needed)
        needed[table.name] = cte
