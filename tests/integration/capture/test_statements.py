"""Scenarios C1-C16 and C22: what was captured is exactly what changed."""

from __future__ import annotations

import pytest

STATEMENTS = {
    "insert": "INSERT INTO t VALUES (10, 1, 'x')",
    "insert_many": "INSERT INTO t SELECT i, i, 'x' FROM generate_series(10, 300) i",
    "update_one": "UPDATE t SET a = a + 1 WHERE id = 1",
    "update_all": "UPDATE t SET a = a + 1",
    "delete_one": "DELETE FROM t WHERE id = 1",
    "delete_all": "DELETE FROM t",
    "nothing": "DELETE FROM t WHERE id = 99; UPDATE t SET a = 1 WHERE id = 99",
    "key_change": "UPDATE t SET id = 50 WHERE id = 1",
    "key_shift": "UPDATE t SET id = id + 1",
    "key_swap": "UPDATE t SET id = 3 - id WHERE id IN (1, 2)",
    "upsert": (
        "INSERT INTO t VALUES (1, 7, 'u'), (11, 8, 'v')"
        " ON CONFLICT (id) DO UPDATE SET a = excluded.a"
    ),
    "upsert_nothing": "INSERT INTO t VALUES (1, 7, 'u') ON CONFLICT DO NOTHING",
    "writable_cte": (
        "WITH gone AS (DELETE FROM t WHERE id = 1 RETURNING *), more AS ("
        "INSERT INTO t SELECT id + 100, a, b FROM gone), again AS ("
        "INSERT INTO t VALUES (200, 1, 'y')) UPDATE t SET a = 9 WHERE id = 2"
    ),
    "merge": (
        "MERGE INTO t USING (VALUES (1, 5), (2, 6), (30, 7)) s (id, a) ON t.id = s.id"
        " WHEN MATCHED AND t.id = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET a = s.a"
        " WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.a, 'm')"
    ),
    "delete_and_insert": "DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (1, 77, 'again')",
    "update_twice_then_delete": (
        "UPDATE t SET a = 5 WHERE id = 1; UPDATE t SET a = 6 WHERE id = 1;"
        " DELETE FROM t WHERE id = 1"
    ),
    "savepoint": (
        "INSERT INTO t VALUES (40, 1, 'kept'); SAVEPOINT s; DELETE FROM t; ROLLBACK TO s;"
        " UPDATE t SET a = 0 WHERE id = 40"
    ),
}


@pytest.mark.parametrize("key", ["deferrable", "none"])
@pytest.mark.parametrize("name", STATEMENTS)
def test_statement(consumer, write, key, name):
    constraint = "PRIMARY KEY (id) DEFERRABLE" if key == "deferrable" else "CHECK (true)"
    if name.startswith("upsert"):
        constraint = "PRIMARY KEY (id)"
    write(f"CREATE TABLE t (id int, a int, b text, {constraint})")
    write("INSERT INTO t SELECT i, i * 10, 'row ' || i FROM generate_series(1, 5) i")
    if key == "none" and not name.startswith("upsert"):
        write("INSERT INTO t SELECT * FROM t")  # C1, C2: duplicates
    kept = consumer("t")
    write(STATEMENTS[name])
    kept.refresh()
    write(STATEMENTS["update_all"])
    assert kept.refresh() in {"differential", "nothing"}


def test_rolled_back_changes_leave_nothing(consumer, other):
    session = other()
    session.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    session.commit()
    kept = consumer("t")
    session.execute("INSERT INTO t VALUES (2); DELETE FROM t WHERE id = 1")
    session.rollback()
    assert kept.refresh() == "nothing"


def test_copy(consumer, database):
    import psycopg

    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE t (id int PRIMARY KEY, b text)")
        connection.commit()
        kept = consumer("t")
        with connection.cursor().copy("COPY t FROM STDIN") as copy:
            for number in range(100):
                copy.write_row((number, f"line\t{number}"))
        connection.commit()
    assert kept.pending().changes == 100
    assert kept.refresh() == "differential"


def test_truncate_marks_and_later_rows_are_kept(consumer, write):
    write("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
    kept = consumer("t")
    write("TRUNCATE t; INSERT INTO t VALUES (7)")
    assert kept.pending().truncated
    assert kept.refresh() == "difference"
    assert kept.pending() is None
    write("DELETE FROM t")
    assert kept.refresh() == "differential"


def test_truncate_that_commits_late_is_seen(consumer, write, other):
    """C6: the marker is judged by visibility, like a change."""
    write("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    write("CREATE TABLE unrelated (id int)")
    kept = consumer("t")
    writer = other()
    writer.execute("TRUNCATE t")
    write("INSERT INTO unrelated VALUES (1)")  # later transactions pass it by
    session = kept.session
    snapshot = session.execute("SELECT pg_current_snapshot()::text AS s")[0]["s"]
    session.commit()
    writer.commit()
    frontier = kept.store.frontiers([kept.pgt_id])[kept.pgt_id]
    kept.store.advance_frontier(kept.pgt_id, frontier.version, snapshot, {}, 0)
    session.commit()
    assert kept.pending().truncated


def test_cascades_are_captured(consumer, write):
    write(
        "CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1), (2), (3);"
        "CREATE TABLE t (id int PRIMARY KEY,"
        " p int REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE);"
        "INSERT INTO t SELECT i, 1 + i % 3 FROM generate_series(1, 9) i"
    )
    kept = consumer("t")
    write("DELETE FROM parent WHERE id = 1; UPDATE parent SET id = 9 WHERE id = 2")
    assert kept.pending().changes == 6
    assert kept.refresh() == "differential"


def test_triggers_of_the_application(consumer, write):
    """C22: rows that a BEFORE trigger drops or changes, and an AFTER trigger updates again."""
    write(
        "CREATE TABLE t (id int PRIMARY KEY, a int);"
        "CREATE FUNCTION before_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.id = 13 THEN RETURN NULL; END IF; NEW.a := NEW.a * 2; RETURN NEW; END $$;"
        "CREATE FUNCTION after_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " UPDATE t SET a = a + 1 WHERE id = NEW.id; RETURN NULL; END $$;"
        "CREATE TRIGGER b BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION before_row();"
        "CREATE TRIGGER z AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION after_row()"
    )
    kept = consumer("t")
    write("INSERT INTO t SELECT i, i FROM generate_series(10, 20) i")
    assert kept.refresh() == "differential"


@pytest.mark.parametrize("count", [1, 2, 3, 64, 65, 500])
def test_updates_of_other_columns_write_nothing(consumer, write, count):
    write("CREATE TABLE t (id int PRIMARY KEY, a int, hidden int, doc json)")
    write(f"INSERT INTO t SELECT i, i, i, '{{}}' FROM generate_series(1, {count}) i")
    kept = consumer("t", "id", "a", "doc")
    write("UPDATE t SET hidden = 0")
    write("UPDATE t SET a = a")
    assert kept.session.execute(
        f"SELECT count(*) AS n FROM pgtrickle_changes.changes_{kept.relid}"
    ) == [{"n": 0}]
    write("UPDATE t SET a = CASE WHEN id % 2 = 0 THEN -1 ELSE a END, hidden = 9")
    assert (kept.pending().changes if kept.pending() else 0) == count // 2
    assert kept.refresh() == ("differential" if count > 1 else "nothing")


def test_no_column_is_used(consumer, write):
    """count(*) reads no column: rows count, updates do not."""
    write("CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 1)")
    kept = consumer("t", "id")
    kept.attnums = ()
    kept.session.execute("DELETE FROM pgtrickle.pgt_dependencies")
    kept.session.commit()
    from trickle_runtime.capture import install
    from trickle_runtime.config import Schemas

    install.drop_capture(kept.session, Schemas(), kept.relid)
    install.ensure_capture(kept.session, Schemas(), kept.relid, ())
    write("INSERT INTO t VALUES (2, 2), (3, 3); UPDATE t SET a = 9; DELETE FROM t WHERE id = 1")
    rows = kept.session.execute(
        f"SELECT op::text AS op, count(*) AS n FROM pgtrickle_changes.changes_{kept.relid}"
        " GROUP BY op ORDER BY op"
    )
    assert rows == [{"op": "D", "n": 1}, {"op": "I", "n": 2}]


def test_images_not_equality(consumer, write):
    """D1: equal values with different images are a change."""
    write(
        "CREATE TABLE t (id int PRIMARY KEY, n numeric, f float8, c char(3));"
        "INSERT INTO t VALUES (1, 1.0, 0, 'abc'), (2, 2, -0.0::float8, 'x')"
    )
    kept = consumer("t")
    write("UPDATE t SET n = 1.00 WHERE id = 1")
    write("UPDATE t SET f = '-0' WHERE id = 1")
    assert kept.pending().changes == 2
    assert kept.refresh() == "differential"


@pytest.mark.parametrize("changed", ["id < 500", "id > 500", "id BETWEEN 300 AND 700"])
def test_rows_of_a_large_update_that_stay(consumer, write, changed):
    """What an UPDATE touches without changing it is no change, wherever it stands."""
    write(
        "CREATE TABLE t (id int, v int); INSERT INTO t SELECT i, 0 FROM generate_series(1, 999) i"
    )
    kept = consumer("t")
    write(f"UPDATE t SET v = 1 WHERE {changed}; UPDATE t SET v = 1")
    assert kept.pending().changes == 999
    assert kept.refresh() == "differential"


def test_images_under_a_nondeterministic_collation(consumer, write, supported):
    create = (
        "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
    )
    if not supported(create):
        pytest.skip("this server is built without ICU")
    write(f"{create}; CREATE TABLE t (c text COLLATE ci); INSERT INTO t VALUES ('abc')")
    kept = consumer("t")
    write("UPDATE t SET c = 'ABC'")
    assert kept.pending().changes == 1
    assert kept.refresh() == "differential"


def test_wide_table(consumer, write):
    """C10: no mask of 63 bits."""
    columns = ", ".join(f"c{i} int" for i in range(1, 1201))
    write(f"CREATE TABLE t (id int PRIMARY KEY, {columns})")
    write("INSERT INTO t (id) VALUES (1), (2)")
    kept = consumer("t")
    write("UPDATE t SET c1200 = 5 WHERE id = 2")
    assert kept.pending().changes == 1
    assert kept.refresh() == "differential"


NAMES = [
    "action", "op", "xid", "lsn", "t", "o", "n", "image", "place", "few", "pgt_new", "select",
    "Mixed Case", 'quo"te', "semi;colon", "per%cent %(x)s", "bra{ce}", "$$", "$f$", "emoji 🎉",
    "'apostrophe'", "back\\slash", "x" * 63, "tg_op", "new", "old",
]  # fmt: skip


def test_any_name(consumer, write):
    """C12: any identifier that PostgreSQL allows, for schema, table and columns."""

    def quote(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    table = f"{quote('My.Schema ;--')}.{quote('Tab%le {x} $$ ' + chr(39))}"
    write(f"CREATE SCHEMA {quote('My.Schema ;--')}")
    write(f"CREATE TABLE {table} ({', '.join(quote(name) + ' text' for name in NAMES)})")
    kept = consumer(table)
    values = ", ".join(f"'{number}'" for number in range(len(NAMES)))
    write(f"INSERT INTO {table} VALUES ({values}), ({values})")
    write(f"UPDATE {table} SET {quote('op')} = 'changed'")
    assert kept.pending().changes == 4
    assert kept.refresh() == "differential"
    write(f"TRUNCATE {table}")
    assert kept.refresh() == "difference"


TYPES = {
    "domain": ("email", "'a@b'", "'c@d'"),
    "domain_of_domain": ("work_email", "'a@b.work'", "'c@d.work'"),
    "domain_array": ("email[]", "ARRAY['a@b']::email[]", "ARRAY['c@d', 'e@f']::email[]"),
    "enum": ("mood", "'sad'", "'happy'"),
    "composite": ("pair", "ROW(1, 'x')::pair", "ROW(1, NULL)::pair"),
    "range": ("int4range", "'[1,5)'", "'empty'"),
    "array": ("int[]", "'{1,NULL,3}'", "'[0:1]={1,2}'"),
    "text_array": ("text[]", "'{a}'", "'{\"\", NULL}'"),
    "json": ("json", "'{\"a\": 1}'", "'{\"a\":  1}'"),
    "jsonb": ("jsonb", "'{\"a\": 1.0}'", "'{\"a\": 1.00}'"),
    "xml": ("xml", "'<a/>'", "'<b/>'"),
    "point": ("point", "'(1,2)'", "'(1.0000000001,2)'"),
    "polygon": ("polygon", "'((0,0),(1,1),(2,0))'", "'((0,0),(1,1),(2,1))'"),
    "char": ("char(5)", "'a'", "'b'"),
    "bpchar": ("bpchar", "'a '", "'a  '"),
    "varchar": ("varchar(5)", "'a'", "'a '"),
    "quoted_char": ('"char"', "'a'", "'b'"),
    "name": ("name", "'a'", "'b'"),
    "bit": ("bit", "'1'", "'0'"),
    "bits": ("bit(3)", "'101'", "'111'"),
    "varbit": ("varbit", "'1'", "'10'"),
    "bytea": ("bytea", "'\\x00'", "'\\x0000'"),
    "numeric": ("numeric", "'NaN'", "'Infinity'"),
    "numeric_scale": ("numeric(6,2)", "1.5", "2.25"),
    "float": ("float8", "'NaN'", "'-0'"),
    "interval": ("interval(0)", "'1 month'", "'30 days'"),
    "date": ("date", "'infinity'", "'-infinity'"),
    "timestamptz": ("timestamptz(3)", "'2026-01-01 00:00+00'", "'infinity'"),
    "timetz": ("timetz", "'10:00+00'", "'11:00+01'"),
    "inet": ("inet", "'10.0.0.1'", "'10.0.0.1/8'"),
    "uuid": ("uuid", "gen_random_uuid()", "gen_random_uuid()"),
    "tsvector": ("tsvector", "'a b'", "'a:1 b'"),
    "regclass": ("regclass", "'pg_class'", "'pg_type'"),
    "money": ("money", "1", "2"),
    "collated": ('text COLLATE "C"', "'a'", "'A'"),
    "empty_or_null": ("text", "''", "NULL"),
}


@pytest.mark.parametrize("name", TYPES)
def test_type(consumer, write, supported, name):
    """C13, C14, C16: every kind of type, and never a comparison in the writer's statement."""
    kind, one, two = TYPES[name]
    if name == "xml" and not supported("SELECT '<a/>'::xml"):
        pytest.skip("this server is built without libxml")
    write(
        "CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');"
        "CREATE DOMAIN work_email AS email CHECK (VALUE LIKE '%work');"
        "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TYPE pair AS (a int, b text)"
    )
    write(f"CREATE TABLE t (id int, v {kind}); INSERT INTO t VALUES (1, {one}), (1, {one})")
    kept = consumer("t")
    write(f"INSERT INTO t VALUES (2, {two}), (3, NULL)")
    write(f"UPDATE t SET v = {two} WHERE id = 1")
    write(f"UPDATE t SET v = {one} WHERE id = 2")
    write("UPDATE t SET v = v")
    assert kept.pending().changes == 5
    assert kept.refresh() == "differential"
    write("DELETE FROM t WHERE id = 1")
    assert kept.refresh() == "differential"


def test_buffer_columns_are_as_the_sources(consumer, write, session):
    write(
        "CREATE DOMAIN price AS numeric(8,2) CHECK (VALUE > 0);"
        'CREATE TABLE t (a price, b text COLLATE "C", c varchar(7), d price[])'
    )
    kept = consumer("t")
    rows = session.execute(
        "SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type,"
        " (SELECT collname::text FROM pg_collation WHERE oid = attcollation) AS collation"
        " FROM pg_attribute WHERE attrelid = %(r)s::regclass AND attnum > 0 ORDER BY attnum",
        {"r": f"pgtrickle_changes.changes_{kept.relid}"},
    )
    assert [(row["name"], row["type"], row["collation"]) for row in rows] == [
        ("xid", "xid8", None),
        ("op", '"char"', None),
        ("c1", "numeric(8,2)", None),
        ("c2", "text", "C"),
        ("c3", "character varying(7)", "default"),
        ("c4", "numeric(8,2)[]", None),
    ]


def test_domains_of_the_application_stay_free(consumer, write):
    """Protocol C2: no buffer of ours stands in the way of ALTER DOMAIN or DROP TYPE."""
    write(
        "CREATE DOMAIN d AS int; CREATE TABLE t (id int, v d, w d[]);"
        "INSERT INTO t VALUES (1, -5, ARRAY[-5]::d[])"
    )
    consumer("t")
    write("UPDATE t SET v = 5, w = ARRAY[5]::d[]")
    write("ALTER TABLE t DROP COLUMN w")
    write("ALTER DOMAIN d ADD CHECK (VALUE > 0)")
    write("DROP TABLE t; DROP DOMAIN d")


def test_generated_columns(consumer, write, server_major):
    virtual = ", e int GENERATED ALWAYS AS (a * 3) VIRTUAL" if server_major >= 18 else ""
    write(
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int,"
        f" d int GENERATED ALWAYS AS (a * 2) STORED {virtual})"
    )
    kept = consumer("t")
    write("INSERT INTO t (a) VALUES (1), (2), (NULL)")
    write("UPDATE t SET a = 5 WHERE id = 1")
    write("UPDATE t SET a = a + 1")
    write("DELETE FROM t WHERE id = 2")
    assert kept.refresh() == "differential"


def test_unchanged_toasted_value(consumer, write):
    write("CREATE TABLE t (id int PRIMARY KEY, a int, big text)")
    write(
        "INSERT INTO t SELECT i, i, (SELECT string_agg(md5((i * j)::text), '') FROM"
        " generate_series(1, 500) j) FROM generate_series(1, 3) i"
    )
    kept = consumer("t")
    write("UPDATE t SET a = 0")
    write("DELETE FROM t WHERE id = 2")
    assert kept.pending().changes == 4
    assert kept.refresh() == "differential"
