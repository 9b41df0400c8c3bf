-- Write-side cost: the same table without capture, with our capture, and with a trigger function of the
-- same scheme that does nothing but write the rows.

-- name: table
CREATE TABLE {table} (
    id integer PRIMARY KEY,
    customer integer NOT NULL,
    day date NOT NULL,
    amount numeric(12, 2) NOT NULL,
    status text NOT NULL,
    code text NOT NULL,
    score double precision NOT NULL,
    remark text NOT NULL
);
INSERT INTO {table} SELECT * FROM capture_bench.make(1, {rows});
CREATE INDEX ON {table} (customer);
ANALYZE {table};

-- name: schema
CREATE SCHEMA capture_bench;
CREATE FUNCTION capture_bench.make(first_id integer, n integer)
RETURNS TABLE (id integer, customer integer, day date, amount numeric, status text, code text,
               score double precision, remark text)
LANGUAGE sql AS $body$
    SELECT g, g % 10007, date '2020-01-01' + g % 1000, (g % 10000)::numeric + 0.25,
           'status ' || g % 5, 'code ' || lpad((g % 100000)::text, 10, '0'), g / 3.0, 'a remark of some words'
    FROM generate_series(first_id, first_id + n - 1) AS g
$body$;

-- name: sink_query
SELECT id, customer, day, amount, status, code, score, remark FROM {table} WHERE id < 0

-- name: bare_capture
CREATE TABLE {buffer} (LIKE {table});
ALTER TABLE {buffer} ADD COLUMN xid xid8 DEFAULT pg_current_xact_id(), ADD COLUMN w smallint;
ALTER TABLE {buffer} SET (autovacuum_enabled = false);
CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO {buffer} SELECT *, pg_current_xact_id(), 1 FROM new_rows;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO {buffer} SELECT *, pg_current_xact_id(), -1 FROM old_rows;
    ELSE
        INSERT INTO {buffer} SELECT *, pg_current_xact_id(), -1 FROM old_rows
        UNION ALL SELECT *, pg_current_xact_id(), 1 FROM new_rows;
    END IF;
    RETURN NULL;
END
$body$;
CREATE TRIGGER bare_insert AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION {function}();
CREATE TRIGGER bare_update AFTER UPDATE ON {table} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION {function}();
CREATE TRIGGER bare_delete AFTER DELETE ON {table} REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION {function}();

-- name: drop
DROP TABLE {table};
DROP TABLE IF EXISTS {buffer};
DROP FUNCTION IF EXISTS {function}();

-- name: wal_position
SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS bytes

-- name: single_insert
INSERT INTO {table} SELECT * FROM capture_bench.make(%(id)s, 1)

-- name: single_update
UPDATE {table} SET amount = amount + 1, status = 'changed' WHERE id = %(id)s

-- name: single_delete
DELETE FROM {table} WHERE id = %(id)s

-- name: insert_loop
DO $body$
BEGIN
    FOR i IN 1..{loop} LOOP
        INSERT INTO {table} VALUES (2000000 + i, i, '2021-01-01', 1.25, 'new', 'code', 1.5, 'a remark');
    END LOOP;
END
$body$

-- name: bulk_insert
INSERT INTO {table} SELECT * FROM capture_bench.make(1000000, {bulk})

-- name: bulk_update
UPDATE {table} SET amount = amount + 1, status = 'changed' WHERE id <= {bulk}

-- name: bulk_delete
DELETE FROM {table} WHERE id > {bulk} AND id <= 2 * {bulk}

-- name: writer_transaction
INSERT INTO {table} VALUES (%(id)s, %(id)s, '2021-01-01', 1.25, 'new', 'code', 1.5, 'a remark');
UPDATE {table} SET amount = amount + 1 WHERE id = %(id)s;
DELETE FROM {table} WHERE id = %(id)s
