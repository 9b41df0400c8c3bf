-- Statements of trickle_runtime.refresh.constraints.

-- name: stored
SELECT kind, columns, expression, name, actual
FROM pgtrickle.pgt_constraints WHERE pgt_id = %(pgt_id)s ORDER BY position

-- name: put
DELETE FROM pgtrickle.pgt_constraints WHERE pgt_id = %(pgt_id)s;
INSERT INTO pgtrickle.pgt_constraints (pgt_id, position, kind, columns, expression, name, actual)
SELECT %(pgt_id)s, c.position, c.kind, c.columns, c.expression, c.name, c.actual
FROM jsonb_to_recordset(%(constraints)s::jsonb) AS c (position int, kind text, columns text[], expression text, name text,
                                                      actual text)

-- name: set_not_null
ALTER TABLE {relation} ALTER COLUMN {column} SET NOT NULL

-- name: drop_not_null
ALTER TABLE {relation} ALTER COLUMN {column} DROP NOT NULL

-- name: add_check
ALTER TABLE {relation} ADD CONSTRAINT {name} CHECK (
{expression}
)

-- name: add_unique
ALTER TABLE {relation} ADD CONSTRAINT {name} UNIQUE ({columns})

-- name: add_primary_key
ALTER TABLE {relation} ADD CONSTRAINT {name} PRIMARY KEY ({columns})

-- name: drop
ALTER TABLE {relation} DROP CONSTRAINT IF EXISTS {name}

-- name: rename
ALTER TABLE {relation} RENAME CONSTRAINT {name} TO {wanted}

-- name: patience
SET LOCAL lock_timeout = {timeout}

-- name: lost
-- Dropping a column takes the checks along that read it.
SELECT c.actual AS name
FROM pgtrickle.pgt_constraints c
WHERE c.pgt_id = %(pgt_id)s AND c.actual IS NOT NULL AND NOT EXISTS (
    SELECT FROM pg_constraint k WHERE k.conrelid = to_regclass(%(relation)s) AND k.conname = c.actual)

-- name: kept_columns
SELECT a.attname::text AS name
FROM pg_attribute a
WHERE a.attrelid = to_regclass(%(relation)s) AND a.attnum > 0 AND NOT a.attisdropped
