-- Statements of trickle_runtime.capture.

-- name: begin
-- Deparsed types and expressions must be right under the search_path of the trigger functions. Locks are waited for
-- less long than it takes PostgreSQL to look for deadlocks, so that no writer becomes the victim of ours.
SELECT set_config('search_path', 'pg_catalog, pgtrickle_changes, pg_temp', true),
    set_config('lock_timeout', least(
        extract(epoch FROM (SELECT value::interval FROM pgtrickle.pgt_settings WHERE name = 'lock_timeout')) * 1000,
        (SELECT setting::int / 2 FROM pg_settings WHERE name = 'deadlock_timeout'))::int::text, true),
    pg_advisory_xact_lock(hashtextextended('pgtrickle capture ' || %(relid)s, 0))

-- name: exclude_others
SET LOCAL lock_timeout = '5s';
SELECT pg_advisory_lock(hashtextextended('pgtrickle capture build ' || %(relid)s, 0))

-- name: admit_others
SELECT pg_advisory_unlock(hashtextextended('pgtrickle capture build ' || %(relid)s, 0))

-- name: describe
WITH RECURSIVE tree (relid, level) AS (
    SELECT %(relid)s::oid, 0
    UNION
    -- A partition whose concurrent detach waits, or was left half-way, is none any more for new snapshots, and
    -- nothing but FINALIZE may alter it.
    SELECT i.inhrelid, tree.level + 1
    FROM pg_inherits i JOIN tree ON i.inhparent = tree.relid WHERE NOT i.inhdetachpending
), members AS (
    SELECT c.oid, c.relkind, min(tree.level) AS level, format('%%I.%%I', n.nspname, c.relname) AS name,
        has_table_privilege(c.oid, 'TRIGGER') AS may_trigger,
        has_schema_privilege(n.oid, 'USAGE') AS may_name,
        pg_has_role(c.relowner, 'USAGE') AS owned,
        EXISTS (SELECT FROM pg_subscription_rel r WHERE r.srrelid = c.oid) AS subscribed,
        EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid
            AND NOT EXISTS (SELECT FROM tree own WHERE own.relid = i.inhparent)) AS child
    FROM tree JOIN pg_class c ON c.oid = tree.relid JOIN pg_namespace n ON n.oid = c.relnamespace
    GROUP BY c.oid, c.relkind, n.nspname, c.relname, n.oid, c.relowner
), unwrapped (attnum, typid, typmod, elements, depth) AS (
    SELECT a.attnum, CASE WHEN e.typtype = 'd' THEN e.oid ELSE a.atttypid END,
        CASE WHEN e.typtype = 'd' THEN -1 ELSE a.atttypmod END, coalesce(e.typtype = 'd', false), 0
    FROM pg_attribute a
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A' AND t.typlen = -1
    WHERE a.attrelid = %(relid)s::oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT u.attnum, t.typbasetype, t.typtypmod, u.elements, u.depth + 1
    FROM unwrapped u JOIN pg_type t ON t.oid = u.typid AND t.typtype = 'd'
), base AS (
    SELECT DISTINCT ON (u.attnum) u.attnum,
        format_type(u.typid, u.typmod) || CASE WHEN u.elements THEN '[]' ELSE '' END AS type
    FROM unwrapped u ORDER BY u.attnum, u.depth DESC
)
SELECT c.relkind::text AS kind, c.relpersistence::text AS persistence, format('%%I.%%I', n.nspname, c.relname) AS name,
    c.relrowsecurity AND row_security_active(c.oid) AS secured,
    EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'citus') AS citus,
    EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique) AS unique,
    EXISTS (SELECT FROM pgtrickle.pgt_settings s WHERE s.name = 'block_source_ddl'
        AND lower(trim(s.value)) IN ('on', 'true')) AS blocking,
    (SELECT jsonb_agg(jsonb_build_object('relid', m.oid::bigint, 'name', m.name, 'kind', m.relkind,
        'may_trigger', m.may_trigger AND m.may_name, 'owned', m.owned, 'subscribed', m.subscribed, 'child', m.child)
        ORDER BY m.level, m.oid) FROM members m) AS members,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('attnum', a.attnum, 'name', a.attname, 'type', b.type,
        'collation', CASE WHEN a.attcollation <> 0 THEN (SELECT format('%%I.%%I', cn.nspname, co.collname)
            FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation) END,
        'expression', CASE WHEN a.attgenerated = 'v' THEN pg_get_expr(d.adbin, d.adrelid) END) ORDER BY a.attnum), '[]')
        FROM pg_attribute a JOIN base b ON b.attnum = a.attnum
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = c.oid) AS columns
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = %(relid)s::oid

-- name: installed
-- What is there: the source's row, whether it can be trusted, and the columns that dependants read. It is whole where
-- its triggers were disabled, or enabled in another way, and are as they should be again.
SELECT s.capture_mode,
    (SELECT state - 'triggers' = s.fingerprint - 'triggers'
        AND regexp_replace(state ->> 'triggers', ' [A-Z] [0-9]+(, |$)', '\1', 'g')
            = regexp_replace(s.fingerprint ->> 'triggers', ' [A-Z] [0-9]+(, |$)', '\1', 'g')
        AND state ->> 'triggers' !~ CASE WHEN %(owned)s THEN ' [DRO] [0-9]+(, |$)' ELSE ' [DR] [0-9]+(, |$)' END
        FROM pgtrickle.pgt_source_state(ARRAY[%(relid)s::oid])) AS whole, s.active_version,
    (SELECT b.columns FROM pgtrickle.pgt_buffers b
     WHERE b.source_relid = s.source_relid AND b.version = s.active_version) AS columns,
    CASE WHEN s.capture_mode = 'poll' THEN 'it was read by difference until now'
        WHEN s.source_relid IS NOT NULL THEN
            (SELECT i.message FROM pgtrickle.pgt_source_issues(ARRAY[%(relid)s::oid]) i LIMIT 1)
        WHEN EXISTS (SELECT FROM pgtrickle.pgt_dependencies d JOIN pgtrickle.pgt_frontiers f ON f.pgt_id = d.pgt_id
            WHERE d.source_relid = %(relid)s::oid AND NOT f.provisional) THEN 'it was not captured until now'
        END AS issue,
    (SELECT i.kind FROM pgtrickle.pgt_source_issues(ARRAY[%(relid)s::oid]) i LIMIT 1) AS issue_kind,
    (SELECT coalesce(max(b.version), 0) FROM pgtrickle.pgt_buffers b WHERE b.source_relid = %(relid)s::oid) AS newest,
    ARRAY(SELECT DISTINCT c FROM pgtrickle.pgt_buffers b, unnest(b.columns) c
        WHERE b.source_relid = %(relid)s::oid AND NOT b.discard) AS captured,
    ARRAY(SELECT DISTINCT c FROM pgtrickle.pgt_dependencies d, unnest(d.columns) c
        WHERE d.source_relid = %(relid)s::oid) AS used
FROM (SELECT) one LEFT JOIN pgtrickle.pgt_sources s ON s.source_relid = %(relid)s::oid

-- name: register_source
INSERT INTO pgtrickle.pgt_sources (source_relid, source_name, capture_mode, poll_reason, system_identifier)
VALUES (%(relid)s, %(name)s, %(mode)s, %(reason)s, pgtrickle.pgt_system_identifier())
ON CONFLICT (source_relid) DO NOTHING

-- name: poll_source
UPDATE pgtrickle.pgt_sources
SET source_name = %(name)s, capture_mode = 'poll', poll_reason = %(reason)s, active_version = 0, fingerprint = '{}',
    captured_at = pg_current_snapshot(), system_identifier = pgtrickle.pgt_system_identifier()
WHERE source_relid = %(relid)s

-- name: discard_buffers
UPDATE pgtrickle.pgt_buffers SET discard = true WHERE source_relid = %(relid)s

-- name: distrust
UPDATE pgtrickle.pgt_sources SET fingerprint = '{}' WHERE source_relid = %(relid)s

-- name: register_buffer
INSERT INTO pgtrickle.pgt_buffers (source_relid, version, buffer_name, columns)
VALUES (%(relid)s, %(version)s, %(buffer)s, %(columns)s::smallint[])

-- name: activate
-- All writers have left the old buffers: the source is locked against them.
UPDATE pgtrickle.pgt_buffers
SET retired_at = coalesce(retired_at, pg_current_snapshot()), discard = discard OR %(rebuild)s
WHERE source_relid = %(relid)s AND version < %(version)s;
UPDATE pgtrickle.pgt_sources
SET source_name = %(name)s, capture_mode = %(mode)s, poll_reason = NULL, active_version = %(version)s
WHERE source_relid = %(relid)s;
UPDATE pgtrickle.pgt_sources
SET fingerprint = (SELECT state FROM pgtrickle.pgt_source_state(ARRAY[%(relid)s::oid])),
    captured_at = pg_current_snapshot(), system_identifier = pgtrickle.pgt_system_identifier()
WHERE source_relid = %(relid)s

-- name: trust
-- Whoever enabled the triggers waited for all writers, so what they wrote meanwhile is visible to who sees the marker.
UPDATE pgtrickle.pgt_sources
SET fingerprint = (SELECT state FROM pgtrickle.pgt_source_state(ARRAY[%(relid)s::oid]))
WHERE source_relid = %(relid)s

-- name: mark
INSERT INTO pgtrickle.pgt_markers (source_relid, kind, message) VALUES (%(relid)s, 'R', %(message)s)

-- name: may_switch
-- Not where a later version has become active, or where this one was discarded by a rebuild.
SELECT EXISTS (
    SELECT FROM pgtrickle.pgt_buffers b JOIN pgtrickle.pgt_sources s ON s.source_relid = b.source_relid
    WHERE b.source_relid = %(relid)s AND b.version = %(version)s AND NOT b.discard AND s.active_version < b.version
) AS may

-- name: is_guarded
SELECT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = %(relid)s
    AND t.tgname = 'pgtrickle' || '_' || %(relid)s || '_guard') AS guarded

-- name: left_behind
-- Row-level triggers that PostgreSQL has cloned to a partition which is being detached: replacing them does not reach it.
SELECT DISTINCT t.tgname AS name
FROM pg_trigger t JOIN pg_inherits i ON i.inhrelid = t.tgrelid AND i.inhdetachpending
WHERE t.tgparentid <> 0 AND starts_with(t.tgname::text, 'pgtrickle_' || %(relid)s || '_')
      AND t.tgname <> 'pgtrickle_' || %(relid)s || '_guard'  -- it captures nothing

-- name: old_functions
SELECT p.proname::text AS name FROM pg_proc p
WHERE p.pronamespace = 'pgtrickle_changes'::regnamespace
    AND substring(p.proname FROM ('^capture_' || %(relid)s || '_([0-9]+)_'))::int < %(version)s
ORDER BY p.proname

-- name: live_buffers
SELECT b.version, b.buffer_name::text AS buffer_name, b.columns
FROM pgtrickle.pgt_buffers b
WHERE b.source_relid = %(relid)s AND NOT b.discard ORDER BY b.version

-- name: view_columns
SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type,
    CASE WHEN a.attcollation <> 0 THEN (SELECT format('%%I.%%I', cn.nspname, co.collname)
        FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation)
    END AS collation
FROM pg_attribute a
WHERE a.attrelid = to_regclass(%(view)s) AND a.attnum > 2 AND NOT a.attisdropped ORDER BY a.attnum

-- name: buffer_columns
SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type,
    CASE WHEN a.attcollation <> 0 THEN (SELECT format('%%I.%%I', cn.nspname, co.collname)
        FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation)
    END AS collation
FROM pg_attribute a
WHERE a.attrelid = %(buffer)s::regclass AND a.attnum > 2 AND NOT a.attisdropped ORDER BY a.attnum

-- name: drop_capture
SELECT pgtrickle.pgt_drop_capture(%(relid)s)

-- name: pending
SELECT pgt_id, source_relid::bigint AS source_relid, changes, truncated, failed, polled, message
FROM pgtrickle.pgt_pending(%(pgt_ids)s::bigint[])

-- name: issues
SELECT source_relid::bigint AS source_relid, kind, message, new_relid::bigint AS new_relid
FROM pgtrickle.pgt_source_issues(%(relids)s::oid[])

-- name: partitions_now
-- pg_partition_tree() reads the catalog as it is now, pgt_sources is as old as the transaction's snapshot.
SELECT s.source_relid::bigint AS source_relid, s.source_name
FROM pgtrickle.pgt_sources s
WHERE s.source_relid = ANY (%(relids)s::oid[]) AND s.fingerprint ->> 'kind' LIKE 'p%%'
    AND ARRAY(SELECT p.relid::oid::text FROM pg_partition_tree(s.source_relid) p
        WHERE p.relid <> s.source_relid ORDER BY p.relid::oid::text COLLATE "C")
    <> ARRAY(SELECT member.key FROM jsonb_each_text(
        CASE WHEN s.fingerprint ->> 'partitions' IS NULL THEN '{}' ELSE s.fingerprint -> 'partitions' END) member
        WHERE member.value NOT LIKE '%% true %%'  -- being detached: no partition any more
        ORDER BY member.key COLLATE "C")

-- name: vanished_stream_tables
SELECT t.pgt_id FROM pgtrickle.pgt_stream_tables t
WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.pgt_relid)
    -- In a restored database all oids are others; that is not for us to tidy up.
    AND NOT EXISTS (SELECT FROM pgtrickle.pgt_frontiers f WHERE f.pgt_id = t.pgt_id
        AND f.system_identifier <> pgtrickle.pgt_system_identifier())
ORDER BY t.pgt_id

-- name: forget_stream_table
DELETE FROM pgtrickle.pgt_stream_tables t
WHERE t.pgt_id = %(pgt_id)s AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.pgt_relid)
RETURNING t.pgt_id

-- name: state_tables
SELECT c.relname::text AS name, c.relkind::text AS kind FROM pg_class c
WHERE c.relnamespace = 'pgtrickle_state'::regnamespace AND c.relkind IN ('r', 'v')
    AND c.relname ~ ('^[a-z]+_' || %(pgt_id)s || '(_|$)') ORDER BY c.relkind DESC, c.relname

-- name: idle_sources
-- Sources that do not exist any more, or that no stream table reads.
SELECT s.source_relid::bigint AS relid FROM pgtrickle.pgt_sources s
WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = s.source_relid)
    OR NOT EXISTS (SELECT FROM pgtrickle.pgt_dependencies d WHERE d.source_relid = s.source_relid)
ORDER BY s.source_relid

-- name: consumable
-- Buffers of sources whose consumers all have a frontier that belongs to this cluster; and the size of their files.
SELECT b.source_relid::bigint AS relid, b.version, b.buffer_name::text AS buffer_name, b.discard
FROM pgtrickle.pgt_buffers b
JOIN pg_class c ON c.relname = b.buffer_name AND c.relnamespace = 'pgtrickle_changes'::regnamespace
WHERE pg_relation_size(c.oid) > 0 AND NOT b.discard
    AND NOT EXISTS (
        SELECT FROM pgtrickle.pgt_dependencies d LEFT JOIN pgtrickle.pgt_frontiers f ON f.pgt_id = d.pgt_id
        WHERE d.source_relid = b.source_relid AND (f.pgt_id IS NULL
            OR f.system_identifier <> pgtrickle.pgt_system_identifier()
            OR pg_snapshot_xmax(f.snapshot) > pg_snapshot_xmax(pg_current_snapshot())))
ORDER BY b.source_relid, b.version

-- name: delete_consumed
-- Consumed is what every frontier of a consumer sees; frontiers only move on, so that one read a moment ago is safe.
WITH frontiers AS MATERIALIZED (
    SELECT DISTINCT ON (f.snapshot::text) f.snapshot
    FROM pgtrickle.pgt_dependencies d JOIN pgtrickle.pgt_frontiers f ON f.pgt_id = d.pgt_id
    WHERE d.source_relid = %(relid)s
    ORDER BY f.snapshot::text
), consumed AS MATERIALIZED (
    SELECT b.ctid AS place FROM {buffer} b
    WHERE EXISTS (SELECT FROM frontiers)
        AND NOT EXISTS (SELECT FROM frontiers f WHERE NOT pg_visible_in_snapshot(b.xid, f.snapshot))
        AND b.ctid > %(after)s::tid
    LIMIT %(batch)s FOR UPDATE OF b SKIP LOCKED
), gone AS (
    DELETE FROM {buffer} b WHERE b.ctid = ANY (ARRAY(SELECT place FROM consumed)) RETURNING b.ctid AS place
)
SELECT count(*) AS deleted, max(place)::text AS last FROM gone

-- name: has_rows
SELECT EXISTS (SELECT FROM {table}) AS present

-- name: delete_markers
DELETE FROM pgtrickle.pgt_markers m
WHERE NOT EXISTS (
    SELECT FROM pgtrickle.pgt_dependencies d LEFT JOIN pgtrickle.pgt_frontiers f ON f.pgt_id = d.pgt_id
    WHERE d.source_relid = m.source_relid AND (f.pgt_id IS NULL
        OR f.system_identifier <> pgtrickle.pgt_system_identifier()
        OR NOT pg_visible_in_snapshot(m.xid, f.snapshot)))
    -- A failure must be mended, too, before it is forgotten.
    AND NOT EXISTS (SELECT FROM pgtrickle.pgt_sources s WHERE s.source_relid = m.source_relid
        AND m.kind = 'X' AND NOT pg_visible_in_snapshot(m.xid, s.captured_at))

-- name: retired
SELECT b.source_relid::bigint AS relid, b.version, b.buffer_name::text AS buffer_name, b.discard
FROM pgtrickle.pgt_buffers b JOIN pgtrickle.pgt_sources s ON s.source_relid = b.source_relid
WHERE b.version < s.active_version AND b.retired_at IS NOT NULL
ORDER BY b.source_relid, b.version

-- name: forget_buffer
DELETE FROM pgtrickle.pgt_buffers WHERE source_relid = %(relid)s AND version = %(version)s

-- name: logs
SELECT t.pgt_id, c.relname::text AS log, min(coalesce((f.upstream ->> t.pgt_id::text)::bigint, 0)) AS consumed
FROM pgtrickle.pgt_stream_tables t
JOIN pg_class c ON c.relname = ('log_' || t.pgt_id)::name AND c.relnamespace = 'pgtrickle_changes'::regnamespace
LEFT JOIN pgtrickle.pgt_dependencies d ON d.source_pgt_id = t.pgt_id
LEFT JOIN pgtrickle.pgt_frontiers f ON f.pgt_id = d.pgt_id
WHERE pg_relation_size(c.oid) > 0
GROUP BY t.pgt_id, c.relname
-- A consumer that has no frontier yet stops the cleanup.
HAVING bool_and(d.pgt_id IS NULL OR f.pgt_id IS NOT NULL)

-- name: delete_log
WITH consumed AS MATERIALIZED (
    SELECT l.ctid AS place FROM {log} l WHERE l.__pgt_refresh <= %(consumed)s
    LIMIT %(batch)s FOR UPDATE OF l SKIP LOCKED
), gone AS (
    DELETE FROM {log} l WHERE l.ctid = ANY (ARRAY(SELECT place FROM consumed)) RETURNING 1
)
SELECT count(*) AS deleted FROM gone

-- name: log_columns
-- Creators of several readers may come at the same time, and IF NOT EXISTS is no help: it does not see what others
-- have not committed. Whoever waited looks with a new snapshot.
SELECT pg_advisory_xact_lock(hashtextextended('pgtrickle log ' || %(pgt_id)s, 0));
SELECT string_agg(format(', %%I %%s%%s', a.attname, format_type(a.atttypid, a.atttypmod),
        (SELECT format(' COLLATE %%I.%%I', cn.nspname, co.collname)
            FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation)),
        '' ORDER BY a.attnum) AS columns,
    array_agg(a.attname::text ORDER BY a.attnum) AS names
FROM pgtrickle.pgt_stream_tables t JOIN pg_attribute a ON a.attrelid = t.pgt_relid
WHERE t.pgt_id = %(pgt_id)s AND a.attnum > 0 AND NOT a.attisdropped

-- name: log_exists
SELECT array_agg(a.attname::text || ' ' || format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum) AS columns
FROM pg_attribute a
WHERE a.attrelid = to_regclass(%(log)s) AND a.attnum > 0 AND NOT a.attisdropped
