-- name: view_definition
-- The canonical text of the view under analysis, every name qualified.
SELECT pg_get_viewdef(%(view)s::regclass) AS definition;

-- name: view_columns
SELECT a.attnum, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
       t.typname AS base, t.typtype AS kind, t.typcategory AS category,
       coalesce(b.oid, t.oid)::bigint AS type_oid,
       a.atttypmod AS typmod, a.attnotnull AS not_null,
       CASE WHEN a.attcollation <> 0 AND a.attcollation <> t.typcollation
            THEN quote_ident(cn.nspname) || '.' || quote_ident(c.collname) END AS collation,
       coalesce(c.collisdeterministic, true) AS deterministic,
       coalesce(b.typname, t.typname) AS bare
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_type b ON b.oid = t.typbasetype AND t.typtype = 'd'
LEFT JOIN pg_collation c ON c.oid = a.attcollation
LEFT JOIN pg_namespace cn ON cn.oid = c.collnamespace
WHERE a.attrelid = %(relation)s::regclass AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;

-- name: read_relations
-- Every relation a view reads, with the columns it reads (0: the relation itself).
SELECT d.refobjid::bigint AS relid, array_agg(DISTINCT d.refobjsubid) AS columns
FROM pg_rewrite r
JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
WHERE r.ev_class = %(view)s::regclass AND d.refclassid = 'pg_class'::regclass
  AND d.refobjid <> r.ev_class AND d.deptype = 'n'
GROUP BY d.refobjid;

-- name: relations
SELECT c.oid::bigint AS relid, n.nspname AS schema, c.relname AS name, c.relkind::text AS relkind,
       c.relpersistence::text AS persistence,
       has_table_privilege(c.oid, 'SELECT') AS readable,
       CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END AS definition,
       n.nspname IN ('pg_catalog', 'information_schema') OR n.nspname LIKE 'pg\_t%%' AS is_system,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(
            i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL,
            (SELECT jsonb_agg(k.attnum ORDER BY k.place)
               FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
              WHERE k.place <= i.indnkeyatts))), '[]')
          FROM pg_index i WHERE i.indrelid = c.oid) AS indexes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY (%(relids)s::oid[]);

-- name: relation_columns
SELECT a.attrelid::bigint AS relid, a.attnum, a.attname AS name,
       format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
       t.typtype AS kind, t.typcategory AS category,
       t.typtype = 'd' OR coalesce(e.typtype = 'd', false) AS of_domain,
       coalesce(b.oid, t.oid)::bigint AS type_oid, coalesce(b.typname, t.typname) AS bare,
       CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END AS typmod,
       CASE WHEN a.attcollation <> 0 AND a.attcollation <> t.typcollation
            THEN quote_ident(cn.nspname) || '.' || quote_ident(c.collname) END AS collation,
       coalesce(c.collisdeterministic, true) AS deterministic
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_type b ON b.oid = t.typbasetype AND t.typtype = 'd'
LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
LEFT JOIN pg_collation c ON c.oid = a.attcollation
LEFT JOIN pg_namespace cn ON cn.oid = c.collnamespace
WHERE a.attrelid = ANY (%(relids)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum;

-- name: stream_tables
SELECT pgt_id, pgt_relid::bigint AS relid, plan FROM pgtrickle.pgt_stream_tables
WHERE pgt_relid = ANY (%(relids)s::oid[]);

-- name: has_catalog
SELECT to_regclass('pgtrickle.pgt_stream_tables') IS NOT NULL AS present;

-- name: functions
-- Facts on functions by the names that canonical text uses; overloads taken together.
SELECT name, bool_or(p.prokind = 'a') AS is_aggregate, bool_or(p.prokind = 'w') AS is_window,
       bool_or(p.proretset) AS is_set, bool_or(p.provolatile = 'v') AS is_volatile,
       bool_or(p.provolatile = 's') AS is_stable
FROM unnest(%(names)s::text[]) AS wanted (name)
JOIN pg_proc p ON p.proname = split_part(wanted.name, '.', 2)
              OR (strpos(wanted.name, '.') = 0 AND p.proname = wanted.name)
JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = CASE WHEN strpos(wanted.name, '.') = 0 THEN 'pg_catalog'
                       ELSE split_part(wanted.name, '.', 1) END
GROUP BY name;

-- name: read_functions
-- User-defined functions that a view calls, to notice a replaced body.
SELECT d.refobjid::bigint AS oid, p.xmin::text AS xmin
FROM pg_rewrite r
JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
JOIN pg_proc p ON p.oid = d.refobjid
WHERE r.ev_class = %(view)s::regclass AND d.refclassid = 'pg_proc'::regclass;
