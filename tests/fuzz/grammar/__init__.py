"""A grammar of PostgreSQL's SELECT that writes random, well-typed, deterministic queries.

``queries`` is the top; a part calls the others for what stands inside of it. Invariant: the rows
of a query, as a bag, follow from the tables; see ``sqltypes`` on exactness, ``selects`` on order.
"""
