"""Which expressions can't be NULL; conservative: unknown shapes can."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from trickle_runtime.compiler.operators.base import Operator
from trickle_runtime.compiler.volatility import function_name

# Operators outside pg_catalog are printed as OPERATOR(…), so these are PostgreSQL's own.
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.DPipe)
# Functions of pg_catalog that have a value for every value, whatever its type: not lower() and
# upper(), which are bounds of ranges as well.
_TOTAL = frozenset({"abs", "date_trunc", "length", "md5", "round"})


def never_null(expression: exp.Expr, inputs: Sequence[Operator]) -> bool:
    """Whether the expression has a value for every row.

    Args:
        expression: over the inputs' columns.
        inputs: operators that know their columns.
    """
    if isinstance(expression, exp.Column):
        for operator in inputs:
            if operator.alias == expression.table:
                return operator.column(expression.name).not_null
        return False
    if isinstance(expression, (exp.Literal, exp.Boolean)):
        return True
    if isinstance(expression, (exp.Paren, exp.Neg)):
        return never_null(expression.this, inputs)
    if isinstance(expression, exp.Cast):
        return expression.to.this != exp.DType.USERDEFINED and never_null(expression.this, inputs)
    if isinstance(expression, _ARITHMETIC):
        return all(never_null(side, inputs) for side in (expression.this, expression.expression))
    if isinstance(expression, exp.Anonymous):
        return _call(expression, inputs)
    if isinstance(expression, exp.Case):
        values = [branch.args["true"] for branch in expression.args["ifs"]]
        default = expression.args.get("default")
        return default is not None and all(never_null(v, inputs) for v in [*values, default])
    return False


def _call(call: exp.Anonymous, inputs: Sequence[Operator]) -> bool:
    name = function_name(call)
    if name is not None and name.lower() == "coalesce":
        return any(never_null(argument, inputs) for argument in call.expressions)
    return name in _TOTAL and all(never_null(argument, inputs) for argument in call.expressions)
