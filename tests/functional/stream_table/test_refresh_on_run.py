"""``refresh_on_run``: a run refreshes unless a daemon keeps the table fresh."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional import observe

SUBJECT = """
{{{{ config(materialized='stream_table', refresh_on_run={value!r}{more}) }}}}
select id, value from {{{{ ref('numbers') }}}}
"""
QUERY = "select id, value from {schema}.numbers"
HEARTBEAT = (
    "insert into pgtrickle.pgt_workers (worker_id, host, pid, version, heartbeat_at)"
    " values ('w', 'h', 1, '0', now() - interval '{age}')"
)


class TestRefreshOnRun:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,value\n1,10\n2,20\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {"subject.sql": SUBJECT.format(value="auto", more="")}

    @pytest.fixture(autouse=True)
    def built(self, project: Any) -> Any:
        observe.run("seed")
        observe.run("run")
        yield
        observe.execute(project, "delete from pgtrickle.pgt_workers")

    def change_and_run(self, project: Any, value: Any, more: str = "") -> str:
        observe.write_model(project, "subject", SUBJECT.format(value=value, more=more))
        observe.execute(project, "insert into {schema}.numbers values (3, 30)")
        return observe.run("run")["subject"]

    @pytest.mark.parametrize(
        ("value", "age", "refreshed"),
        [
            ("auto", None, True),
            ("auto", "1 second", False),
            ("auto", "1 hour", True),
            (True, "1 second", True),
            (False, None, False),
        ],
    )
    def test_when(self, project: Any, value: Any, age: str | None, refreshed: bool) -> None:
        if age:
            observe.execute(project, HEARTBEAT.replace("{age}", age))
        message = self.change_and_run(project, value)
        assert message.startswith(
            "STREAM TABLE refreshed +1" if refreshed else "STREAM TABLE unchanged"
        )
        assert (observe.difference(project, "subject", QUERY) == []) == refreshed

    def test_a_blown_fuse_is_a_warning(self, project: Any) -> None:
        self.change_and_run(project, "auto", ", fuse='on', fuse_ceiling=2")
        observe.execute(
            project, "insert into {schema}.numbers select g, g from generate_series(4, 20) g"
        )
        message, logs = observe.run_logged("run")
        assert "not refreshed" in message["subject"]
        assert "fuse" in message["subject"]
        assert "trickle_reset_fuse" in logs
        assert observe.setting(project, "subject", "fuse_state") == "blown"
