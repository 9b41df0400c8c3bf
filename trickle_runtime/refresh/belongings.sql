-- Statements of trickle_runtime.refresh.belongings. They run with search_path = pg_catalog, so that PostgreSQL prints every
-- name qualified.

-- name: on_columns
-- What a copy of the table with LIKE would have by itself, as statements; constraints of the author come by other ways.
WITH t AS (
    SELECT c.oid, format('%%I.%%I', n.nspname, c.relname) AS relation
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = %(relid)s
)
SELECT * FROM (
    SELECT 1 AS position, 'not null of column ' || a.attname AS object,
           format('ALTER TABLE %%s ALTER COLUMN %%I SET NOT NULL', t.relation, a.attname) AS statement
    FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND a.attnotnull AND NOT a.attisdropped
    WHERE a.attname <> ALL (%(not_null)s::text[])
    UNION ALL
    SELECT 2, 'constraint ' || k.conname,
           format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', t.relation, k.conname, pg_get_constraintdef(k.oid))
    FROM t JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'c' AND k.conname <> ALL (%(names)s::text[])
    UNION ALL
    SELECT 3, 'statistics ' || s.stxname, pg_get_statisticsobjdef(s.oid)
    FROM t JOIN pg_statistic_ext s ON s.stxrelid = t.oid
    UNION ALL
    SELECT 4, 'comment on column ' || a.attname,
           format('COMMENT ON COLUMN %%s.%%I IS %%L', t.relation, a.attname, col_description(t.oid, a.attnum))
    FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE col_description(t.oid, a.attnum) IS NOT NULL
) AS statements
ORDER BY position, object

-- name: taken_along
-- What goes with columns when they are dropped. Whatever else reads one keeps it from being dropped.
WITH gone AS (
    SELECT a.attrelid, a.attnum FROM pg_attribute a
    WHERE a.attrelid = %(relid)s AND a.attname = ANY (%(columns)s::text[]) AND NOT a.attisdropped
)
SELECT DISTINCT CASE d.classid WHEN 'pg_class'::regclass THEN 'index ' || i.relname
                               WHEN 'pg_constraint'::regclass THEN 'constraint ' || k.conname
                               ELSE 'statistics ' || s.stxname END AS object
FROM gone
JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = gone.attrelid AND d.refobjsubid = gone.attnum
     AND d.deptype IN ('a', 'n')
LEFT JOIN pg_class i ON d.classid = 'pg_class'::regclass AND i.oid = d.objid AND i.relkind IN ('i', 'I')
     AND NOT i.relname ^@ 'pgt_identity_'
LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid AND k.contype <> 'n'
     AND k.conname <> ALL (%(names)s::text[])
LEFT JOIN pg_statistic_ext s ON d.classid = 'pg_statistic_ext'::regclass AND s.oid = d.objid
WHERE coalesce(i.oid, k.oid, s.oid) IS NOT NULL
ORDER BY 1
