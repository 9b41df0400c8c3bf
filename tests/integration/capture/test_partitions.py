"""Partitioned sources and inheritance (protocol A5, C4; scenario C20)."""

from __future__ import annotations

import pytest

from trickle_runtime import errors
from trickle_runtime.capture import fingerprint, install
from trickle_runtime.config import Schemas

from .conftest import Consumer, attnums

S = Schemas()


@pytest.fixture(params=["unique", "guarded", "open"])
def mode(request, write):
    """How foreign partitions are kept out: by a unique index, by us, not at all."""
    if request.param == "open":
        write("UPDATE pgtrickle.pgt_settings SET value = 'off' WHERE name = 'block_source_ddl'")
    return request.param


@pytest.fixture
def partitioned(write, mode):
    key = ", UNIQUE (k, id)" if mode == "unique" else ""
    write(
        f"CREATE TABLE p (k int, v int, id float8 DEFAULT random(){key}) PARTITION BY RANGE (k);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);"
        "CREATE TABLE p2 (id float8, v int, extra int, k int); ALTER TABLE p2 DROP COLUMN extra;"
        "ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20);"
        "CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (20) TO (40) PARTITION BY RANGE (k);"
        "CREATE TABLE p31 PARTITION OF p3 FOR VALUES FROM (20) TO (30);"
        "INSERT INTO p SELECT i, i FROM generate_series(0, 29) i"
    )


WRITES = {
    "through_the_parent": "INSERT INTO p VALUES (5, 1), (15, 1), (25, 1)",
    "at_a_partition": "INSERT INTO p2 (k, v) VALUES (15, 1); UPDATE p1 SET v = 0; DELETE FROM p31",
    "at_a_level_between": "INSERT INTO p3 VALUES (25, 1, 99); UPDATE p3 SET v = v + 1",
    "rows_that_move": "UPDATE p SET k = k + 10 WHERE k BETWEEN 5 AND 12",
    "update": "UPDATE p SET v = v + 1",
    "no_change": "UPDATE p SET v = v",
    "merge": (
        "MERGE INTO p USING (VALUES (1), (28), (17)) s (k) ON p.k = s.k"
        " WHEN MATCHED AND p.k < 20 THEN DELETE WHEN MATCHED THEN UPDATE SET v = -1"
    ),
}


@pytest.mark.parametrize("name", WRITES)
def test_write(consumer, write, partitioned, name):
    kept = consumer("p")
    write(WRITES[name])
    assert kept.refresh() == ("nothing" if name == "no_change" else "differential")


def test_triggers_are_always_enabled_and_on_each_level(consumer, session, partitioned, mode):
    kept = consumer("p")
    assert kept.capture().mode == ("row" if mode == "open" else "statement")
    rows = session.execute(
        "SELECT tgrelid::regclass::text AS t, count(*) AS n,"
        " string_agg(DISTINCT tgenabled::text, '') FILTER (WHERE tgconstraint = 0) AS e"
        " FROM pg_trigger WHERE tgname LIKE 'pgtrickle%' GROUP BY 1 ORDER BY 1"
    )
    count = {"open": 2, "unique": 6, "guarded": 7}[mode]
    assert rows == [{"t": t, "n": count, "e": "A"} for t in ("p", "p1", "p2", "p3", "p31")]


@pytest.mark.parametrize("table", ["p", "p1", "p3", "p31"])
def test_truncate_of_any_level(consumer, write, partitioned, table):
    kept = consumer("p")
    write(f"TRUNCATE {table}")
    assert kept.refresh() == "difference"


CHANGES = {
    "attach": (
        "CREATE TABLE q (k int, v int, id float8); INSERT INTO q VALUES (45, 1);"
        "ALTER TABLE p ATTACH PARTITION q FOR VALUES FROM (40) TO (50)"
    ),
    "detach": "ALTER TABLE p DETACH PARTITION p1",
    "create": "CREATE TABLE p4 PARTITION OF p FOR VALUES FROM (40) TO (50)",
    "drop": "DROP TABLE p1",
    "deeper": "CREATE TABLE p32 PARTITION OF p3 FOR VALUES FROM (30) TO (40)",
}


@pytest.mark.parametrize("name", CHANGES)
def test_partition_set(consumer, session, write, partitioned, issues, name):
    kept = consumer("p")
    write(CHANGES[name])
    assert issues() == ["partitions_changed"]
    install.repair(session, S, kept.relid, name)
    assert issues() == []
    assert kept.refresh() == "difference"
    write("INSERT INTO p VALUES (15, 3); UPDATE p SET v = v + 1; TRUNCATE p2")
    assert kept.refresh() == "difference"


PASSING = {
    "created_and_dropped": "INSERT INTO p VALUES (41, 1); DROP TABLE q",
    "written_directly": "INSERT INTO q VALUES (41, 1); ALTER TABLE p DETACH PARTITION q",
    "deleted_from": "DELETE FROM p WHERE k = 45; ALTER TABLE p DETACH PARTITION q",
    "updated": "UPDATE p SET v = v + 1; ALTER TABLE p DETACH PARTITION q",
    "moved_into": "UPDATE p SET k = 46 WHERE k = 3; DROP TABLE q",
    "moved_out_of": "UPDATE p SET k = 4 WHERE k = 45; DROP TABLE q",
}


@pytest.mark.parametrize("name", PASSING)
def test_a_partition_that_came_and_went_between_two_refreshes(
    consumer, session, write, partitioned, issues, name
):
    """The set of partitions is what it was; the rows are not what was captured."""
    kept = consumer("p")
    write(CHANGES["attach"])
    write(PASSING[name])
    assert issues() == ["marker_failure"]
    install.repair(session, S, kept.relid, name)
    assert kept.refresh() == "difference"
    write("UPDATE p SET v = 0")
    assert kept.refresh() == "differential"


def test_a_partition_that_was_away_for_a_while(consumer, session, write, partitioned, issues):
    kept = consumer("p")
    write("ALTER TABLE p DETACH PARTITION p1; INSERT INTO p1 VALUES (3, 3); TRUNCATE p1")
    write("ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (10)")
    assert issues() == ["partitions_changed"]
    install.repair(session, S, kept.relid, "back")
    assert kept.refresh() == "difference"


def test_a_detach_that_was_left_half_way(
    consumer, session, write, partitioned, issues, half_detach
):
    """A5: readers of the parent see the rows of the partition no more."""
    kept = consumer("p")
    half_detach("p", "p1")
    assert issues() == ["partitions_changed"]
    install.repair(session, S, kept.relid, "detaching")
    assert issues() == []
    assert kept.refresh() == "difference"
    write("INSERT INTO p VALUES (15, 3); UPDATE p SET v = v + 1 WHERE k < 20")
    assert kept.refresh() == "differential"
    write("UPDATE p1 SET v = 0")
    kept.refresh()
    write("ALTER TABLE p DETACH PARTITION p1 FINALIZE")
    assert set(issues()) <= {"partitions_changed"}
    install.repair(session, S, kept.relid, "detached")
    assert kept.refresh() == "difference"
    write("UPDATE p SET v = v + 1; UPDATE p1 SET v = 5")
    assert kept.refresh() == "differential"


def test_a_new_partition(consumer, session, write, partitioned, issues):
    kept = consumer("p")
    write(CHANGES["create"])
    write("INSERT INTO p4 VALUES (41, 1); INSERT INTO p VALUES (42, 1); TRUNCATE p4")
    assert len(issues()) == 1
    install.repair(session, S, kept.relid, "new")
    write("INSERT INTO p4 VALUES (43, 1)")
    assert kept.refresh() == "difference"
    write("INSERT INTO p4 VALUES (44, 1); INSERT INTO p VALUES (45, 1)")
    assert kept.refresh() == "differential"


def test_a_detached_partition_keeps_nothing_of_ours(consumer, session, write, partitioned):
    kept = consumer("p")
    write("ALTER TABLE p DETACH PARTITION p1")
    install.repair(session, S, kept.relid, "detached")
    assert (
        session.execute(
            "SELECT tgname FROM pg_trigger"
            " WHERE tgrelid = 'p1'::regclass AND tgname LIKE 'pgtrickle%'"
        )
        == []
    )


def test_attach_under_a_running_pass(consumer, write, partitioned):
    """A5: it needs no lock that ours conflicts with, and the same snapshot then sees more rows."""
    kept = consumer("p")
    kept.begin()
    assert fingerprint.check(kept.session, S) == []
    assert fingerprint.check_partitions(kept.session, S, [kept.relid]) == []
    write(CHANGES["attach"])
    issues = fingerprint.check_partitions(kept.session, S, [kept.relid])
    assert [(issue.relid, issue.kind) for issue in issues] == [(kept.relid, "partitions_changed")]


@pytest.mark.parametrize("mode", ["open"], indirect=True)
def test_a_foreign_partition_is_polled(session, write, partitioned):
    """Protocol C4: and inserts that are routed elsewhere go on."""
    write(
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
        "CREATE FOREIGN TABLE p9 PARTITION OF p FOR VALUES FROM (90) TO (99) SERVER s"
    )
    made = Consumer(session, "p", attnums(session, "p")).register()
    result = made.capture()
    assert result.mode == "poll"
    assert "foreign" in (result.reason or "")


@pytest.mark.parametrize("mode", ["open"], indirect=True)
def test_a_foreign_partition_attached_later(consumer, session, write, partitioned, issues):
    kept = consumer("p")
    write(
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
        "CREATE FOREIGN TABLE p9 PARTITION OF p FOR VALUES FROM (90) TO (99) SERVER s"
    )
    write("INSERT INTO p VALUES (1, 1)")
    assert len(issues()) == 1
    assert install.repair(session, S, kept.relid, "foreign").mode == "poll"
    assert issues() == []
    assert kept.pending().polled
    write("DROP FOREIGN TABLE p9")
    assert kept.capture().mode == "row"
    assert kept.pending().failed
    kept.fill()
    write("INSERT INTO p VALUES (1, 1)")
    assert kept.refresh() == "differential"


@pytest.mark.parametrize("mode", ["unique", "guarded"], indirect=True)
def test_foreign_partitions_are_kept_out(consumer, session, write, partitioned, issues):
    """With transition tables, an application's UPDATE would fail on one."""
    kept = consumer("p")
    write("CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w")
    foreign = "CREATE FOREIGN TABLE {} PARTITION OF {} FOR VALUES FROM ({}) TO ({}) SERVER s"
    for values in (("p9", "p", 90, 99), ("p39", "p3", 38, 39)):
        with pytest.raises(errors.DatabaseError, match="foreign"):
            write(foreign.format(*values))
    write("UPDATE p SET v = v + 1")
    assert kept.refresh() == "differential"


@pytest.mark.parametrize("mode", ["guarded"], indirect=True)
def test_the_owner_can_let_them_in(consumer, session, write, partitioned, issues):
    kept = consumer("p")
    write(
        f"DROP TRIGGER pgtrickle_{kept.relid}_guard ON p;"
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
        "CREATE FOREIGN TABLE p9 PARTITION OF p FOR VALUES FROM (90) TO (99) SERVER s"
    )
    assert len(issues()) == 1
    assert install.repair(session, S, kept.relid, "foreign").mode == "poll"
    write("UPDATE p SET v = v + 1 WHERE k = 3")


@pytest.mark.parametrize("mode", ["unique"], indirect=True)
def test_the_unique_index_is_dropped(consumer, session, write, partitioned, issues):
    kept = consumer("p")
    write("ALTER TABLE p DROP CONSTRAINT p_k_id_key")
    assert len(issues()) == 1
    install.repair(session, S, kept.relid, "index")
    assert session.execute(
        "SELECT count(*) AS n FROM pg_trigger WHERE tgrelid = 'p'::regclass AND tgname ~ 'guard'"
    ) == [{"n": 1}]


def test_partitions_are_widened_together(consumer, write, partitioned):
    narrow = consumer("p", "k")
    write("INSERT INTO p VALUES (3, 3)")
    wide = consumer("p")
    write("UPDATE p1 SET v = 7; INSERT INTO p2 (k, v) VALUES (11, 11); DELETE FROM p WHERE k > 25")
    assert wide.refresh() == "differential"
    assert narrow.refresh() == "differential"


def test_the_owner_of_the_table_creates_partitions(role_admin, role_session):
    """PostgreSQL asks the creator of a partition for EXECUTE on the function it clones."""
    role = role_session.execute("SELECT current_user::text AS u")[0]["u"]
    role_session.commit()
    role_admin.execute(
        "CREATE ROLE partition_owner; GRANT CREATE, USAGE ON SCHEMA public TO partition_owner;"
        "SET ROLE partition_owner; CREATE TABLE public.p (k int) PARTITION BY RANGE (k);"
        f'GRANT SELECT, TRIGGER ON public.p TO "{role}"; RESET ROLE'
    )
    role_admin.commit()
    try:
        role_session.execute("SET search_path = marts, public")
        made = Consumer(role_session, "public.p", (1,)).register()
        assert made.capture().mode == "statement"
        made.fill()
        role_admin.execute(
            "SET ROLE partition_owner;"
            "CREATE TABLE public.p1 PARTITION OF public.p FOR VALUES FROM (0) TO (10);"
            "INSERT INTO public.p VALUES (1); RESET ROLE"
        )
        role_admin.commit()
        assert made.pending().failed
        made.capture()
        assert made.refresh() == "difference"
    finally:
        role_session.rollback()
        role_admin.execute("DROP OWNED BY partition_owner CASCADE; DROP ROLE partition_owner")
        role_admin.commit()


@pytest.fixture
def family(write):
    write(
        "CREATE TABLE parent (id int, v int); CREATE TABLE other (z int, w int);"
        "CREATE TABLE child (extra text) INHERITS (other, parent);"
        "CREATE TABLE grandchild () INHERITS (child);"
        "INSERT INTO parent VALUES (1, 1); INSERT INTO child (id, v) VALUES (2, 2);"
        "INSERT INTO grandchild (id, v) VALUES (3, 3)"
    )


FAMILY_WRITES = {
    "at_the_child": "INSERT INTO child (id, v, z) VALUES (4, 4, 4); UPDATE child SET v = 9",
    "through_the_parent": "UPDATE parent SET v = v + 1; DELETE FROM parent WHERE id = 3",
    "only": "UPDATE ONLY parent SET v = 5",
    "other_column": "UPDATE child SET extra = 'x'",
    "grandchild": "DELETE FROM grandchild",
}


@pytest.mark.parametrize("name", FAMILY_WRITES)
def test_inheritance(consumer, write, family, name):
    kept = consumer("parent")
    write(FAMILY_WRITES[name])
    assert kept.refresh() == ("nothing" if name == "other_column" else "differential")


def test_child_and_parent_are_both_captured(consumer, write, family):
    kept = [consumer("parent"), consumer("child"), consumer("other")]
    write("UPDATE parent SET v = v + 1; INSERT INTO grandchild (id, v, z) VALUES (5, 5, 5)")
    write("UPDATE other SET w = 1; UPDATE parent SET v = 0; DELETE FROM child WHERE id = 2")
    assert [one.refresh() for one in kept] == ["differential"] * 3
    write("TRUNCATE ONLY grandchild")
    assert [one.refresh() for one in kept] == ["difference"] * 3


def test_a_partition_is_a_source_itself(consumer, write, partitioned):
    """Statements on the parent fire no statement trigger of the partition."""
    kept = consumer("p1")
    assert kept.capture().mode == "row"
    write(
        "INSERT INTO p VALUES (5, 1); UPDATE p SET k = k + 3 WHERE k < 20;"
        "DELETE FROM p1 WHERE k = 4"
    )
    assert kept.refresh() == "differential"
    write("TRUNCATE p")
    assert kept.refresh() == "difference"


def test_a_source_that_becomes_a_partition(consumer, session, write, partitioned, issues):
    write("CREATE TABLE q (k int, v int, id float8); INSERT INTO q VALUES (45, 1)")
    kept = consumer("q")
    write("ALTER TABLE p ATTACH PARTITION q FOR VALUES FROM (40) TO (50)")
    assert len(issues()) == 1
    write("INSERT INTO p VALUES (46, 1)")
    assert kept.capture().mode == "row"
    assert kept.refresh() == "difference"
    write("INSERT INTO p VALUES (47, 1)")
    assert kept.refresh() == "differential"
