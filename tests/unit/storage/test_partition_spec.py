from __future__ import annotations

import pytest

from trickle_runtime.compiler.result import OutputColumn
from trickle_runtime.errors import InvalidConfig
from trickle_runtime.storage.partition_spec import PartitionSpec, parse, type_name

COLUMNS = (
    OutputColumn("id", "integer"),
    OutputColumn("Region", "text"),
    OutputColumn("region", "text"),
    OutputColumn("day", "date"),
    OutputColumn("at", "timestamp(3) with time zone"),
    OutputColumn("price", "numeric(10,2)"),
    OutputColumn("any_number", "numeric"),
    OutputColumn("ratio", "double precision"),
    OutputColumn("doc", "json", equality=False),
    OutputColumn("Odd, name: x", "integer"),
)


@pytest.mark.parametrize("text", [None, "", "  "])
def test_nothing_asked(text: str | None) -> None:
    assert parse(text, COLUMNS) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id", PartitionSpec("RANGE", ("id",))),
        (" id , day ", PartitionSpec("RANGE", ("id", "day"))),
        ("ID", PartitionSpec("RANGE", ("id",))),
        ("Region", PartitionSpec("RANGE", ("Region",))),
        ('range:"Odd, name: x"', PartitionSpec("RANGE", ("Odd, name: x",))),
        ("LIST:region", PartitionSpec("LIST", ("region",))),
        ("hash:id", PartitionSpec("HASH", ("id",), modulus=4)),
        ("HASH:id,region:16", PartitionSpec("HASH", ("id", "region"), modulus=16)),
        ("RANGE:day:Month", PartitionSpec("RANGE", ("day",), step="month", step_type="date")),
        (
            "RANGE:at:week",
            PartitionSpec("RANGE", ("at",), step="week", step_type="timestamp(3) with time zone"),
        ),
        (
            "RANGE:id:10000",
            PartitionSpec("RANGE", ("id",), step="10000", step_type="integer"),
        ),
        (
            "RANGE:price:0.50",
            PartitionSpec("RANGE", ("price",), step="0.5", step_type="numeric(10,2)"),
        ),
        ("RANGE:any_number:1e3", PartitionSpec("RANGE", ("any_number",), None, "1000", "numeric")),
    ],
)
def test_accepted(text: str, expected: PartitionSpec) -> None:
    assert parse(text, COLUMNS) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nope", "has no column 'nope'"),
        ("REGION", "has no column 'REGION'"),  # two columns are alike: neither is guessed
        ('"ID"', "has no column 'ID'"),
        ("id,id", "named twice"),
        ("RANGE:", "has no column ''"),
        ("SPLIT:id", "no method 'SPLIT'"),
        ("LIST:id,day", "exactly one column"),
        ("LIST:id:4", "too much"),
        ("HASH:id:", "not a number of partitions"),
        ("HASH:id:x", "not a number of partitions"),
        ("HASH:id:-4", "not a number of partitions"),
        ("HASH:id:1", "2 to 256"),
        ("HASH:id:257", "2 to 256"),
        ("HASH:id:4:4", "too much"),
        ("RANGE:id,day:month", "exactly one column"),
        ("RANGE:id:month", "needs a date"),
        ("RANGE:day:10", "needs an integer"),
        ("RANGE:day:decade", "no step"),
        ("RANGE:id:0", "no step"),
        ("RANGE:id:-5", "no step"),
        ("RANGE:id:NaN", "no step"),
        ("RANGE:id:0.5", "finer"),
        ("RANGE:price:0.001", "finer"),
        ("RANGE:ratio:10", "needs an integer"),
        ("HASH:doc", "has no order or hash"),
        ('"id', "not closed"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidConfig) as error:
        parse(text, COLUMNS)
    assert message in error.value.message


def test_an_unknown_column_is_answered_with_the_available_ones() -> None:
    with pytest.raises(InvalidConfig) as error:
        parse("LIST:country", COLUMNS)
    assert error.value.message == "partition_by 'LIST:country': the query has no column 'country'"
    assert "id, Region, region, day" in str(error.value.hint)


def test_layout_ignores_the_step() -> None:
    plain, monthly = parse("day", COLUMNS), parse("RANGE:day:month", COLUMNS)
    assert plain is not None
    assert plain.same_layout(monthly)
    assert not plain.same_layout(parse("HASH:day", COLUMNS))
    assert not plain.same_layout(None)


@pytest.mark.parametrize(
    ("formatted", "name"),
    [
        ("timestamp with time zone", "timestamptz"),
        ("timestamp(0) without time zone", "timestamp"),
        ("numeric(12,2)", "numeric"),
        ("bigint", "bigint"),
    ],
)
def test_type_name(formatted: str, name: str) -> None:
    assert type_name(formatted) == name
