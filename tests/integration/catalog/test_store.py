"""The store, statement by statement."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from trickle_runtime import errors
from trickle_runtime.catalog.models import Dependency, HistoryEntry
from trickle_runtime.catalog.store import Store
from trickle_runtime.config import Schemas


@pytest.fixture
def store(session):
    session.execute('CREATE SCHEMA "My marts"; CREATE TABLE "My marts"."Rev enue" (a int)')
    return Store(session, Schemas())


@pytest.fixture
def pgt_id(store):
    relid = store.resolve(("My marts", "Rev enue"))
    return store.insert(
        pgt_relid=relid,
        pgt_schema="My marts",
        pgt_name="Rev enue",
        query="select '100%' as x -- %s",
        canonical_query="SELECT '100%'::text AS x",
        plan={"columns": []},
        unique_key=["a", 'b"c'],
        status="active",
    )


def test_insert_and_get(store, pgt_id):
    table = store.get('"My marts"."Rev enue"')
    assert table == store.by_id(pgt_id) == store.get(table.pgt_relid)
    assert table == store.get(("My marts", "Rev enue"))
    assert store.all() == store.all([pgt_id]) == [table]
    assert store.all([]) == []
    assert table.query == "select '100%' as x -- %s"
    assert table.unique_key == ("a", 'b"c')
    assert table.relation == '"My marts"."Rev enue"'
    assert (table.schedule, table.fuse_sensitivity, table.is_populated) == ("1m", 3.0, False)


def test_names_follow_a_rename(store, session, pgt_id):
    session.execute('ALTER TABLE "My marts"."Rev enue" RENAME TO revenue')
    assert store.get('"My marts".revenue').pgt_id == pgt_id
    assert store.find('"My marts"."Rev enue"') is None
    assert store.by_id(pgt_id).pgt_name == "revenue"


def test_not_found(store):
    for missing in ("nowhere.nothing", ("public", "nothing"), 4_000_000_000):
        assert store.find(missing) is None
        with pytest.raises(errors.StreamTableNotFound):
            store.get(missing)
    with pytest.raises(errors.StreamTableNotFound):
        store.by_id(77)
    with pytest.raises(errors.StreamTableNotFound):
        store.update(77, status="paused")


def test_update_leaves_the_rest_alone(store, pgt_id):
    before = store.by_id(pgt_id)
    at = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=timezone.utc)
    store.update(
        pgt_id, next_attempt_at=at, fuse_ceiling=10**12, unique_key=None, mode_reasons=[{"a": 1}]
    )
    after = store.by_id(pgt_id)
    assert (after.next_attempt_at, after.fuse_ceiling, after.unique_key) == (at, 10**12, None)
    assert after.mode_reasons == [{"a": 1}]
    assert (after.query, after.plan) == (before.query, before.plan)
    store.update(pgt_id, next_attempt_at=None)
    assert store.by_id(pgt_id).next_attempt_at is None


def test_dependencies(store, pgt_id):
    rows = [
        Dependency(pgt_id, 20, 'a."b c"', "table", None, (1, 2)),
        Dependency(pgt_id, 30, "v", "view", None, (), "SELECT 1"),
        Dependency(pgt_id, 40, "st", "stream_table", 5, ()),
    ]
    store.set_dependencies(pgt_id, reversed(rows))
    assert store.dependencies(pgt_id) == store.all_dependencies() == rows
    assert store.dependants(30) == [pgt_id]
    store.set_dependencies(pgt_id, [])
    assert store.dependencies(pgt_id) == []


def test_frontier(store, session, pgt_id):
    assert store.frontiers([pgt_id]) == {}
    store.register_frontier(pgt_id)
    first = store.frontiers([pgt_id])[pgt_id]
    assert (first.version, first.provisional, first.refresh_no) == (1, True, 0)
    store.register_frontier(pgt_id)
    assert store.frontiers([pgt_id])[pgt_id] == first
    assert store.advance_frontier(pgt_id, 1, "10:20:15", {"7": 3}, 4)
    assert not store.advance_frontier(pgt_id, 1, "10:20:15", {}, 5)
    second = store.frontiers([pgt_id])[pgt_id]
    assert (second.snapshot, second.upstream, second.refresh_no) == ("10:20:15", {"7": 3}, 4)
    assert (second.version, second.provisional) == (2, False)


def test_history(store, session, pgt_id):
    for number in range(3):
        store.insert_history(
            HistoryEntry(
                pgt_id, "DIFFERENTIAL", "completed", rows_in=number, initiated_by="manual"
            )
        )
    newest, older = store.history(pgt_id, 2)
    assert (newest.rows_in, older.rows_in) == (2, 1)
    assert newest.started_at is not None
    assert len(store.history(None, 10)) == 3
    session.execute("UPDATE pgtrickle.pgt_refresh_history SET started_at = '2020-01-01'")
    store.prune_history()
    assert store.history(pgt_id, 10) == []


def test_compiled(store, pgt_id):
    assert store.get_compiled(pgt_id, "1,2", 1, "v") is None
    store.set_compiled(pgt_id, "1,2", 1, "v", [{"sql": "SELECT '%'"}])
    store.set_compiled(pgt_id, "1,2", 1, "v", [{"sql": "SELECT '%s'"}])
    assert store.get_compiled(pgt_id, "1,2", 1, "v") == [{"sql": "SELECT '%s'"}]
    assert store.get_compiled(pgt_id, "1,2", 2, "v") is None
    store.clear_compiled(pgt_id)
    assert store.get_compiled(pgt_id, "1,2", 1, "v") is None


def test_settings(store):
    assert store.setting("max_parse_depth") == "64"
    store.set_setting("max_parse_depth", "32")
    assert store.settings()["max_parse_depth"] == "32"
    with pytest.raises(errors.InvalidConfig):
        store.setting("max_prase_depth")
    with pytest.raises(errors.InvalidConfig):
        store.set_setting("max_prase_depth", "1")


def test_workers(store, session):
    store.heartbeat("one", "host", 1, "0.1")
    store.heartbeat("one", "host", 1, "0.1")
    store.heartbeat("two", "host", 2, "0.1")
    assert [worker.worker_id for worker in store.workers()] == ["one", "two"]
    store.remove_workers("one")
    session.execute("UPDATE pgtrickle.pgt_workers SET heartbeat_at = now() - interval '2 hours'")
    store.remove_workers(None)
    assert store.workers() == []


def test_delete_takes_everything_along(store, session, pgt_id):
    store.set_dependencies(pgt_id, [Dependency(pgt_id, 20, "a", "table")])
    store.register_frontier(pgt_id)
    store.set_compiled(pgt_id, "1", 1, "v", [])
    store.delete(pgt_id)
    assert store.all() == []
    assert store.all_dependencies() == []
    assert store.frontiers([pgt_id]) == {}
