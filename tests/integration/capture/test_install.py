"""Installing, widening, rebuilding and removing capture (protocol B1-B4)."""

from __future__ import annotations

import pytest

from trickle_runtime import errors
from trickle_runtime.capture import buffer, cleanup, install
from trickle_runtime.config import Schemas

from .conftest import Consumer, attnums

S = Schemas()


@pytest.fixture(autouse=True)
def source(write):
    write(
        "CREATE TABLE t (id int PRIMARY KEY, a int, b int);"
        "INSERT INTO t SELECT i, i * 10, i * 100 FROM generate_series(1, 3) i"
    )


def _triggers(session):
    rows = session.execute(
        "SELECT tgname::text AS name, tgenabled::text AS enabled, tgfoid::bigint AS function"
        " FROM pg_trigger WHERE tgrelid = 't'::regclass AND NOT tgisinternal ORDER BY tgname"
    )
    session.commit()
    return rows


def test_install_again_changes_nothing(consumer, session):
    kept = consumer("t")
    before = _triggers(session)
    result = kept.capture()
    assert (result.mode, result.buffer_version, result.reason) == ("statement", 1, None)
    assert _triggers(session) == before
    assert [row["enabled"] for row in before] == ["A"] * 4


def test_subset_of_the_captured_columns_needs_nothing(consumer):
    consumer("t")
    assert consumer("t", "a").capture().buffer_version == 1


def test_unknown_relation(session):
    with pytest.raises(errors.SourceNotFound):
        install.ensure_capture(session, S, 4_000_000_000, [1])


def test_unknown_column(session):
    relid = session.execute("SELECT 't'::regclass::oid::bigint AS r")[0]["r"]
    with pytest.raises(errors.SourceChanged):
        install.ensure_capture(session, S, relid, [1, 9])


def test_an_open_writer_is_waited_for_in_short_turns(consumer, session, other):
    """B4: it gives up before the deadlock check; other writers get through."""
    writer = other()
    writer.execute("UPDATE t SET a = 1 WHERE id = 1")
    made = Consumer(session, "t", attnums(session, "t")).register()
    with pytest.raises(errors.DatabaseError) as raised:
        install.ensure_capture(session, S, made.relid, made.attnums, attempts=1)
    assert raised.value.sqlstate == "55P03"
    assert raised.value.transient
    assert _triggers(session) == []
    assert made.store.buffers(made.relid) == []
    session.commit()
    writer.commit()
    assert made.capture() == install.CaptureResult("statement", 1)


def test_a_failed_widening_leaves_nothing_behind(consumer, session, other, write):
    narrow = consumer("t", "a")
    writer = other()
    writer.execute("UPDATE t SET a = 1 WHERE id = 1")
    wide = Consumer(session, "t", attnums(session, "t")).register()
    with pytest.raises(errors.DatabaseError):
        install.ensure_capture(session, S, wide.relid, wide.attnums, attempts=2)
    assert len(narrow.store.buffers(narrow.relid)) == 1
    session.commit()
    writer.commit()
    assert narrow.refresh() == "differential"


def test_a_failed_rebuild_is_an_issue_until_it_succeeds(consumer, session, other, write, issues):
    """Its readers do not see the buffer any more that writers still use."""
    kept = consumer("t")
    write("ALTER TABLE t DISABLE TRIGGER USER")
    writer = other()
    writer.execute("UPDATE t SET a = 1 WHERE id = 1")
    with pytest.raises(errors.DatabaseError):
        install.repair(session, S, kept.relid, "to try it", attempts=1)
    assert len(issues()) == 1
    writer.commit()
    assert kept.capture().mode == "statement"
    assert issues() == []
    assert kept.refresh() == "difference"


def test_install_waits_for_a_writer_older_than_it(session, other, until_blocked, wait_until):
    writer = other()
    writer.execute("INSERT INTO t VALUES (10, 1, 1)")
    made = Consumer(session, "t", attnums(session, "t")).register()
    capture = until_blocked(session, made.capture)
    writer.commit()
    capture.result()
    made.fill()
    assert made.refresh() == "nothing"


def test_a_snapshot_older_than_the_trigger_still_fires_it(consumer, other):
    """An RR writer with a snapshot of before, and a statement prepared before."""
    writer = other()
    writer.execute(
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class"
    )
    prepared = other()
    prepared.execute("PREPARE p AS INSERT INTO t VALUES ($1, 0, 0)")
    prepared.execute("EXECUTE p(20)")
    prepared.commit()
    kept = consumer("t")
    writer.execute("INSERT INTO t VALUES (10, 1, 1)")
    writer.commit()
    prepared.execute("EXECUTE p(21)")
    prepared.commit()
    assert kept.pending().changes == 2
    assert kept.refresh() == "differential"


def test_widening_keeps_what_is_pending(consumer, write, session):
    """C30, B2: the old consumer reads both buffers, the new one the wide one."""
    narrow = consumer("t", "a")
    write("UPDATE t SET a = 11 WHERE id = 1")
    wide = consumer("t", "a", "b")
    union = buffer.delta_relation(session, S, narrow.relid, narrow.attnums)
    session.commit()
    assert len(union.buffers) == 2
    write("UPDATE t SET a = 12 WHERE id = 1; UPDATE t SET b = 0 WHERE id = 2")
    assert wide.pending().changes == 2
    assert narrow.pending().changes == 3
    assert wide.refresh() == "differential"
    assert narrow.refresh() == "differential"
    assert [row["enabled"] for row in _triggers(session)] == ["A"] * 4
    cleanup.cleanup(session, S)
    union = buffer.delta_relation(session, S, narrow.relid, narrow.attnums)
    session.commit()
    assert union.buffers == (f'"pgtrickle_changes"."changes_{narrow.relid}_2"',)
    write("DELETE FROM t")
    assert wide.refresh() == "differential"
    assert narrow.refresh() == "differential"


def test_widening_waits_for_a_transaction_open_across_it(consumer, session, other, until_blocked):
    """B2, second case: its rows of before and after must not land in different worlds."""
    narrow = consumer("t", "a")
    writer = other()
    writer.execute("INSERT INTO t VALUES (5, 10, 100)")
    wide = Consumer(session, "t", attnums(session, "t")).register()
    widening = until_blocked(session, wide.capture)
    writer.execute("INSERT INTO t VALUES (6, 10, 100)")
    writer.commit()
    widening.result()
    wide.fill()
    writer.execute("INSERT INTO t VALUES (7, 10, 100)")
    writer.commit()
    assert wide.refresh() == "differential"
    assert narrow.refresh() == "differential"


def test_widening_waits_for_a_writer_inside_the_old_function(
    consumer, session, other, until_blocked
):
    """B2, first case: a writer that waits for the old buffer."""
    narrow = consumer("t", "a")
    holder, writer = other(), other()
    holder.execute(f"LOCK TABLE pgtrickle_changes.changes_{narrow.relid}_1 IN SHARE MODE")
    insert = until_blocked(writer, lambda: writer.execute("INSERT INTO t VALUES (5, 10, 100)"))
    wide = Consumer(session, "t", attnums(session, "t")).register()
    widening = until_blocked(session, wide.capture)
    holder.commit()
    insert.result()
    writer.commit()
    widening.result()
    wide.fill()
    assert wide.refresh() == "nothing"
    assert narrow.refresh() == "differential"


def test_widening_waits_for_no_pass(consumer, session, other):
    """B3: a pass reads source and buffer; writers must not queue behind its end."""
    narrow = consumer("t", "a")
    reader = other()
    reader.execute(
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;"
        f"LOCK TABLE t, pgtrickle_changes.changes_{narrow.relid}_1 IN ACCESS SHARE MODE"
    )
    wide = Consumer(session, "t", attnums(session, "t")).register()
    assert install.ensure_capture(session, S, wide.relid, wide.attnums, attempts=1)
    reader.rollback()


def test_a_writer_between_the_two_steps_of_widening(consumer, session, monkeypatch, write):
    narrow = consumer("t", "a")
    switch = install._switch

    def write_first(*arguments):
        write("UPDATE t SET a = a + 1")
        return switch(*arguments)

    monkeypatch.setattr(install, "_switch", write_first)
    wide = Consumer(session, "t", attnums(session, "t")).register()
    wide.capture()
    wide.fill()
    write("UPDATE t SET a = a + 1")
    assert wide.refresh() == "differential"
    assert narrow.refresh() == "differential"


def test_an_interrupted_widening_is_resumed(consumer, session, monkeypatch, write, issues):
    narrow = consumer("t", "a")
    with monkeypatch.context() as patch:
        patch.setattr(install, "_switch", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        wide = Consumer(session, "t", attnums(session, "t")).register()
        with pytest.raises(KeyboardInterrupt):
            wide.capture()
    write("UPDATE t SET a = a + 1")
    assert issues() == []
    assert narrow.refresh() == "differential"
    cleanup.cleanup(session, S)
    write("UPDATE t SET a = a + 1")
    assert wide.capture().mode == "statement"
    wide.fill()
    write("UPDATE t SET a = a + 1")
    assert wide.refresh() == "differential"
    assert narrow.refresh() == "differential"
    cleanup.cleanup(session, S)
    assert len(narrow.store.buffers(narrow.relid)) == 1


def test_the_source_changes_between_the_two_steps(session, monkeypatch, write):
    switch = install._switch
    calls = []

    def change_first(*arguments):
        calls.append(1)
        if len(calls) == 1:
            write("ALTER TABLE t ALTER a TYPE bigint")
        return switch(*arguments)

    monkeypatch.setattr(install, "_switch", change_first)
    made = Consumer(session, "t", attnums(session, "t")).register()
    assert made.capture().buffer_version == 2
    made.fill()
    write("INSERT INTO t VALUES (10, 3000000000, 1)")
    assert made.refresh() == "differential"


def test_two_sessions_widen_at_the_same_time(consumer, session, other, until_blocked, wait_until):
    narrow = consumer("t", "id")
    writer, second = other(), other()
    writer.execute("INSERT INTO t VALUES (10, 1, 1)")
    one = Consumer(session, "t", attnums(session, "t", "a")).register()
    two = Consumer(second, "t", attnums(session, "t", "b")).register()
    session.commit()
    first = until_blocked(session, one.capture)
    also = until_blocked(second, two.capture)
    writer.commit()
    first.result()
    also.result()
    one.fill()
    two.fill()
    writer.execute("UPDATE t SET a = 5, b = 6")
    writer.commit()
    assert one.refresh() == "differential"
    assert two.refresh() == "differential"
    assert narrow.refresh() == "differential"
    assert one.store.buffers(one.relid)[-1].columns == (1, 2, 3)


def test_provisional_frontier_keeps_changes(consumer, session, write):
    """B1: another consumer refreshes, and cleanup runs, while a new one is being filled."""
    first = consumer("t")
    second = Consumer(session, "t", attnums(session, "t")).register()
    second.capture()
    snapshot = session.execute("SELECT pg_current_snapshot()::text AS s")[0]["s"]
    session.commit()
    write("INSERT INTO t VALUES (10, 1, 1)")
    assert first.refresh() == "differential"
    assert cleanup.cleanup(session, S) == 0
    second._advance(snapshot)
    session.commit()
    assert second.pending().changes == 1
    second.fill()
    assert cleanup.cleanup(session, S) == 1


def test_drop_capture_leaves_nothing(consumer, session, write, issues):
    kept = consumer("t")
    write("INSERT INTO t VALUES (10, 1, 1); TRUNCATE t")
    install.drop_capture(session, S, kept.relid)
    assert _triggers(session) == []
    assert (
        session.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'pgtrickle_changes'::regnamespace"
            " AND relkind IN ('r', 'v')"
            " UNION ALL SELECT proname FROM pg_proc"
            " WHERE pronamespace = 'pgtrickle_changes'::regnamespace"
        )
        == []
    )
    session.commit()
    assert issues() == ["trigger_changed"]
    write("INSERT INTO t VALUES (11, 1, 1)")


def test_capture_that_was_lost_is_a_difference_for_its_consumers(consumer, session, write):
    kept = consumer("t")
    install.drop_capture(session, S, kept.relid)
    write("INSERT INTO t VALUES (10, 1, 1)")
    assert kept.capture().mode == "statement"
    assert kept.pending().failed
    assert kept.refresh() == "difference"
    write("INSERT INTO t VALUES (11, 1, 1)")
    assert kept.refresh() == "differential"


def test_repair_is_a_difference_for_every_consumer(consumer, session, write):
    one, two = consumer("t"), consumer("t", "a")
    write("INSERT INTO t VALUES (10, 1, 1)")
    write("ALTER TABLE t DISABLE TRIGGER USER")
    assert install.repair(session, S, one.relid, "to try it").buffer_version == 2
    assert install.repair(session, S, one.relid, "once more").buffer_version == 2
    write("INSERT INTO t VALUES (11, 1, 1)")
    assert one.pending().message == "to try it"
    assert one.refresh() == "difference"
    assert one.refresh() == "nothing"
    assert two.refresh() == "difference"
    write("INSERT INTO t VALUES (12, 1, 1)")
    assert two.refresh() == "differential"
    cleanup.cleanup(session, S)
    assert len(one.store.buffers(one.relid)) == 1
    assert one.session.execute("SELECT * FROM pgtrickle.pgt_markers") == []


def test_two_prefixes_on_one_source(consumer, session, write):
    from trickle_runtime.catalog import migrate

    kept = consumer("t")
    second = Schemas("second")
    migrate.install(session, second)
    install.ensure_capture(session, second, kept.relid, kept.attnums)
    write("INSERT INTO t VALUES (10, 1, 1)")
    count = session.execute(f"SELECT count(*) AS n FROM second_changes.changes_{kept.relid}")
    assert count == [{"n": 1}]
    migrate.uninstall(session, second)
    assert len(_triggers(session)) == 4
    write("INSERT INTO t VALUES (11, 1, 1)")
    assert kept.refresh() == "differential"


def test_relations_without_triggers_are_polled(session, issues):
    session.execute(
        "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a; CREATE TABLE u (a int);"
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
        "CREATE FOREIGN TABLE f (a int) SERVER s"
    )
    session.commit()
    for name, reason in (("m", "materialized view"), ("f", "foreign table")):
        made = Consumer(session, name, (1,)).register()
        result = made.capture()
        assert (result.mode, result.buffer_version) == ("poll", 0)
        assert reason in (result.reason or "")
        assert made.pending().polled
        assert made.pending().difference
        with pytest.raises(errors.SourceChanged):
            buffer.delta_relation(session, S, made.relid, (1,))
        session.rollback()
    assert issues() == []
