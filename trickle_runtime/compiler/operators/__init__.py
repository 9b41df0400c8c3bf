"""The operators, listed by hand.

Adding one is its file, a line here and a branch in the planner.
"""

from __future__ import annotations

from trickle_runtime.compiler.operators.aggregate import Aggregate
from trickle_runtime.compiler.operators.constant import Constant
from trickle_runtime.compiler.operators.filter import Filter
from trickle_runtime.compiler.operators.inner_join import InnerJoin
from trickle_runtime.compiler.operators.project import Project
from trickle_runtime.compiler.operators.scan import Scan
from trickle_runtime.compiler.operators.union_all import UnionAll

OPERATORS = (Scan, Constant, Filter, Project, InnerJoin, UnionAll, Aggregate)

__all__ = ["OPERATORS"]
