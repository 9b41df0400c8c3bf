-- Statements of catalog/migrate.py.

-- name: lock
SELECT pg_advisory_xact_lock(hashtextextended('trickle-runtime install ' || %(key)s, 0))

-- name: has_schema
SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %(schema)s) AS present

-- name: is_installed
SELECT EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %(schema)s AND c.relname = 'pgt_migrations'
) AS present

-- name: create_schema
-- Not IF NOT EXISTS: that asks for CREATE on the database even where the schema exists.
CREATE SCHEMA {schema}

-- name: create_migrations
CREATE TABLE IF NOT EXISTS pgtrickle.pgt_migrations (
    number int PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)

-- name: version
SELECT coalesce(max(number), 0) AS version FROM pgtrickle.pgt_migrations

-- name: record
INSERT INTO pgtrickle.pgt_migrations (number, name) VALUES (%(number)s, %(name)s)

-- name: captured
-- By the functions that exist, so that it works on a broken catalog as well.
SELECT DISTINCT substring(p.proname FROM '^capture_([0-9]+)_')::bigint AS relid
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = %(schema)s AND p.proname ~ '^capture_[0-9]+_'
ORDER BY relid

-- name: drop_functions
DO $$
DECLARE
    f record;
BEGIN
    SET LOCAL lock_timeout = '30s';
    FOR f IN
        SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'pgtrickle_changes'::regnamespace
            AND p.proname ~ ('^capture_' || %(relid)s || '_') ORDER BY p.proname
    LOOP
        EXECUTE format('DROP FUNCTION pgtrickle_changes.%%I() CASCADE', f.proname);
    END LOOP;
END $$

-- name: drop_schema
DROP SCHEMA {schema} CASCADE
