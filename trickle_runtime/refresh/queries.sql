-- name: survey
SELECT pgt_id, relid::bigint AS relid, relation, status, fuse_state, blow_reason, reads, stale, moved, pending, lock_timeout,
       coalesce(lock_names, '{}') AS lock_names, coalesce(lock_relids, '{}') AS lock_relids,
       ARRAY(SELECT unnest(g.reads) FROM pgtrickle.pgt_gates g WHERE g.pgt_id = survey.pgt_id) AS gate_reads
FROM pgtrickle.pgt_survey(pgtrickle.pgt_with_gates(%(pgt_ids)s::bigint[]), %(locks)s) survey

-- name: observe
SELECT *, pg_backend_pid() AS backend_pid, (
    SELECT jsonb_agg(g ORDER BY g.position) FROM pgtrickle.pgt_gates g
) AS gates
FROM pgtrickle.pgt_observe(pgtrickle.pgt_with_gates(%(pgt_ids)s::bigint[]), %(past)s)

-- name: examine
WITH RECURSIVE tree (member) AS (
    SELECT unnest({sources})
    UNION
    SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.member
)
SELECT members, pgtrickle.pgt_stamp({ids}, {own}, members::oid[], {others}, {functions}) AS stamp
FROM (SELECT coalesce(array_agg(member::bigint), '{}') AS members FROM tree) found

-- name: look
SELECT pg_current_snapshot()::text AS snapshot, now() AS at, pg_current_xact_id_if_assigned()::text AS own_xid,
       pg_backend_pid() AS backend_pid,
       pgtrickle.pgt_stamp({ids}, {own}, {members}, {others}, {functions}) AS stamp,
       (SELECT jsonb_agg(jsonb_build_object('pgt_id', f.pgt_id, 'snapshot', f.snapshot::text, 'clock', f.clock::text,
            'upstream', f.upstream, 'refresh_no', f.refresh_no, 'version', f.version,
            'valid', f.system_identifier = {system}
                AND pg_snapshot_xmax(f.snapshot) <= pg_snapshot_xmax(pg_current_snapshot())))
        FROM pgtrickle.pgt_frontiers f WHERE f.pgt_id = ANY ({ids})) AS frontiers,
       (SELECT jsonb_agg(jsonb_build_array(p.pgt_id, p.relid, p.changes)) FROM (
{pending}
       ) p (pgt_id, relid, changes)) AS pending

-- name: look_at_buffer
SELECT {pgt_id}, {relid}, count(*)
FROM {buffer} b CROSS JOIN (SELECT f.snapshot FROM pgtrickle.pgt_frontiers f WHERE f.pgt_id = {pgt_id} OFFSET 0) f
WHERE b.op <> 'A' AND NOT pg_visible_in_snapshot(b.xid, f.snapshot)

-- name: look_at_log
-- A change log has no updates: the larger of what came and what went counts each of them once.
SELECT {pgt_id}, {relid}, sum(n) FROM (
    SELECT greatest(sum(l.__pgt_w) FILTER (WHERE l.__pgt_w > 0), -sum(l.__pgt_w) FILTER (WHERE l.__pgt_w < 0)) AS n
    FROM {log} l
    WHERE l.__pgt_refresh > (
        SELECT coalesce((f.upstream ->> {below})::bigint, 0) FROM pgtrickle.pgt_frontiers f WHERE f.pgt_id = {pgt_id})
    GROUP BY l.__pgt_refresh
) refreshes

-- name: look_at_nothing
SELECT 0, 0, 0

-- name: try_locks
SELECT pgt_id
FROM (SELECT unnest(%(pgt_ids)s::bigint[]) AS pgt_id ORDER BY 1) wanted
WHERE pg_try_advisory_lock(%(space)s::int, hashint8(pgt_id))

-- name: hold
SELECT pgtrickle.pgt_hold(%(space)s::int, %(pgt_ids)s::bigint[])

-- name: wait_lock
BEGIN;
SET LOCAL lock_timeout = '60s';
SELECT pg_advisory_lock(%(space)s::int, hashint8(%(pgt_id)s::bigint));
COMMIT

-- name: unlock
SELECT pg_advisory_unlock(%(space)s::int, hashint8(pgt_id))
FROM unnest(%(pgt_ids)s::bigint[]) AS held (pgt_id)

-- name: advance
SELECT pgtrickle.pgt_advance(%(pgt_id)s, %(version)s, %(snapshot)s, %(upstream)s, %(system_identifier)s, %(settings)s)

-- name: nothing_changed
-- No row of the table changed: the tables above have nothing to read.
UPDATE pgtrickle.pgt_frontiers SET refresh_no = refresh_no - 1 WHERE pgt_id = %(pgt_id)s

-- name: record
SELECT pgtrickle.pgt_record(%(pgt_id)s, %(action)s, %(reason)s, %(initiated_by)s, %(rows_in)s, %(inserted)s, %(updated)s,
                            %(deleted)s, %(duration_ms)s)

-- name: succeeded
-- After the commit of the pass, in a transaction of its own: a user may have changed the row meanwhile. A crash may
-- lose it, so the pass does not wait until it is on disk.
SET LOCAL synchronous_commit = off;
UPDATE pgtrickle.pgt_stream_tables s
SET is_populated = true,
    status = CASE WHEN s.status IN ('suspended', 'error') THEN 'active' ELSE s.status END,
    reinit_reason = CASE WHEN done.full_refresh AND s.reinit_reason IS NOT DISTINCT FROM done.reinit_reason
                         THEN NULL ELSE s.reinit_reason END,
    diverged = s.diverged AND NOT done.full_refresh,
    fuse_exempt = false,
    consecutive_errors = 0,
    last_error = NULL,
    last_error_code = NULL,
    next_attempt_at = NULL
FROM jsonb_to_recordset(%(done)s::jsonb) AS done (pgt_id bigint, full_refresh boolean, reinit_reason text)
WHERE s.pgt_id = done.pgt_id

-- name: failed
WITH failed AS (
    INSERT INTO pgtrickle.pgt_refresh_history (pgt_id, ended_at, action, status, reason, initiated_by, rows_in,
                                               duration_ms, error_code, error_message)
    VALUES (%(pgt_id)s, clock_timestamp(), %(action)s, 'failed', %(reason)s, %(initiated_by)s, %(rows_in)s,
            %(duration_ms)s, %(error_code)s, %(error_message)s)
), recent AS (
    SELECT count(*) FILTER (WHERE n <= least(first_success, 11)) AS failures
    FROM (SELECT n, coalesce(min(n) FILTER (WHERE status = 'completed') OVER (), 12) - 1 AS first_success
          FROM (SELECT status, row_number() OVER (ORDER BY refresh_id DESC) AS n
                FROM pgtrickle.pgt_refresh_history WHERE pgt_id = %(pgt_id)s ORDER BY refresh_id DESC LIMIT 11) h) numbered
)
UPDATE pgtrickle.pgt_stream_tables
SET last_error = %(error_message)s,
    last_error_code = %(error_code)s,
    consecutive_errors = consecutive_errors + CASE WHEN %(kind)s = 'transient' THEN 0 ELSE 1 END,
    status = CASE WHEN status NOT IN ('active', 'error') THEN status
                  WHEN %(kind)s = 'gone' THEN 'error'
                  WHEN %(kind)s = 'permanent' AND consecutive_errors + 1 >= %(max_errors)s THEN 'suspended'
                  ELSE status END,
    next_attempt_at = clock_timestamp() + make_interval(
        secs => least(%(longest)s, %(shortest)s * power(2, (SELECT failures FROM recent))) * (0.5 + random() / 2))
WHERE pgt_id = %(pgt_id)s
RETURNING status

-- name: settings
SELECT name, value FROM pgtrickle.pgt_settings

-- name: notify
SELECT pg_notify('pgtrickle_alert', payload) FROM unnest(%(payloads)s::text[]) AS alerts (payload)

-- name: mark_reinit
UPDATE pgtrickle.pgt_stream_tables SET reinit_reason = %(reason)s WHERE pgt_id = ANY (%(pgt_ids)s::bigint[])

-- name: begin_pass
-- Plain SET, since a SELECT would take the snapshot. Joins of a delta are flat and many: PostgreSQL orders them itself.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SET LOCAL lock_timeout = {lock};
SET LOCAL statement_timeout = 0;
SET LOCAL row_security = off;
SET LOCAL jit = off;
SET LOCAL join_collapse_limit = 20;
SET LOCAL from_collapse_limit = 20

-- name: lock_to_write
LOCK TABLE {relations} IN ROW EXCLUSIVE MODE

-- name: lock_to_read
LOCK TABLE {relations} IN ACCESS SHARE MODE

-- name: limit_statements
SET LOCAL statement_timeout = {milliseconds}

-- name: prepare
PREPARE {name} AS
{statement}

-- name: execute_prepared
EXECUTE {name}

-- name: deallocate
DEALLOCATE {name}

-- name: other_than_inserts
SELECT 1 FROM {buffer} WHERE op <> 'I' AND NOT pg_visible_in_snapshot(xid, %(frontier)s::pg_snapshot) LIMIT 1

-- name: read_settings
SELECT name, current_setting(name) AS value FROM unnest(%(names)s::text[]) AS wanted (name)

-- name: apply_settings
SELECT set_config(name, value, true) FROM unnest(%(names)s::text[], %(values)s::text[]) AS given (name, value)

-- name: get_compiled
SELECT steps
FROM pgtrickle.pgt_compiled
WHERE pgt_id = %(pgt_id)s AND changed = %(changed)s AND definition_version = %(definition_version)s
      AND compiler_version = %(compiler_version)s

-- name: put_compiled
INSERT INTO pgtrickle.pgt_compiled (pgt_id, changed, definition_version, compiler_version, steps)
VALUES (%(pgt_id)s, %(changed)s, %(definition_version)s, %(compiler_version)s, %(steps)s::jsonb)
ON CONFLICT (pgt_id, changed) DO UPDATE
SET definition_version = excluded.definition_version, compiler_version = excluded.compiler_version, steps = excluded.steps

-- name: protect
CREATE OR REPLACE TRIGGER pgt_protect BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {relation}
    FOR EACH STATEMENT WHEN (current_setting('pgtrickle.refreshing', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION pgtrickle.pgt_protect();
ALTER TABLE {relation} ENABLE ALWAYS TRIGGER pgt_protect

-- name: create_state
CREATE TABLE {state} WITH (fillfactor = 90) AS {query} {data};
ALTER TABLE {state} REPLICA IDENTITY FULL

-- name: drop_state
DROP TABLE IF EXISTS {state}

-- name: unblock_ddl
DROP VIEW IF EXISTS {view}

-- name: block_ddl
CREATE VIEW {view} AS {query}

-- name: view_stamps
-- The state of views that a query reads through; a replaced view has another.
SELECT r.ev_class::bigint AS relid, r.xmin::text AS stamp
FROM pg_rewrite r
WHERE r.rulename = '_RETURN' AND r.ev_class = ANY (%(relids)s::oid[])

-- name: split_name
-- An unqualified name means the first schema of the search path, as for CREATE TABLE.
SELECT CASE cardinality(parts) WHEN 2 THEN parts[1] WHEN 1 THEN current_schema() END AS schema,
       parts[cardinality(parts)] AS name
FROM parse_ident(%(name)s) AS parts

-- name: relation_of
SELECT c.oid::bigint AS relid, c.relkind::text AS kind
FROM pg_class c
WHERE c.oid = to_regclass(%(name)s)

-- name: name_lock
SELECT pg_try_advisory_lock(%(space)s::int, hashtext(%(name)s)) AS got

-- name: name_unlock
SELECT pg_advisory_unlock(%(space)s::int, hashtext(%(name)s))

-- name: drain
SET LOCAL lock_timeout = '3s';
LOCK TABLE {relation} IN SHARE MODE

-- name: fill
INSERT INTO {relation} ({columns})
{query}

-- name: analyze
ANALYZE {relation}

-- name: drop_relation
DROP {kind} IF EXISTS {relation} {behaviour}

-- name: rename_relation
ALTER TABLE {relation} RENAME TO {name}

-- name: filled
UPDATE pgtrickle.pgt_frontiers
SET snapshot = pg_current_snapshot(), upstream = %(upstream)s::jsonb, version = version + 1,
    provisional = false, system_identifier = pgtrickle.pgt_system_identifier(), clock = now(),
    data_timestamp = CASE WHEN %(done)s THEN now() END, last_refresh_at = CASE WHEN %(done)s THEN clock_timestamp() END
WHERE pgt_id = %(pgt_id)s

-- name: count_rows
SELECT count(*) AS rows FROM {relation}

-- name: grown_buffers
-- Those that have grown by a quarter since they were last analysed or vacuumed; a few pages are read either way.
SELECT DISTINCT c.relname::text AS name
FROM pgtrickle.pgt_dependencies d
JOIN pgtrickle.pgt_buffers b ON b.source_relid = d.source_relid
JOIN pg_class c ON c.relname = b.buffer_name AND c.relnamespace = 'pgtrickle_changes'::regnamespace
WHERE d.pgt_id = ANY (%(pgt_ids)s::bigint[])
    AND pg_relation_size(c.oid) / current_setting('block_size')::int > greatest(1.25 * c.relpages, 16)
ORDER BY 1

-- name: analyze_buffer
-- A small sample, of 900 rows: how many rows there are matters most, and it is gone after the next refresh.
SET LOCAL default_statistics_target = 3;
ANALYZE (SKIP_LOCKED) {relation}

-- name: add_column
ALTER TABLE {relation} ADD COLUMN {column} {type}

-- name: readers_of_columns
-- What DROP COLUMN would not take along: a view depends by its rule. Indexes and checks go with the column.
SELECT DISTINCT
    CASE WHEN r.ev_class IS NULL THEN pg_describe_object(d.classid, d.objid, d.objsubid)
         ELSE pg_describe_object('pg_class'::regclass, r.ev_class, 0) END
    || ' depends on ' || pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid) AS reads,
    r.ev_class IS NOT NULL AS is_view
FROM pg_depend d
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %(relid)s::oid AND d.deptype = 'n'
      AND k.conrelid IS DISTINCT FROM d.refobjid  -- a check of its own goes as well
      AND a.attname = ANY (%(columns)s::text[])
ORDER BY reads

-- name: drop_column
ALTER TABLE {relation} DROP COLUMN {column}

-- name: mark_stale
-- Their next pass analyses them again before anything else.
UPDATE pgtrickle.pgt_stream_tables s
SET plan = s.plan || jsonb_build_object('stale', %(reason)s::text)
FROM pgtrickle.pgt_dependencies d
WHERE d.pgt_id = s.pgt_id AND d.source_pgt_id = %(pgt_id)s

-- name: read_another
-- Stream tables that read what had this name, which is a table by now that is not captured for them.
SELECT DISTINCT d.pgt_id
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pgtrickle.pgt_dependencies d
    ON d.source_name IN (%(name)s, quote_ident(n.nspname) || '.' || quote_ident(c.relname)) AND d.source_relid <> c.oid
JOIN pgtrickle.pgt_stream_tables s ON s.pgt_id = d.pgt_id AND s.status <> 'initializing'
WHERE c.oid = to_regclass(%(name)s) AND c.relkind IN ('r', 'p')
    AND NOT EXISTS (SELECT FROM pgtrickle.pgt_stream_tables o WHERE o.pgt_relid = c.oid)
    AND NOT EXISTS (SELECT FROM pgtrickle.pgt_dependencies k WHERE k.pgt_id = d.pgt_id AND k.source_relid = c.oid)
ORDER BY 1

-- name: wake
-- The daemon looks again instead of waiting for the next tick.
SELECT pg_notify('pgtrickle_wake', %(pgt_id)s::text)

-- name: let_through
SELECT set_config('pgtrickle.refreshing', 'on', true)

-- name: compare
WITH expected AS (SELECT {columns} FROM (
{query}
) AS q), actual AS (SELECT {columns} FROM {relation} AS q),
missing AS MATERIALIZED (SELECT * FROM expected EXCEPT ALL SELECT * FROM actual),
extra AS MATERIALIZED (SELECT * FROM actual EXCEPT ALL SELECT * FROM expected)
SELECT (SELECT count(*) FROM missing) AS missing,
       (SELECT count(*) FROM extra) AS extra,
       (SELECT jsonb_agg(to_jsonb(m)) FROM (SELECT * FROM missing LIMIT 5) m) AS sample_missing,
       (SELECT jsonb_agg(to_jsonb(x)) FROM (SELECT * FROM extra LIMIT 5) x) AS sample_extra

-- name: status
-- A table without pending changes is as fresh as can be, however long ago it was refreshed.
SELECT coalesce(n.nspname, s.pgt_schema)::text AS schema,
       coalesce(c.relname, s.pgt_name)::text AS name,
       s.pgt_id,
       s.pgt_relid::bigint AS relid,
       s.status,
       s.schedule,
       s.effective_mode AS mode,
       s.refresh_mode,
       s.mode_reasons,
       s.tier,
       CASE WHEN coalesce(p.changes, 0) = 0 AND s.reinit_reason IS NULL AND NOT coalesce(p.difference, false) THEN 0
            ELSE extract(epoch FROM clock_timestamp() - f.data_timestamp)::float8 END AS lag,
       coalesce(p.changes, 0)::bigint AS pending,
       s.is_populated,
       f.data_timestamp,
       f.last_refresh_at,
       h.action AS last_action,
       h.duration_ms AS last_duration_ms,
       coalesce(w.waiting_for, '{}') AS waiting_for,
       s.fuse_mode,
       s.fuse_state,
       s.blow_reason,
       s.diverged,
       s.reinit_reason,
       s.consecutive_errors,
       s.last_error,
       s.next_attempt_at,
       s.partition_by
FROM pgtrickle.pgt_stream_tables s
LEFT JOIN pg_class c ON c.oid = s.pgt_relid
LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN (
    SELECT pgt_id, sum(changes) AS changes, bool_or(truncated OR failed) AS difference
    FROM pgtrickle.pgt_pending(%(pgt_ids)s::bigint[]) GROUP BY pgt_id
) p USING (pgt_id)
LEFT JOIN pgtrickle.pgt_frontiers f USING (pgt_id)
LEFT JOIN pgtrickle.waiting_stream_tables() w USING (pgt_id)
LEFT JOIN LATERAL (
    SELECT action, duration_ms FROM pgtrickle.pgt_refresh_history r
    WHERE r.pgt_id = s.pgt_id AND r.status = 'completed' ORDER BY r.refresh_id DESC LIMIT 1
) h ON true
WHERE %(pgt_ids)s::bigint[] IS NULL OR s.pgt_id = ANY (%(pgt_ids)s::bigint[])
ORDER BY 1, 2

-- name: freshness
-- Whether all that was committed at a time has arrived: in the table, and in those below that are kept up.
WITH RECURSIVE wanted AS (
    SELECT %(pgt_id)s::bigint AS pgt_id
    UNION
    SELECT d.source_pgt_id FROM wanted JOIN pgtrickle.pgt_dependencies d USING (pgt_id) WHERE d.source_pgt_id IS NOT NULL
)
SELECT bool_and(s.is_populated AND (
           f.data_timestamp >= %(since)s::timestamptz
           OR s.reinit_reason IS NULL AND NOT EXISTS (SELECT FROM pgtrickle.pgt_pending(ARRAY[s.pgt_id]))
       )) AS fresh,
       array_agg(pgtrickle.stream_table_name(s.pgt_id)) FILTER (WHERE s.fuse_state = 'blown' OR s.status <> 'active')
           AS stopped
FROM wanted JOIN pgtrickle.pgt_stream_tables s USING (pgt_id) LEFT JOIN pgtrickle.pgt_frontiers f USING (pgt_id)

-- name: clock
SELECT clock_timestamp() AS now

-- name: pause
SELECT pgtrickle.pause_stream_table(%(name)s)

-- name: resume
SELECT pgtrickle.resume_stream_table(%(name)s)

-- name: diagnose_errors
SELECT * FROM pgtrickle.diagnose_errors(%(name)s)

-- name: list_auxiliary_columns
SELECT * FROM pgtrickle.list_auxiliary_columns(%(name)s)

-- name: fuse_status
SELECT * FROM pgtrickle.fuse_status()
WHERE stream_table IN (SELECT pgtrickle.stream_table_name(pgt_id) FROM unnest(%(pgt_ids)s::bigint[]) AS wanted (pgt_id))

-- name: doctor
WITH findings (position, checked, severity, message, remedy) AS (
    SELECT 1, 'source', CASE WHEN i.kind IN ('gone', 'renamed', 'row_security') THEN 'ERROR' ELSE 'WARNING' END, i.message,
           'The next refresh follows it, if it can.'
    FROM pgtrickle.pgt_source_issues() i
    UNION ALL
    SELECT 2, 'capture', 'WARNING', p.source_name || ' is read by difference: ' || coalesce(p.poll_reason, ''),
           'GRANT SELECT, TRIGGER ON ' || p.source_name || ' TO ' || quote_ident(current_user) || ';'
    FROM pgtrickle.pgt_sources p WHERE p.capture_mode = 'poll'
    UNION ALL
    SELECT 2, 'capture', 'INFO', p.source_name || ' is not ours: writes with session_replication_role = replica are not captured',
           'Let its owner run ALTER TABLE … ENABLE ALWAYS TRIGGER on its pgtrickle triggers.'
    FROM pgtrickle.pgt_sources p JOIN pg_class c ON c.oid = p.source_relid
    WHERE p.capture_mode <> 'poll' AND EXISTS (
        SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname ^@ ('pgtrickle' || '_' || c.oid || '_') AND t.tgenabled = 'O')
    UNION ALL
    SELECT 3, 'privileges', 'ERROR', 'no SELECT privilege on ' || d.source_name,
           'GRANT SELECT ON ' || d.source_name || ' TO ' || quote_ident(current_user) || ';'
    FROM (SELECT DISTINCT source_relid, source_name FROM pgtrickle.pgt_dependencies) d
    JOIN pg_class c ON c.oid = d.source_relid
    WHERE NOT has_table_privilege(c.oid, 'SELECT') AND NOT EXISTS (
        SELECT FROM pgtrickle.pgt_dependencies v WHERE v.source_kind = 'view' AND has_table_privilege(v.source_relid, 'SELECT')
            AND v.pgt_id IN (SELECT r.pgt_id FROM pgtrickle.pgt_dependencies r WHERE r.source_relid = c.oid))
    UNION ALL
    SELECT 4, 'index', 'WARNING',
           'a join of ' || pgtrickle.stream_table_name(s.pgt_id) || ' reads all of ' || (a.value ->> 'relation'),
           a.value ->> 'ddl'
    FROM pgtrickle.pgt_stream_tables s, jsonb_array_elements(s.plan -> 'advice') a
    WHERE NOT EXISTS (
        SELECT FROM pg_index i
        JOIN pg_attribute k ON k.attrelid = i.indrelid AND k.attnum = i.indkey[0]
        WHERE i.indrelid = to_regclass(a.value ->> 'relation') AND k.attname = a.value -> 'columns' ->> 0)
    UNION ALL
    SELECT 5, 'buffer', 'WARNING',
           b.source_name || ' has ' || pg_size_pretty(pg_table_size(bc.oid)) || ' of changes that are kept for its slowest reader',
           'Refresh, resume or drop what reads it; trickle-runtime cleanup removes what was read.'
    FROM (SELECT p.source_name, u.buffer_name FROM pgtrickle.pgt_sources p JOIN pgtrickle.pgt_buffers u USING (source_relid)) b
    JOIN pg_class bc ON bc.relname = b.buffer_name AND bc.relnamespace = 'pgtrickle_changes'::regnamespace
    WHERE pg_table_size(bc.oid) > 1024 * 1024 * 1024
    UNION ALL
    SELECT DISTINCT 5, 'type', 'INFO', t.oid::regtype || ' is used by ' || n.nspname || '.' || quote_ident(bc.relname)
               || ', so that DROP TYPE refuses', 'It goes with the last stream table that reads such a column.'
    FROM pg_class bc JOIN pg_namespace n ON n.oid = bc.relnamespace
    JOIN pg_attribute a ON a.attrelid = bc.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type e ON e.oid = a.atttypid
    JOIN pg_type t ON t.oid = CASE WHEN e.typelem <> 0 AND e.typlen = -1 THEN e.typelem ELSE e.oid END
    WHERE n.nspname IN ('pgtrickle_changes', 'pgtrickle_state') AND bc.relkind = 'r' AND t.typtype IN ('e', 'c', 'r', 'd')
          AND t.typnamespace <> 'pg_catalog'::regnamespace
    UNION ALL
    SELECT 6, 'worker', 'WARNING', 'worker ' || w.worker_id || ' on ' || w.host || ' has been silent since ' || w.heartbeat_at,
           'It ended without a word; another daemon removes it, or: trickle-runtime cleanup.'
    FROM pgtrickle.pgt_workers w WHERE w.heartbeat_at < now() - interval '2 minutes'
    UNION ALL
    SELECT 7, 'publication', 'INFO', 'publication ' || quote_ident(p.pubname) || ' is FOR ALL TABLES: it publishes our buffers as well',
           'Publish the tables of your own schemas: FOR TABLES IN SCHEMA.'
    FROM pg_publication p WHERE p.puballtables
    UNION ALL
    SELECT 8, 'stream table', CASE s.status WHEN 'suspended' THEN 'ERROR' WHEN 'error' THEN 'ERROR' ELSE 'WARNING' END,
           pgtrickle.stream_table_name(s.pgt_id) || ' is ' || CASE WHEN s.fuse_state = 'blown' THEN 'stopped by its fuse' ELSE s.status END
               || coalesce(': ' || coalesce(s.blow_reason, s.last_error), ''),
           CASE WHEN s.fuse_state = 'blown' THEN 'trickle-runtime fuse reset NAME --action …' ELSE 'trickle-runtime diagnose NAME' END
    FROM pgtrickle.pgt_stream_tables s
    WHERE s.fuse_state = 'blown' OR s.status IN ('suspended', 'error', 'initializing')
    UNION ALL
    SELECT 9, 'protection', 'WARNING', pgtrickle.stream_table_name(s.pgt_id) || ' has lost the trigger that protects its rows',
           'trickle-runtime repair NAME'
    FROM pgtrickle.pgt_stream_tables s
    JOIN pg_class c ON c.oid = s.pgt_relid
    WHERE NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'pgt_protect' AND t.tgenabled = 'A')
)
SELECT checked, severity, message, remedy FROM findings ORDER BY position, message

-- name: identity_indexes
-- Of a partitioned table those of the parent, which take the partitions' along.
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.indrelid = %(relid)s AND c.relname ^@ 'pgt_identity_'

-- name: drop_index
DROP INDEX {index}

-- name: touch
SELECT FROM {relation} LIMIT 0

-- name: refilled
-- pg_class as it was at the snapshot, the file as it is now.
SELECT c.oid FROM pg_class c WHERE c.oid = ANY (%(relids)s::oid[]) AND c.relfilenode <> pg_relation_filenode(c.oid)

-- name: number
SELECT pgt_id FROM pgtrickle.pgt_stream_tables WHERE pgt_relid = to_regclass(%(name)s)

-- name: rehome
SELECT pgtrickle.pgt_rehome() AS moved

-- name: log_lock
-- Held while a reader of the change log comes or goes, so that the last one takes it away and nobody else's.
SELECT pg_advisory_xact_lock(%(space)s::int # 1, hashint8(%(pgt_id)s::bigint))
