"""A model changes between materializations, both ways; nothing is left behind."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional import observe

MODEL = """
{{{{ config(materialized='{materialized}') }}}}
select id, value + {step} as value from {{{{ ref('numbers') }}}}
"""
SNAPSHOT = """
{% snapshot subject %}
{{ config(unique_key='id', strategy='check', check_cols=['value']) }}
select * from {{ ref('numbers') }} where id < 4
{% endsnapshot %}
"""


def slowly(*kinds: str) -> list[Any]:
    """Kinds that only ``make conformance`` goes through."""
    return [pytest.param(kind, marks=pytest.mark.slow) for kind in kinds]


KINDS = {
    "table": "r",
    "view": "v",
    "incremental": "r",
    "materialized_view": "m",
    "stream_table": "r",
}


class TestSwaps:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,value\n1,10\n2,20\n3,30\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"subject.sql": MODEL.format(materialized="stream_table", step=0)}

    @pytest.fixture(scope="class", autouse=True)
    def seeded(self, project: Any) -> None:
        observe.run("seed")

    def build(self, project: Any, materialized: str, step: int) -> None:
        text = MODEL.format(materialized=materialized, step=step)
        observe.write_model(project, "subject", text)
        observe.run("run", "--select", "subject")
        query = f"select id, value + {step} as value from {{schema}}.numbers"
        assert observe.difference(project, "subject", query) == []
        assert observe.relkind(project, "subject") == KINDS[materialized]
        assert observe.is_stream_table(project, "subject") == (materialized == "stream_table")
        assert observe.orphans(project) == []

    @pytest.mark.parametrize("other", [kind for kind in KINDS if kind != "stream_table"])
    def test_there_and_back(self, project: Any, other: str) -> None:
        self.build(project, "stream_table", 0)
        self.build(project, other, 1)
        self.build(project, "stream_table", 2)
        self.build(project, "stream_table", 2)

    def test_no_capture_outlives_the_last_stream_table(self, project: Any) -> None:
        self.build(project, "stream_table", 0)
        assert observe.triggers(project, "numbers") != []
        self.build(project, "view", 0)
        assert observe.triggers(project, "numbers") == []
        observe.execute(project, "insert into {schema}.numbers values (4, 40)")

    def test_a_snapshot_takes_the_name(self, project: Any) -> None:
        self.build(project, "stream_table", 0)
        (project.project_root / "models" / "subject.sql").remove()
        snapshot = project.project_root / "snapshots" / "subject.sql"
        snapshot.write(SNAPSHOT, ensure=True)
        observe.run("snapshot")
        snapshot.remove()
        assert not observe.is_stream_table(project, "subject")
        assert observe.one(project, "select count(dbt_scd_id) from {schema}.subject") == 3
        assert observe.orphans(project) == []
        observe.execute(project, "insert into {schema}.numbers values (9, 90)")
        self.build(project, "stream_table", 1)

    def test_a_seed_takes_the_name(self, project: Any) -> None:
        self.build(project, "stream_table", 0)
        observe.write_model(project, "subject", "select 1 as unused")
        (project.project_root / "models" / "subject.sql").remove()
        (project.project_root / "seeds" / "subject.csv").write("id\n7\n")
        observe.run("seed", "--select", "subject")
        (project.project_root / "seeds" / "subject.csv").remove()
        assert not observe.is_stream_table(project, "subject")
        assert observe.rows(project, "select id from {schema}.subject") == [(7,)]
        assert observe.orphans(project) == []
        self.build(project, "stream_table", 1)


class TestFateOfDependants:
    """Views on a model: those that dbt's own swap drops, and no others."""

    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,value\n1,10\n2,20\n3,30\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        text = MODEL.format(materialized="stream_table", step=0)
        return {"subject.sql": text, "reader.sql": "select * from {{ ref('subject') }}"}

    @staticmethod
    def build(project: Any, materialized: str, step: int, *only: str) -> None:
        text = MODEL.format(materialized=materialized, step=step)
        observe.write_model(project, "subject", text)
        observe.run("run", *only)

    @staticmethod
    def views(project: Any) -> tuple[bool, bool]:
        found = (
            "to_regclass('{schema}.reader') is not null, to_regclass('{schema}.mine') is not null"
        )
        (row,) = observe.rows(project, f"select {found}")
        return row

    @pytest.fixture(autouse=True)
    def nothing(self, project: Any) -> None:
        """dbt-postgres loses sight of the views on a table that gives way to a matview."""
        found = "select from pg_class where relname = 'subject' and relkind = 'r'"
        if observe.rows(project, found):
            observe.execute(project, "drop table {schema}.subject cascade")

    @pytest.mark.parametrize(
        "other", ["table", *slowly("view", "incremental", "materialized_view")]
    )
    def test_of_a_swap(self, project: Any, other: str) -> None:
        observe.run("seed", "--full-refresh")
        for before, after in ((other, "stream_table"), ("stream_table", other)):
            self.build(project, before, 0)
            observe.execute(project, "create view {schema}.mine as table {schema}.subject")
            self.build(project, after, 1, "--select", "subject")
            assert self.views(project) == (False, False), (before, after)
            observe.run("run", "--select", "reader")
            query = "select id, value + 1 as value from {schema}.numbers"
            assert observe.difference(project, "reader", query) == []

    def test_of_an_edit_in_place(self, project: Any) -> None:
        observe.run("seed", "--full-refresh")
        self.build(project, "stream_table", 0)
        observe.execute(project, "create view {schema}.mine as table {schema}.subject")
        self.build(project, "stream_table", 1, "--select", "subject")
        assert self.views(project) == (True, True)
        query = "select id, value + 1 as value from {schema}.numbers"
        for name in ("reader", "mine"):
            assert observe.difference(project, name, query) == []


DEPENDANT = """
{{ config(materialized='stream_table') }}
select count(*) as n, sum(value) as total from {{ ref('subject') }}
"""


class TestSwapBelowAStreamTable:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,value\n1,10\n2,20\n3,30\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        subject = MODEL.format(materialized="stream_table", step=0)
        return {"subject.sql": subject, "above.sql": DEPENDANT}

    @pytest.mark.parametrize("other", ["table", *slowly("view", "incremental")])
    def test_a_dependant_follows(self, project: Any, other: str) -> None:
        observe.run("seed", "--full-refresh")
        query = "select count(*) as n, sum(value) as total from {schema}.subject"
        for step, kind in enumerate(("stream_table", other, "stream_table")):
            text = MODEL.format(materialized=kind, step=step)
            observe.write_model(project, "subject", text)
            observe.run("run")
            assert observe.difference(project, "above", query) == []
            observe.execute(project, f"insert into {{schema}}.numbers values ({step + 10}, 1)")
            observe.run("run")
            assert observe.difference(project, "above", query) == []
        assert observe.orphans(project) == []
