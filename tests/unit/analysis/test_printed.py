"""What PostgreSQL prints of a view, as PostgreSQL reads it."""

from __future__ import annotations

from trickle_runtime.analysis.printed import readable

WITH = "WITH RECURSIVE r(a) AS (SELECT {} AS a UNION ALL SELECT r.a FROM r) {} SELECT r.a FROM r"


def test_constants_of_cycle_have_their_type_in_front():
    printed = "CYCLE a, b SET c TO 'y'::text DEFAULT 'it''s USING'::character varying(3) USING p"
    read = "CYCLE a, b SET c TO text 'y' DEFAULT character varying(3) 'it''s USING' USING p"
    assert readable(WITH.format(1, printed)) == WITH.format(1, read)


def test_everything_else_is_left_alone():
    plain = "CYCLE a SET c TO true DEFAULT false USING p"
    for text in (
        WITH.format(1, plain),
        WITH.format("' CYCLE a SET c TO ''y''::text DEFAULT ''n''::text USING p'::text", plain),
        WITH.format("'y'::text", ""),
        'SELECT t."CYCLE", \'y\'::text AS "to" FROM t',
    ):
        assert readable(text) == text
