"""A stream table is dropped from below others, and something else takes its name."""

from __future__ import annotations

import pytest

from tests.integration.refresh.conftest import TOTALS
from trickle_runtime.errors import HasDependants

GRAND_TOTAL = "SELECT sum(total) AS total FROM public.totals"


@pytest.fixture
def chain(rt, orders):
    rt.create_stream_table("public.totals", TOTALS)
    rt.create_stream_table("public.grand_total", GRAND_TOTAL)


def test_only_on_request(rt, chain):
    with pytest.raises(HasDependants):
        rt.drop_stream_table("public.totals")


def test_the_table_above_reads_what_has_the_name_now(rt, sql, chain, oracle):
    assert rt.drop_stream_table("public.totals", detach=True) == ['"public"."totals"']
    sql(f"CREATE TABLE public.totals AS {TOTALS}")
    rt.refresh("public.grand_total")
    sql("UPDATE public.totals SET total = total + 1")
    assert rt.refresh("public.grand_total").rows_in == 3
    oracle(rt, "public.grand_total")
    assert sql.value("SELECT count(*) FROM pg_class WHERE relname ~ '^log_'") == 0


def test_a_stream_table_may_take_the_name_again(rt, sql, chain, oracle):
    rt.drop_stream_table("public.totals", detach=True)
    rt.create_stream_table("public.totals", TOTALS)
    sql("INSERT INTO orders VALUES (1000, 1, 5)")
    rt.refresh("public.grand_total")
    oracle(rt, "public.grand_total")
