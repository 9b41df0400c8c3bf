-- Statements on the catalog; trickle_runtime.catalog.store has a method for each. In a stream table's row, schema and
-- name come from pg_class, because the stored ones are as old as the last definition.

-- name: resolve
SELECT to_regclass(%(name)s)::oid AS relid

-- name: by_relid
SELECT t.*, coalesce(n.nspname, t.pgt_schema)::text AS pgt_schema, coalesce(c.relname, t.pgt_name)::text AS pgt_name
FROM pgtrickle.pgt_stream_tables t
LEFT JOIN pg_class c ON c.oid = t.pgt_relid LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE t.pgt_relid = %(relid)s

-- name: by_ids
SELECT t.*, coalesce(n.nspname, t.pgt_schema)::text AS pgt_schema, coalesce(c.relname, t.pgt_name)::text AS pgt_name
FROM pgtrickle.pgt_stream_tables t
LEFT JOIN pg_class c ON c.oid = t.pgt_relid LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE %(pgt_ids)s::bigint[] IS NULL OR t.pgt_id = ANY (%(pgt_ids)s::bigint[])
ORDER BY t.pgt_id

-- name: insert
INSERT INTO pgtrickle.pgt_stream_tables (pgt_relid, pgt_schema, pgt_name, query, canonical_query)
VALUES (%(pgt_relid)s, %(pgt_schema)s, %(pgt_name)s, %(query)s, %(canonical_query)s)
RETURNING pgt_id

-- name: update
UPDATE pgtrickle.pgt_stream_tables t
SET (pgt_relid, pgt_schema, pgt_name, query, canonical_query, definition_version, plan, session_settings,
    schedule, refresh_mode, effective_mode, mode_reasons, partition_by, tier, cdc_mode, diamond_consistency,
    append_only, unique_key, status, is_populated, reinit_reason, diverged, fuse_mode, fuse_state, fuse_ceiling,
    fuse_sensitivity, fuse_exempt, blown_at, blow_reason, consecutive_errors, last_error, last_error_code,
    next_attempt_at, updated_at)
= (SELECT r.pgt_relid, r.pgt_schema, r.pgt_name, r.query, r.canonical_query, r.definition_version, r.plan,
    r.session_settings, r.schedule, r.refresh_mode, r.effective_mode, r.mode_reasons, r.partition_by, r.tier,
    r.cdc_mode, r.diamond_consistency, r.append_only, r.unique_key, r.status, r.is_populated, r.reinit_reason,
    r.diverged, r.fuse_mode, r.fuse_state, r.fuse_ceiling, r.fuse_sensitivity, r.fuse_exempt, r.blown_at,
    r.blow_reason, r.consecutive_errors, r.last_error, r.last_error_code, r.next_attempt_at, now()
    FROM jsonb_populate_record(t, %(values)s::jsonb) r)
WHERE t.pgt_id = %(pgt_id)s
RETURNING t.pgt_id

-- name: delete
DELETE FROM pgtrickle.pgt_stream_tables WHERE pgt_id = %(pgt_id)s

-- name: dependencies
SELECT pgt_id, source_relid, source_name, source_kind, source_pgt_id, columns, definition
FROM pgtrickle.pgt_dependencies
WHERE %(pgt_ids)s::bigint[] IS NULL OR pgt_id = ANY (%(pgt_ids)s::bigint[])
ORDER BY pgt_id, source_relid

-- name: dependants
SELECT pgt_id FROM pgtrickle.pgt_dependencies WHERE source_relid = %(source_relid)s ORDER BY pgt_id

-- name: set_dependencies
DELETE FROM pgtrickle.pgt_dependencies WHERE pgt_id = %(pgt_id)s;
INSERT INTO pgtrickle.pgt_dependencies
    (pgt_id, source_relid, source_name, source_kind, source_pgt_id, columns, definition)
SELECT %(pgt_id)s, r.source_relid, r.source_name, r.source_kind, r.source_pgt_id, r.columns, r.definition
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (source_relid oid, source_name text, source_kind text,
    source_pgt_id bigint, columns smallint[], definition text)

-- name: frontiers
SELECT pgt_id, snapshot::text AS snapshot, upstream, refresh_no, version, provisional, system_identifier
FROM pgtrickle.pgt_frontiers
WHERE pgt_id = ANY (%(pgt_ids)s::bigint[])

-- name: register_frontier
-- Before the fill: from here on nobody's cleanup deletes what the new consumer will need.
INSERT INTO pgtrickle.pgt_frontiers (pgt_id, snapshot, system_identifier)
VALUES (%(pgt_id)s, pg_current_snapshot(), pgtrickle.pgt_system_identifier())
ON CONFLICT (pgt_id) DO NOTHING

-- name: advance_frontier
UPDATE pgtrickle.pgt_frontiers
SET snapshot = %(snapshot)s::pg_snapshot, upstream = %(upstream)s::jsonb, refresh_no = %(refresh_no)s,
    version = version + 1, provisional = false, system_identifier = pgtrickle.pgt_system_identifier()
WHERE pgt_id = %(pgt_id)s AND version = %(version)s
RETURNING pgt_id

-- name: insert_history
INSERT INTO pgtrickle.pgt_refresh_history (pgt_id, started_at, ended_at, action, status, reason, initiated_by, rows_in,
    inserted, updated, deleted, duration_ms, error_code, error_message)
VALUES (%(pgt_id)s, coalesce(%(started_at)s::timestamptz, now()), coalesce(%(ended_at)s::timestamptz, clock_timestamp()),
    %(action)s, %(status)s, %(reason)s, %(initiated_by)s, %(rows_in)s, %(inserted)s, %(updated)s, %(deleted)s,
    %(duration_ms)s, %(error_code)s, %(error_message)s)
RETURNING refresh_id

-- name: history
SELECT * FROM pgtrickle.pgt_refresh_history
WHERE %(pgt_id)s::bigint IS NULL OR pgt_id = %(pgt_id)s::bigint
ORDER BY refresh_id DESC LIMIT %(limit)s

-- name: prune_history
DELETE FROM pgtrickle.pgt_refresh_history h
WHERE h.started_at < now() - (SELECT s.value::interval FROM pgtrickle.pgt_settings s WHERE s.name = 'history_retention')

-- name: get_compiled
SELECT steps FROM pgtrickle.pgt_compiled
WHERE pgt_id = %(pgt_id)s AND changed = %(changed)s AND definition_version = %(definition_version)s
    AND compiler_version = %(compiler_version)s

-- name: set_compiled
INSERT INTO pgtrickle.pgt_compiled (pgt_id, changed, definition_version, compiler_version, steps)
VALUES (%(pgt_id)s, %(changed)s, %(definition_version)s, %(compiler_version)s, %(steps)s::jsonb)
ON CONFLICT (pgt_id, changed) DO UPDATE SET definition_version = excluded.definition_version,
    compiler_version = excluded.compiler_version, steps = excluded.steps

-- name: clear_compiled
DELETE FROM pgtrickle.pgt_compiled WHERE pgt_id = %(pgt_id)s

-- name: setting
SELECT value FROM pgtrickle.pgt_settings WHERE name = %(name)s

-- name: settings
SELECT name, value FROM pgtrickle.pgt_settings

-- name: set_setting
UPDATE pgtrickle.pgt_settings SET value = %(value)s WHERE name = %(name)s RETURNING name

-- name: source
SELECT source_relid, source_name, capture_mode, poll_reason, active_version, fingerprint,
    captured_at::text AS captured_at, system_identifier, created_at
FROM pgtrickle.pgt_sources WHERE source_relid = %(source_relid)s

-- name: sources
SELECT source_relid, source_name, capture_mode, poll_reason, active_version, fingerprint,
    captured_at::text AS captured_at, system_identifier, created_at
FROM pgtrickle.pgt_sources ORDER BY source_relid

-- name: buffers
SELECT source_relid, version, buffer_name::text AS buffer_name, columns, retired_at::text AS retired_at, discard
FROM pgtrickle.pgt_buffers
WHERE %(source_relid)s::oid IS NULL OR source_relid = %(source_relid)s::oid
ORDER BY source_relid, version

-- name: heartbeat
INSERT INTO pgtrickle.pgt_workers (worker_id, host, pid, version)
VALUES (%(worker_id)s, %(host)s, %(pid)s, %(version)s)
ON CONFLICT (worker_id) DO UPDATE SET heartbeat_at = now()

-- name: workers
SELECT worker_id, host, pid, version, started_at, heartbeat_at FROM pgtrickle.pgt_workers ORDER BY started_at

-- name: remove_workers
DELETE FROM pgtrickle.pgt_workers
WHERE worker_id = %(worker_id)s OR heartbeat_at < now() - %(silent_for)s::interval
