"""The operators, listed by hand.

Adding one is its file, a line here and a branch in the planner.
"""

from __future__ import annotations

from trickle_runtime.compiler.operators.aggregate import Aggregate
from trickle_runtime.compiler.operators.constant import Constant
from trickle_runtime.compiler.operators.filter import Filter
from trickle_runtime.compiler.operators.inner_join import InnerJoin
from trickle_runtime.compiler.operators.left_join import LeftJoin
from trickle_runtime.compiler.operators.partition import Partition
from trickle_runtime.compiler.operators.project import Project
from trickle_runtime.compiler.operators.repeat import Repeat
from trickle_runtime.compiler.operators.scan import Scan
from trickle_runtime.compiler.operators.semi_join import SemiJoin
from trickle_runtime.compiler.operators.union_all import UnionAll

OPERATORS = (
    Scan,
    Constant,
    Filter,
    Project,
    InnerJoin,
    LeftJoin,
    SemiJoin,
    UnionAll,
    Repeat,
    Aggregate,
    Partition,
)

__all__ = ["OPERATORS"]
