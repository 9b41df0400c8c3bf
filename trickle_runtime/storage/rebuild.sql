-- Statements of trickle_runtime.storage.rebuild. They run with search_path = pg_catalog, so that PostgreSQL prints every
-- name qualified. Those that return statements give one per row, in the order in which to run them.

-- name: pin_search_path
SELECT current_setting('search_path') AS before, set_config('search_path', 'pg_catalog', true)

-- name: restore_search_path
SELECT set_config('search_path', %(before)s, true)

-- name: lock_against_writers
LOCK TABLE {relation} IN SHARE ROW EXCLUSIVE MODE

-- name: lock_against_all
LOCK TABLE {relation} IN ACCESS EXCLUSIVE MODE

-- name: relid
SELECT %(relation)s::regclass::oid::bigint AS relid

-- name: unmovable
-- What depends on the table and can't follow it: only views and functions with a parsed body can.
SELECT DISTINCT CASE WHEN r.oid IS NULL THEN pg_describe_object(d.classid, d.objid, d.objsubid)
                     ELSE pg_describe_object('pg_class'::regclass, r.ev_class, 0) END AS object,
                coalesce(v.relkind = 'm', false) AS is_view
FROM pg_depend d
LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
LEFT JOIN pg_class v ON v.oid = r.ev_class
LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
JOIN pg_class t ON t.oid = %(relid)s
LEFT JOIN pg_type element ON element.oid = t.reltype
WHERE d.deptype = 'n'
      AND (d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid
           OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN (t.reltype, element.typarray))
      AND (d.refclassid = 'pg_class'::regclass AND v.relkind = 'v' AND r.rulename = '_RETURN') IS NOT TRUE
      AND (d.refclassid = 'pg_class'::regclass AND p.prosqlbody IS NOT NULL) IS NOT TRUE
      AND NOT EXISTS (  -- what belongs to the table itself
          SELECT FROM pg_depend own
          WHERE own.classid = d.classid AND own.objid = d.objid AND own.deptype IN ('a', 'i')
                AND own.refclassid = 'pg_class'::regclass AND own.refobjid = t.oid)
UNION ALL
SELECT 'its place as a child of table ' || i.inhparent::regclass, false FROM pg_inherits i WHERE i.inhrelid = %(relid)s
UNION ALL
SELECT 'table ' || i.inhrelid::regclass || ', which inherits from it', false
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = %(relid)s AND NOT c.relispartition
ORDER BY object

-- name: indexes
-- The user's own indexes and constraints with an index. "definition" begins where the names end.
SELECT row_number() OVER (ORDER BY c.relname) AS number, c.relname::text AS name, con.conname IS NOT NULL AS is_constraint, x.indisunique AS is_unique,
       ARRAY(SELECT a.attname::text FROM unnest(x.indkey[0:x.indnkeyatts - 1]) AS k (attnum)
             JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum) AS columns,
       CASE WHEN con.conname IS NOT NULL THEN pg_get_constraintdef(con.oid)
            ELSE substr(pg_get_indexdef(x.indexrelid), 1 + length(format(
                'CREATE %%sINDEX %%I ON %%s%%I.%%I ', CASE WHEN x.indisunique THEN 'UNIQUE ' END, c.relname,
                CASE t.relkind WHEN 'p' THEN 'ONLY ' END, n.nspname, t.relname)))
       END AS definition,
       obj_description(c.oid, 'pg_class') AS comment
FROM pg_index x
JOIN pg_class c ON c.oid = x.indexrelid
JOIN pg_class t ON t.oid = x.indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
LEFT JOIN pg_constraint con ON con.conindid = x.indexrelid AND con.conrelid = t.oid AND con.contype IN ('p', 'u', 'x')
WHERE x.indrelid = %(relid)s AND NOT c.relname ^@ 'pgt_identity_'
ORDER BY c.relname

-- name: create_like
CREATE TABLE {beside} (LIKE {relation} INCLUDING ALL EXCLUDING INDEXES EXCLUDING IDENTITY) {partition_clause}

-- name: copy_rows
INSERT INTO {beside} ({columns}) SELECT {columns} FROM {relation}

-- name: old_rows
(SELECT 1 AS __pgt_w, r.* FROM {relation} AS r)

-- name: create_index
CREATE {unique} INDEX {index} ON {beside} {definition}

-- name: before_index
SAVEPOINT pgt_index

-- name: undo_index
ROLLBACK TO SAVEPOINT pgt_index;
RELEASE SAVEPOINT pgt_index

-- name: after_index
RELEASE SAVEPOINT pgt_index

-- name: create_constraint
ALTER TABLE {beside} ADD CONSTRAINT {index} {definition}

-- name: analyze
ANALYZE {beside}

-- name: rename_table
ALTER TABLE {relation} RENAME TO {name}

-- name: rename_index
ALTER INDEX {relation} RENAME TO {name}

-- name: rename_constraint
ALTER TABLE {relation} RENAME CONSTRAINT {index} TO {name}

-- name: comment_index
COMMENT ON INDEX {index} IS {comment}

-- name: drop_table
DROP TABLE {relation}

-- name: partitions
SELECT n.nspname::text AS schema, c.relname::text AS name
FROM pg_partition_tree(%(relation)s::regclass) t
JOIN pg_class c ON c.oid = t.relid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE t.level > 0 AND c.relname ^@ %(base)s

-- name: dependants
-- Read while the old table still has its name. Views and functions are replaced in place: they keep their oid, owner,
-- grants, comments and whatever depends on them.
SELECT DISTINCT 'view ' || v.oid::regclass AS object,
       format('CREATE OR REPLACE VIEW %%I.%%I%%s AS %%s', n.nspname, v.relname,
              ' WITH (' || array_to_string(v.reloptions, ', ') || ')', pg_get_viewdef(v.oid)) AS statement
FROM pg_depend d
JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
JOIN pg_namespace n ON n.oid = v.relnamespace
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %(relid)s
UNION ALL
SELECT DISTINCT 'function ' || p.oid::regprocedure, pg_get_functiondef(p.oid)
FROM pg_depend d
JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %(relid)s AND p.prosqlbody IS NOT NULL

-- name: belongings
-- What belongs to the table itself, as statements that name it: run after the new table has taken its name.
WITH t AS (
    SELECT c.*, format('%%I.%%I', n.nspname, c.relname) AS relation
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = %(relid)s
),
privileges AS (
    SELECT c.oid, NULL::text AS on_column, a.* FROM t AS c, aclexplode(c.relacl) AS a
    UNION ALL
    SELECT a.attrelid, format(' (%%I)', a.attname), x.*
    FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND NOT a.attisdropped, aclexplode(a.attacl) AS x
)
SELECT * FROM (
    SELECT 1 AS position, 'the owner' AS object, format('ALTER TABLE %%s OWNER TO %%I', t.relation, r.rolname) AS statement
    FROM t JOIN pg_roles r ON r.oid = t.relowner
    WHERE r.rolname <> current_user
    UNION ALL
    SELECT 2, 'foreign key ' || con.conname,
           format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', t.relation, con.conname, pg_get_constraintdef(con.oid))
    FROM t JOIN pg_constraint con ON con.conrelid = t.oid AND con.contype = 'f' AND con.conparentid = 0
    UNION ALL
    SELECT 3, 'grant to ' || coalesce(r.rolname, 'PUBLIC'),
           format('GRANT %%s%%s ON %%s TO %%s%%s', p.privilege_type, p.on_column, t.relation,
                  coalesce(quote_ident(r.rolname), 'PUBLIC'), CASE WHEN p.is_grantable THEN ' WITH GRANT OPTION' END)
    FROM t JOIN privileges p ON p.grantee <> t.relowner
    LEFT JOIN pg_roles r ON r.oid = p.grantee
    UNION ALL
    SELECT 4, 'the comment', format('COMMENT ON TABLE %%s IS %%L', t.relation, obj_description(t.oid, 'pg_class'))
    FROM t WHERE obj_description(t.oid, 'pg_class') IS NOT NULL
    UNION ALL
    SELECT 5, 'trigger ' || g.tgname, pg_get_triggerdef(g.oid)
    FROM t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal AND g.tgparentid = 0
    UNION ALL
    SELECT 6, 'trigger ' || g.tgname,
           format('ALTER TABLE %%s %%s TRIGGER %%I', t.relation,
                  CASE g.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE REPLICA' END, g.tgname)
    FROM t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal AND g.tgparentid = 0 AND g.tgenabled <> 'O'
    UNION ALL
    SELECT 7, 'policy ' || y.policyname,
           format('CREATE POLICY %%I ON %%s AS %%s FOR %%s TO %%s%%s%%s', y.policyname, t.relation, y.permissive, y.cmd,
                  (SELECT string_agg(CASE role WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(role) END, ', ')
                   FROM unnest(y.roles) AS role),
                  ' USING (' || y.qual || ')', ' WITH CHECK (' || y.with_check || ')')
    FROM t JOIN pg_policies y ON format('%%I.%%I', y.schemaname, y.tablename) = t.relation
    UNION ALL
    SELECT 8, 'row security', format('ALTER TABLE %%s ENABLE ROW LEVEL SECURITY', t.relation) FROM t WHERE t.relrowsecurity
    UNION ALL
    SELECT 9, 'row security', format('ALTER TABLE %%s FORCE ROW LEVEL SECURITY', t.relation)
    FROM t WHERE t.relforcerowsecurity
    UNION ALL
    SELECT 10, 'rule ' || u.rulename, pg_get_ruledef(u.oid) FROM t JOIN pg_rewrite u ON u.ev_class = t.oid
    UNION ALL
    SELECT 11, 'publication ' || b.pubname,
           format('ALTER PUBLICATION %%I ADD TABLE %%s%%s%%s', b.pubname, t.relation,
                  ' (' || (SELECT string_agg(quote_ident(a.attname), ', ') FROM pg_attribute a
                           WHERE a.attrelid = t.oid AND a.attnum = ANY (m.prattrs)) || ')',
                  ' WHERE (' || pg_get_expr(m.prqual, m.prrelid) || ')')
    FROM t JOIN pg_publication_rel m ON m.prrelid = t.oid JOIN pg_publication b ON b.oid = m.prpubid
) AS statements
ORDER BY position, object, statement

-- name: default_grantees
-- Default privileges gave these to the new table; the old one may never have had them.
SELECT DISTINCT format('REVOKE ALL ON %%s FROM %%s', %(relation)s,
                       coalesce(quote_ident(r.rolname), 'PUBLIC')) AS statement
FROM pg_class c, aclexplode(c.relacl) AS a
LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE c.oid = %(relation)s::regclass AND a.grantee <> c.relowner

-- name: generated_indexes
-- Indexes that PostgreSQL named after the table or its partitions while they had other names.
SELECT n.nspname::text AS schema, c.relname::text AS name
FROM pg_partition_tree(%(relation)s::regclass) t
JOIN pg_index x ON x.indrelid = t.relid
JOIN pg_class c ON c.oid = x.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname ^@ %(base)s

-- name: follow
WITH moved AS (
    UPDATE pgtrickle.pgt_dependencies SET source_relid = %(new)s WHERE source_relid = %(old)s
)
UPDATE pgtrickle.pgt_stream_tables SET pgt_relid = %(new)s, updated_at = clock_timestamp() WHERE pgt_relid = %(old)s

-- name: pause
SELECT pg_sleep(%(seconds)s)
