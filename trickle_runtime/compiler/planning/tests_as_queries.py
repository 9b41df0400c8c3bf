"""Subquery tests written as scalar subqueries: their value in any place of an expression.

    EXISTS (Q)      (SELECT count(*) FROM Q) > 0
    x IN (Q)        true if some y equals x, else NULL if some comparison is NULL, else false
    x op ANY (Q)    likewise
    x op ALL (Q)    false if some comparison is false, else NULL if some is NULL, else true

Three-valued logic is kept as PostgreSQL has it (amendment A4). Invariant: pure rewriting of text;
what comes out is planned like any other subquery.
"""

from __future__ import annotations

from sqlglot import exp

from trickle_runtime.compiler.reasons import NotIncremental

TESTED = "tested rows"  # no alias of the query's own
_PLAIN_FREE = ("group", "having", "distinct", "limit", "offset", "with_", "windows")


def is_plain(query: exp.Expr) -> bool:
    """Whether a query is FROM and WHERE with outputs that are computed per row."""
    return isinstance(query, exp.Select) and not any(query.args.get(n) for n in _PLAIN_FREE)


def unwrapped(query: exp.Expr) -> exp.Expr:
    """A query without parentheses around it."""
    while isinstance(query, exp.Subquery) and not query.alias and not query.args.get("limit"):
        query = query.this
    return query


def counted(query: exp.Expr, condition: exp.Expr | None = None) -> exp.Expr:
    """``(SELECT count(*) FROM query WHERE condition) > 0``.

    The condition names the outputs of a query that is not plain as ``outputs`` does.
    """
    count = exp.Anonymous(this="count", expressions=[exp.Star()])
    query = unwrapped(query)
    if is_plain(query) and not query.args.get("laterals"):
        select = query.copy()
        select.set("expressions", [count])
        select.set("order", None)
        if condition is not None:
            where = select.args.get("where")
            both = condition if where is None else exp.and_(where.this, condition, copy=False)
            select.set("where", exp.Where(this=both))
    else:
        named = _named(query)
        select = exp.Select(expressions=[count], from_=exp.From(this=named))
        if condition is not None:
            select.set("where", exp.Where(this=condition))
    return exp.Paren(this=exp.GT(this=exp.Subquery(this=select), expression=exp.Literal.number(0)))


def outputs(query: exp.Expr) -> list[exp.Expr]:
    """What a condition of ``counted`` calls the outputs of a query."""
    query = unwrapped(query)
    if is_plain(query):
        assert isinstance(query, exp.Select)
        return [output.unalias().copy() for output in query.expressions]
    width = len(query.selects) if isinstance(query, exp.Query) else 0
    table = exp.to_identifier(TESTED, quoted=True)
    return [exp.column(f"c{i}", table=table.copy()) for i in range(1, width + 1)]


def wrapped(query: exp.Query) -> exp.Select:
    """The same rows, from a subquery in FROM."""
    named = _named(query)
    table = exp.to_identifier(TESTED, quoted=True)
    columns = [exp.column(f"c{i}", table=table.copy()) for i in range(1, len(query.selects) + 1)]
    return exp.Select(expressions=list(columns), from_=exp.From(this=named))


def is_quantified(node: exp.Expr) -> bool:
    """Whether a node is ``x op ANY (Q)`` or ``x op ALL (Q)``, and not of an array."""
    quantifier = node.args.get("expression")
    is_one = isinstance(quantifier, (exp.Any, exp.All))
    return is_one and isinstance(unwrapped(quantifier.this), exp.Query)


def is_row_comparison(node: exp.Expr) -> bool:
    """Whether a node is ``(x, y) op (Q)`` of a subquery with several outputs."""
    query = node.args.get("expression")
    return isinstance(query, exp.Subquery) and len(_row(node.this)) > 1


def row_compared(node: exp.Expr) -> exp.Expr:
    """The value of ``(x, y) op (Q)``: compared with the one row of Q, NULL if it has none."""
    place = node.args["expression"]
    compared = _comparison(node.this, place, type(node), node)
    query = unwrapped(place)
    if is_plain(query):
        select = query.copy()
        select.set("expressions", [compared])
    else:
        select = exp.Select(expressions=[compared], from_=exp.From(this=_named(query)))
    return exp.Subquery(this=select)


def query_of(node: exp.Expr) -> exp.Expr:
    """The subquery of a test, or of ``ARRAY``."""
    if isinstance(node, exp.Exists):
        return node.this
    if isinstance(node, exp.In):
        return node.args["query"]
    return node.expressions[0] if isinstance(node, exp.Anonymous) else node.args["expression"].this


def _named(query: exp.Expr) -> exp.Expr:
    assert isinstance(query, exp.Query)
    columns = [exp.to_identifier(f"c{i}") for i in range(1, len(query.selects) + 1)]
    name = exp.to_identifier(TESTED, quoted=True)
    alias = exp.TableAlias(this=name, columns=columns)
    return exp.Subquery(this=query.copy(), alias=alias)


def exists(node: exp.Exists) -> exp.Expr:
    """The value of EXISTS."""
    return counted(tested(node))


def tested(node: exp.Exists) -> exp.Expr:
    """The query in EXISTS, without a LIMIT that changes nothing."""
    query = unwrapped(node.this)
    if isinstance(query, exp.Select) and _limit_is_idle(query):
        query = query.copy()
        for clause in ("limit", "order"):
            query.set(clause, None)
    return query


def _limit_is_idle(query: exp.Select) -> bool:
    """Whether a LIMIT leaves at least one row where there is one."""
    limit = query.args.get("limit")
    if limit is None or query.args.get("offset") is not None:
        return False
    value = limit.args.get("count") or limit.args.get("expression")
    return isinstance(value, exp.Literal) and value.name.isdecimal() and int(value.name) > 0


def contained(node: exp.In) -> exp.Expr:
    """The value of IN."""
    return _any(node.this, node.args["query"], exp.EQ)


def quantified(node: exp.Expr, quantifier: exp.Expr) -> exp.Expr:
    """The value of ``x op ANY (Q)`` or ``x op ALL (Q)``."""
    kind = type(node)
    if isinstance(quantifier, exp.Any):
        return _any(node.this, quantifier.this, kind, node)
    compared = _comparison(node.this, quantifier.this, kind, node)
    some_false = counted(quantifier.this, _is(compared, exp.false()))
    some_null = counted(quantifier.this, _is(compared, exp.null()))
    return _case((some_false, exp.false()), (some_null, exp.null()), exp.true())


def _any(
    value: exp.Expr, query: exp.Expr, kind: type[exp.Expr], node: exp.Expr | None = None
) -> exp.Expr:
    compared = _comparison(value, query, kind, node)
    some_true = counted(query, compared)
    if kind is exp.EQ and len(_row(value)) == 1:
        (output,) = outputs(query)
        null_among = counted(query, _is(output, exp.null()))
        null_against = exp.and_(_is(value, exp.null()), counted(query), copy=False)
        some_null: exp.Expr = exp.Paren(this=exp.or_(null_among, null_against, copy=False))
    else:
        some_null = counted(query, _is(compared, exp.null()))
    return _case((some_true, exp.true()), (some_null, exp.null()), exp.false())


def _comparison(
    value: exp.Expr, query: exp.Expr, kind: type[exp.Expr], node: exp.Expr | None
) -> exp.Expr:
    left, right = _row(value), outputs(query)
    if len(left) != len(right):
        raise NotIncremental("SUBQUERY", "a row compared with a subquery of another width")
    if len(left) == 1:
        this, that = _paren(left[0]), _paren(right[0])
    else:
        this, that = (exp.Tuple(expressions=[v.copy() for v in side]) for side in (left, right))
    if node is None:
        return kind(this=this, expression=that)
    copied = node.copy()
    copied.set("this", this)
    copied.set("expression", that)
    return copied


def array(node: exp.Anonymous) -> exp.Expr:
    """``ARRAY(Q)`` as an aggregate; in the order of Q, where it says one."""
    query = unwrapped(node.expressions[0])
    if isinstance(query, exp.Select) and query.args.get("order") is not None and is_plain(query):
        select = query.copy()
        order = select.args["order"]
        select.set("order", None)
        value = select.expressions[0].unalias()
        ordered = exp.Order(this=value.copy(), expressions=order.expressions)
        select.set("expressions", [exp.Anonymous(this="array_agg", expressions=[ordered])])
        return _or_empty(select)
    if isinstance(query, exp.Select) and is_plain(query):
        select = query.copy()
        value = select.expressions[0].unalias().copy()
        select.set("expressions", [exp.Anonymous(this="array_agg", expressions=[value])])
        return _or_empty(select)
    raise NotIncremental("SUBQUERY", "ARRAY() of a query with LIMIT, GROUP BY or the like")


def _or_empty(select: exp.Select) -> exp.Expr:
    empty = exp.Literal.string("{}")
    return exp.Anonymous(this="COALESCE", expressions=[exp.Subquery(this=select), empty])


def _row(value: exp.Expr) -> list[exp.Expr]:
    while isinstance(value, exp.Paren):
        value = value.this
    if isinstance(value, exp.Anonymous) and str(value.this).upper() == "ROW":
        return list(value.expressions)
    return list(value.expressions) if isinstance(value, exp.Tuple) else [value]


def _paren(value: exp.Expr) -> exp.Expr:
    return exp.Paren(this=value.copy())


def _is(value: exp.Expr, what: exp.Expr) -> exp.Expr:
    return exp.Paren(this=exp.Is(this=_paren(value), expression=what))


def _case(
    first: tuple[exp.Expr, exp.Expr], second: tuple[exp.Expr, exp.Expr], default: exp.Expr
) -> exp.Expr:
    ifs = [exp.If(this=test, true=value) for test, value in (first, second)]
    return exp.Paren(this=exp.Case(ifs=ifs, default=default))
