-- DDL and statements on the storage of stream tables. Braces hold quoted identifiers, literals,
-- and the expressions of partition_step.py.

-- name: create_table
CREATE TABLE {relation} ({columns}) {partition_clause}

-- name: replica_identity
ALTER TABLE {relation} REPLICA IDENTITY FULL

-- name: default_partition
CREATE TABLE {partition} PARTITION OF {relation} DEFAULT

-- name: hash_partition
CREATE TABLE {partition} PARTITION OF {relation} FOR VALUES WITH (MODULUS {modulus}, REMAINDER {remainder})

-- name: unique_index
CREATE UNIQUE INDEX {index} ON {relation} ({keys}) {nulls}

-- name: plain_index
CREATE INDEX {index} ON {relation} ({keys})

-- name: find_default
SELECT format('%%I.%%I', n.nspname, c.relname) AS relation, c.oid::bigint AS relid
FROM pg_catalog.pg_partitioned_table p
JOIN pg_catalog.pg_class c ON c.oid = p.partdefid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE p.partrelid = %(relation)s::regclass

-- name: column_list
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) AS columns
FROM pg_catalog.pg_attribute
WHERE attrelid = %(relation)s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''

-- name: views_on
-- Views on a table, or on some of its columns, and those on top of them. A view depends by its rule.
WITH RECURSIVE views (relid) AS (
    SELECT c.oid
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
    JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
    LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %(relid)s::oid
          AND c.relkind = ANY (%(kinds)s::"char"[])
          AND (%(columns)s::text[] IS NULL OR a.attname = ANY (%(columns)s::text[]))
    UNION
    SELECT r.ev_class
    FROM views
    JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = views.relid
    JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
)
SELECT n.nspname::text AS schema, c.relname::text AS name, c.relkind = 'm' AS materialized
FROM views
JOIN pg_catalog.pg_class c ON c.oid = views.relid AND c.relkind IN ('v', 'm')
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY 1, 2

-- name: taken_names
SELECT name FROM unnest(%(names)s::text[]) AS name WHERE to_regclass(name) IS NOT NULL

-- name: missing_ranges
-- The ranges that the rows to be inserted need and no partition covers. A range that overlaps
-- partitions made by the user shrinks to the gap between them. No bounds: rows for the default.
WITH
bounds AS MATERIALIZED (
    SELECT
        CASE m[1] WHEN 'MINVALUE' THEN '-infinity' ELSE {bound_from} END AS lo,
        CASE m[2] WHEN 'MAXVALUE' THEN 'infinity' ELSE {bound_to} END AS hi
    FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
    CROSS JOIN LATERAL regexp_match(
        pg_get_expr(c.relpartbound, c.oid), '^FOR VALUES FROM \((.*)\) TO \((.*)\)$'
    ) AS m
    WHERE i.inhparent = {relation_literal}::regclass AND m IS NOT NULL
),
keys AS MATERIALIZED (
    SELECT {usable_key} AS u
    FROM (SELECT {key} AS key FROM {delta} AS d WHERE d.__pgt_w > 0) AS d
),
buckets AS (
    SELECT {bucket} AS lo, {bucket} + {step} AS hi, count(*) AS n
    FROM keys WHERE u IS NOT NULL GROUP BY 1, 2
),
open_buckets AS MATERIALIZED (
    SELECT b.*, EXISTS (SELECT FROM bounds p WHERE p.lo < b.hi AND p.hi > b.lo) AS touched
    FROM buckets b
    WHERE NOT EXISTS (SELECT FROM bounds p WHERE p.lo <= b.lo AND p.hi >= b.hi)
),
gaps AS (
    SELECT lo, hi, n FROM open_buckets WHERE NOT touched
    UNION ALL
    SELECT greatest(o.lo, below.hi), least(o.hi, above.lo), count(*)
    FROM open_buckets o
    JOIN keys ON {bucket} = o.lo
    CROSS JOIN LATERAL (SELECT max(p.hi) AS hi FROM bounds p WHERE p.hi <= u) AS below
    CROSS JOIN LATERAL (SELECT min(p.lo) AS lo FROM bounds p WHERE p.lo > u) AS above
    WHERE o.touched AND NOT EXISTS (SELECT FROM bounds p WHERE p.lo <= u AND u < p.hi)
    GROUP BY 1, 2
)
SELECT {lower} AS lower, {upper} AS upper, {suffix} AS suffix, n AS rows FROM gaps
UNION ALL
SELECT NULL, NULL, NULL, n FROM (SELECT count(*) AS n FROM keys WHERE u IS NULL) AS unusable WHERE n > 0
ORDER BY rows DESC, lower

-- name: create_beside
CREATE TABLE {partition} (
    LIKE {relation} INCLUDING ALL EXCLUDING INDEXES EXCLUDING IDENTITY EXCLUDING STATISTICS EXCLUDING COMMENTS
);
ALTER TABLE {partition} REPLICA IDENTITY FULL

-- name: move_rows
WITH moved AS (
    DELETE FROM {default} WHERE {condition} RETURNING {columns}
)
INSERT INTO {partition} ({columns}) SELECT {columns} FROM moved

-- name: attach_range
ALTER TABLE {relation} ATTACH PARTITION {partition} FOR VALUES FROM ({lower}) TO ({upper})

-- name: attach_default
ALTER TABLE {relation} ATTACH PARTITION {partition} DEFAULT

-- name: set_lock_timeout
SELECT set_config('lock_timeout', %(timeout)s, true)

-- name: current_lock_timeout
SELECT current_setting('lock_timeout') AS value

-- name: rows_added
-- What this transaction has put into a relation so far, from the session's own counts: free of charge. They may still
-- hold what the session did within the last second; the alert for that has been sent then, and is not repeated.
SELECT pg_stat_get_xact_tuples_inserted(%(relation)s::regclass)
       - pg_stat_get_xact_tuples_deleted(%(relation)s::regclass) AS rows

-- name: sample_key
SELECT {key}::text AS value, format_type(a.atttypid, NULL) AS type
FROM {default} AS d
JOIN pg_catalog.pg_attribute a ON a.attrelid = {default_literal}::regclass AND a.attname = {key_literal}
WHERE {key} IS NOT NULL
LIMIT 1

-- name: sample_month
SELECT to_char(date_trunc('month', {value}::timestamp), 'YYYY-MM-DD') AS lower,
       to_char(date_trunc('month', {value}::timestamp) + '1 month'::interval, 'YYYY-MM-DD') AS upper
WHERE isfinite({value}::timestamp)

-- name: sample_decade
SELECT trim_scale(floor(v / width) * width)::text AS lower, trim_scale(floor(v / width) * width + width)::text AS upper
FROM (SELECT {value}::numeric AS v) AS n
CROSS JOIN LATERAL (SELECT 10::numeric ^ floor(log(greatest(abs(v), 10))) AS width) AS w
WHERE v NOT IN ('NaN', 'Infinity', '-Infinity')

-- name: example_ddl
BEGIN;
CREATE TABLE {partition} (LIKE {relation} INCLUDING ALL EXCLUDING INDEXES);
ALTER TABLE {partition} REPLICA IDENTITY FULL;
WITH moved AS (DELETE FROM {default} WHERE {condition} RETURNING *) INSERT INTO {partition} SELECT * FROM moved;
ALTER TABLE {relation} ATTACH PARTITION {partition} FOR VALUES {bounds};
COMMIT;

-- name: raise_alert
SELECT pgtrickle.raise_alert('default_partition_growth', %(pgt_id)s, %(facts)s::jsonb, '1 hour') AS sent
