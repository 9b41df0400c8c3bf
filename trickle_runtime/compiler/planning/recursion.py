"""WITH RECURSIVE: which common table expressions are maintained by a rule.

UNION, and a recursive term in which every row found is used by itself: filters, projections, joins
with other relations, semi and anti joins against them. What it reads of itself once (PostgreSQL
allows no more) it may not group, order or count. Others are recomputed as nodes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from sqlglot import exp

from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.operators.filter import Filter
from trickle_runtime.compiler.operators.inner_join import InnerJoin
from trickle_runtime.compiler.operators.left_join import LeftJoin
from trickle_runtime.compiler.operators.project import Item, Project
from trickle_runtime.compiler.operators.recursion_scan import RecursionScan
from trickle_runtime.compiler.operators.recursive import Recursive
from trickle_runtime.compiler.operators.semi_join import SemiJoin
from trickle_runtime.compiler.operators.table_function import TableFunction
from trickle_runtime.compiler.planning.correlation import Domain, Planned
from trickle_runtime.compiler.planning.functions import output_names
from trickle_runtime.compiler.planning.relations import Cte, Ctes
from trickle_runtime.compiler.planning.tools import Tools
from trickle_runtime.compiler.reasons import NotIncremental
from trickle_runtime.compiler.term import ref


class Queries(Protocol):
    """What recursion needs of the planner of whole queries."""

    def query(self, tree: exp.Expr, ctes: Ctes, domain: Domain | None = None) -> Planned:
        """Plan a query."""
        ...

    def without_nodes(self, tree: exp.Expr, ctes: Ctes) -> Planned:
        """Plan a query that may not be recomputed as a node itself."""
        ...


def is_recursive(node: exp.CTE) -> bool:
    """Whether a common table expression names itself."""
    return any(t.name == node.alias and not t.db for t in node.this.find_all(exp.Table))


def names(cte: Cte) -> list[str]:
    """The columns of a common table expression that a table can hold.

    CYCLE adds its mark; the sequence column of SEARCH and the path of CYCLE are arrays of records.
    """
    given = [column.name for column in cte.node.args["alias"].columns]
    clauses = cte.clauses.values()
    added = [c.args["expression"].name for c in clauses if c.args["kind"] == "CYCLE"]
    return [*given, *output_names(cte.node.this)[len(given) :], *added]


def plan(cte: Cte, tools: Tools, queries: Queries) -> Planned:
    """Plan a recursive common table expression.

    Raises:
        NotIncremental: no rule covers it.
    """
    if cte.clauses:
        raise NotIncremental("RECURSIVE", f"SEARCH or CYCLE of {cte.node.alias}")
    body = cte.node.this
    while isinstance(body, exp.Subquery):
        body = body.this
    if not isinstance(body, exp.Union) or not body.args.get("distinct"):
        raise NotIncremental("RECURSIVE", f"WITH RECURSIVE {cte.node.alias} without UNION")
    shown = tuple(names(cte))
    first = queries.query(body.this, cte.visible)
    base = _named(first, shown, tools)
    alias = tools.alias("m")
    scan = RecursionScan(tools.alias("i"), alias, shown)
    itself = Cte(cte.node, cte.visible, recursive=False, planned=(scan, shown))
    step = body.expression
    if isinstance(step, exp.Select) and step.args.get("distinct") is not None:
        step = step.copy()
        step.set("distinct", None)  # a set anyway
    tools.assume_rows(scan, tools.facts(base))
    planned = queries.without_nodes(step, {**cte.visible, cte.node.alias: itself})
    rows = _named(planned, shown, tools)
    if not _linear(rows, scan.alias):
        raise NotIncremental("RECURSIVE", f"{cte.node.alias} uses the rows found as a whole")
    identity = tools.identity(base)
    nullable = tuple(replace(item, not_null=False) for item in identity)
    return Planned(Recursive(alias, base, rows, nullable), shown)


def _named(planned: Planned, shown: tuple[str, ...], tools: Tools) -> Project:
    operator = planned.operator
    pairs = zip(shown, planned.outputs, strict=True)
    items = tuple(
        Item(replace(operator.column(old), name=new), ref(operator.alias, old))
        for new, old in pairs
    )
    return Project(tools.alias("p"), operator, items)


def _linear(operator: Operator, scan: str) -> bool:
    """Whether an operator uses each row of the recursive reference by itself."""
    if not any(node.alias == scan for node in operator.walk()):
        return False
    if operator.alias == scan:
        return True
    if isinstance(operator, (Project, Filter, TableFunction)):
        return _linear(operator.child, scan)
    if isinstance(operator, InnerJoin):
        return sum(_reads(part, scan) for part in operator.parts) == 1 and all(
            _linear(part, scan) for part in operator.parts if _reads(part, scan)
        )
    if isinstance(operator, (SemiJoin, LeftJoin)):
        return not _reads(operator.right, scan) and _linear(operator.left, scan)
    inputs = operator.inputs
    return len(inputs) == 1 and not operator.stateful and _linear(inputs[0], scan)


def _reads(operator: Operator, scan: str) -> bool:
    return any(node.alias == scan for node in operator.walk())
