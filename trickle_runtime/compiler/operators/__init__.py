"""The operators, listed by hand.

Adding one is its file, a line here and a branch in the planner.
"""

from __future__ import annotations

from trickle_runtime.compiler.operators.aggregate import Aggregate
from trickle_runtime.compiler.operators.clock import Clock
from trickle_runtime.compiler.operators.constant import Constant
from trickle_runtime.compiler.operators.filter import Filter
from trickle_runtime.compiler.operators.inner_join import InnerJoin
from trickle_runtime.compiler.operators.left_join import LeftJoin
from trickle_runtime.compiler.operators.net import Net
from trickle_runtime.compiler.operators.parameter_filter import ParameterFilter
from trickle_runtime.compiler.operators.partition import Partition
from trickle_runtime.compiler.operators.project import Project
from trickle_runtime.compiler.operators.recompute import Recompute
from trickle_runtime.compiler.operators.recursion_scan import RecursionScan
from trickle_runtime.compiler.operators.recursive import Recursive
from trickle_runtime.compiler.operators.reference import Reference
from trickle_runtime.compiler.operators.repeat import Repeat
from trickle_runtime.compiler.operators.scan import Scan
from trickle_runtime.compiler.operators.semi_join import SemiJoin
from trickle_runtime.compiler.operators.table_function import TableFunction
from trickle_runtime.compiler.operators.top_k import TopK
from trickle_runtime.compiler.operators.union_all import UnionAll
from trickle_runtime.compiler.operators.values import Values

OPERATORS = (
    Scan,
    Constant,
    Values,
    Clock,
    Filter,
    ParameterFilter,
    Project,
    TableFunction,
    Reference,
    Net,
    InnerJoin,
    LeftJoin,
    SemiJoin,
    UnionAll,
    Repeat,
    Aggregate,
    Partition,
    TopK,
    Recursive,
    RecursionScan,
    Recompute,
)

__all__ = ["OPERATORS"]
