-- What the refresh engine needs besides the tables: what there is to do, in one cheap statement; what a pass knows of
-- its members; protection of stream tables. Functions, because their plans are kept: a refresh of one row takes less
-- time than planning these queries would.

-- The last full refresh may lie far behind thousands of differential ones.
CREATE INDEX pgt_refresh_history_full ON pgtrickle.pgt_refresh_history (pgt_id, refresh_id DESC)
    WHERE action IN ('INITIALIZE', 'FULL', 'REINITIALIZE') AND status = 'completed';

-- Called for statements of everybody but a refresh, which its trigger's WHEN clause lets through.
CREATE FUNCTION pgtrickle.pgt_protect() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% on stream table %.% is not allowed', TG_OP, quote_ident(TG_TABLE_SCHEMA), quote_ident(TG_TABLE_NAME)
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = 'Its rows are those of its query: change the sources, or alter or drop the stream table.';
END $$;

-- The qualified name of a relation; NULL if it is gone.
CREATE FUNCTION pgtrickle.pgt_relation_name(p_relid oid) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = $1
$$;

-- Relations that a refresh of a stream table reads besides itself, and must lock before its snapshot. Materialized views
-- and foreign tables can't be locked. A table that we see through a view alone is locked by the view, with its owner's
-- rights.
CREATE FUNCTION pgtrickle.pgt_lockable(p_id bigint, p_states jsonb) RETURNS TABLE (name text, relid oid)
LANGUAGE sql STABLE AS $$
    SELECT pgtrickle.pgt_relation_name(d.source_relid), d.source_relid
    FROM pgtrickle.pgt_dependencies d
    WHERE d.pgt_id = $1 AND d.source_kind IN ('table', 'partitioned', 'stream_table', 'view')
        AND has_table_privilege(d.source_relid, 'SELECT')
    UNION ALL
    SELECT 'pgtrickle_changes.' || quote_ident(c.relname), c.oid
    FROM pgtrickle.pgt_dependencies d
    JOIN pgtrickle.pgt_buffers b ON b.source_relid = d.source_relid AND NOT b.discard
    JOIN pg_catalog.pg_class c ON c.relname = b.buffer_name AND c.relnamespace = 'pgtrickle_changes'::regnamespace
    WHERE d.pgt_id = $1
    UNION ALL
    SELECT 'pgtrickle_changes.' || quote_ident(c.relname), c.oid
    FROM pgtrickle.pgt_dependencies d
    JOIN pg_catalog.pg_class c ON c.relnamespace = 'pgtrickle_changes'::regnamespace
        AND c.relname = CASE WHEN d.source_pgt_id IS NULL THEN 'changes_' || d.source_relid
                             ELSE 'log_' || d.source_pgt_id END::name
    WHERE d.pgt_id = $1
    UNION ALL
    SELECT 'pgtrickle_changes.' || quote_ident(c.relname), c.oid
    FROM pg_catalog.pg_class c
    WHERE c.relnamespace = 'pgtrickle_changes'::regnamespace AND c.relname = ('log_' || $1)::name
    UNION ALL
    SELECT state.value ->> 'name', to_regclass(state.value ->> 'name')::oid
    FROM jsonb_array_elements(coalesce($2, '[]')) AS state (value)
    WHERE to_regclass(state.value ->> 'name') IS NOT NULL  -- made by the first fill
$$;

-- Whether a stream table has unique indexes that are not its identity: rows must then leave before others come.
CREATE FUNCTION pgtrickle.pgt_own_unique(p_relid oid) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT count(*) > 0
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = $1 AND i.indisunique AND NOT c.relname ^@ 'pgt_identity_'
$$;

-- Why stream tables have to be analysed again: views and functions that they use were replaced, and the like.
CREATE FUNCTION pgtrickle.pgt_drift(p_ids bigint[]) RETURNS TABLE (pgt_id bigint, what text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pgtrickle, pg_temp
SET plan_cache_mode = force_generic_plan SET jit = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT s.pgt_id, 'view ' || d.source_name || ' was replaced'
        FROM pgtrickle.pgt_dependencies d
        JOIN pgtrickle.pgt_stream_tables s ON s.pgt_id = d.pgt_id
        LEFT JOIN pg_rewrite r ON r.ev_class = d.source_relid AND r.rulename = '_RETURN'
        WHERE d.source_kind = 'view' AND (p_ids IS NULL OR d.pgt_id = ANY (p_ids)) AND s.status <> 'initializing'
            AND r.xmin::text IS DISTINCT FROM s.plan -> 'views' ->> d.source_relid::text
        UNION ALL
        SELECT s.pgt_id, 'function ' || coalesce(p.oid::regprocedure::text, used.key) || ' was replaced'
        FROM pgtrickle.pgt_stream_tables s
        CROSS JOIN LATERAL jsonb_each_text(s.plan -> 'functions') used
        LEFT JOIN pg_proc p ON p.oid = used.key::oid
        WHERE (p_ids IS NULL OR s.pgt_id = ANY (p_ids)) AND s.status <> 'initializing'
            AND s.plan -> 'functions' <> '{}' AND p.xmin::text IS DISTINCT FROM used.value
        UNION ALL
        SELECT s.pgt_id, coalesce(s.plan ->> 'stale', 'its own unique indexes changed')
        FROM pgtrickle.pgt_stream_tables s
        WHERE (p_ids IS NULL OR s.pgt_id = ANY (p_ids)) AND s.status <> 'initializing'
            AND (s.plan ? 'stale'
                 OR EXISTS (  -- as pgt_own_unique(), whose call costs more than its query
                     SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                     WHERE i.indrelid = s.pgt_relid AND i.indisunique AND NOT c.relname ^@ 'pgt_identity_'
                 ) IS DISTINCT FROM (s.plan ->> 'sequential')::boolean);
END $$;

-- The given stream tables (NULL: all) and those below them, and which of them have something to do; with p_locks also
-- what a refresh has to lock.
CREATE FUNCTION pgtrickle.pgt_survey(p_ids bigint[], p_locks boolean)
RETURNS TABLE (
    pgt_id bigint, relid oid, relation text, status text, fuse_state text, blow_reason text, reads bigint[],
    stale boolean, moved boolean, pending bigint, lock_timeout text, lock_names text[], lock_relids bigint[]
)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pgtrickle, pg_temp
SET plan_cache_mode = force_generic_plan SET jit = off AS $$
#variable_conflict use_column
DECLARE
    wanted bigint[];
    system bigint := pgtrickle.pgt_system_identifier();
    next_xid xid8 := pg_snapshot_xmax(pg_current_snapshot());
BEGIN
    wanted := ARRAY(
        WITH RECURSIVE below AS (
            SELECT s.pgt_id FROM pgtrickle.pgt_stream_tables s WHERE p_ids IS NULL OR s.pgt_id = ANY (p_ids)
            UNION
            SELECT d.source_pgt_id FROM below JOIN pgtrickle.pgt_dependencies d ON d.pgt_id = below.pgt_id
            WHERE d.source_pgt_id IS NOT NULL
        )
        SELECT below.pgt_id FROM below
    );
    RETURN QUERY
        WITH reading AS MATERIALIZED (
            SELECT d.pgt_id, d.source_relid, d.source_pgt_id
            FROM pgtrickle.pgt_dependencies d WHERE d.pgt_id = ANY (wanted) AND d.source_kind <> 'view'
        ), pending AS MATERIALIZED (
            SELECT p.pgt_id, sum(p.changes)::bigint AS changes FROM pgtrickle.pgt_pending(wanted) p GROUP BY p.pgt_id
        ), moved AS MATERIALIZED (
            SELECT r.pgt_id
            FROM pgtrickle.pgt_source_issues(ARRAY(
                SELECT DISTINCT r.source_relid FROM reading r WHERE r.source_pgt_id IS NULL)) i
            JOIN reading r ON r.source_relid = i.source_relid
            UNION
            SELECT d.pgt_id FROM pgtrickle.pgt_drift(wanted) d
        ), edges AS MATERIALIZED (
            SELECT r.pgt_id, array_agg(coalesce(r.source_pgt_id, -r.source_relid::bigint)) AS reads
            FROM reading r GROUP BY r.pgt_id
        ), behind AS MATERIALIZED (
            SELECT DISTINCT r.pgt_id
            FROM reading r
            JOIN pgtrickle.pgt_frontiers f ON f.pgt_id = r.pgt_id
            JOIN pgtrickle.pgt_frontiers below ON below.pgt_id = r.source_pgt_id
            WHERE below.refresh_no > coalesce((f.upstream ->> r.source_pgt_id::text)::bigint, -1)
        ), found AS MATERIALIZED (
            SELECT s.pgt_id, s.pgt_relid, s.status, s.fuse_state, s.blow_reason, edges.reads,
                quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS relation,
                moved.pgt_id IS NOT NULL OR c.oid IS NULL AS moved,
                coalesce(pending.changes, 0) AS changes, s.plan -> 'states' AS states,
                pending.pgt_id IS NOT NULL OR behind.pgt_id IS NOT NULL OR moved.pgt_id IS NOT NULL
                    OR NOT s.is_populated OR s.reinit_reason IS NOT NULL
                    OR (s.plan ->> 'always')::boolean
                    OR coalesce(f.system_identifier <> system OR pg_snapshot_xmax(f.snapshot) > next_xid, true) AS stale
            FROM pgtrickle.pgt_stream_tables s
            LEFT JOIN pg_class c ON c.oid = s.pgt_relid
            LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN pgtrickle.pgt_frontiers f ON f.pgt_id = s.pgt_id
            LEFT JOIN edges ON edges.pgt_id = s.pgt_id
            LEFT JOIN pending ON pending.pgt_id = s.pgt_id
            LEFT JOIN moved ON moved.pgt_id = s.pgt_id
            LEFT JOIN behind ON behind.pgt_id = s.pgt_id
            WHERE s.pgt_id = ANY (wanted)
        )
        SELECT f.pgt_id, f.pgt_relid, f.relation, f.status, f.fuse_state, f.blow_reason,
            coalesce(f.reads, '{}'), f.stale, f.moved, f.changes,
            (SELECT p.value FROM pgtrickle.pgt_settings p WHERE p.name = 'lock_timeout'), lockable.names, lockable.relids
        FROM found f
        LEFT JOIN LATERAL (
            SELECT array_agg(l.name) AS names, array_agg(l.relid::bigint) AS relids
            FROM pgtrickle.pgt_lockable(f.pgt_id, f.states) l WHERE p_locks AND l.name IS NOT NULL
        ) lockable ON true
        ORDER BY f.pgt_id;
END $$;

-- All that a pass must know of its members, at its own snapshot.
CREATE FUNCTION pgtrickle.pgt_observe(p_ids bigint[], p_past boolean)
RETURNS TABLE (snapshot text, at timestamptz, own_xid text, system_identifier bigint, database bigint, settings jsonb,
    issues jsonb, members jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pgtrickle, pg_temp
SET plan_cache_mode = force_generic_plan SET jit = off AS $$
#variable_conflict use_column
DECLARE
    wanted bigint[];
    relids oid[];
    system bigint := pgtrickle.pgt_system_identifier();
    next_xid xid8 := pg_snapshot_xmax(pg_current_snapshot());
BEGIN
    wanted := ARRAY(
        WITH RECURSIVE below AS (
            SELECT s.pgt_id FROM pgtrickle.pgt_stream_tables s WHERE p_ids IS NULL OR s.pgt_id = ANY (p_ids)
            UNION
            SELECT d.source_pgt_id FROM below JOIN pgtrickle.pgt_dependencies d ON d.pgt_id = below.pgt_id
            WHERE d.source_pgt_id IS NOT NULL
        )
        SELECT below.pgt_id FROM below
    );
    relids := ARRAY(
        SELECT DISTINCT d.source_relid FROM pgtrickle.pgt_dependencies d
        WHERE d.pgt_id = ANY (wanted) AND d.source_kind NOT IN ('stream_table', 'view')
    );
    RETURN QUERY
        WITH pending AS MATERIALIZED (
            SELECT p.pgt_id, jsonb_object_agg(p.source_relid::text, jsonb_build_array(
                p.changes, p.truncated, p.failed, p.polled, p.message)) AS parts
            FROM pgtrickle.pgt_pending(wanted) p GROUP BY p.pgt_id
        ), drift AS MATERIALIZED (
            SELECT d.pgt_id, jsonb_agg(d.what) AS whats FROM pgtrickle.pgt_drift(wanted) d GROUP BY d.pgt_id
        )
        SELECT pg_current_snapshot()::text, now(), pg_current_xact_id_if_assigned()::text, system,
            (SELECT d.oid::bigint FROM pg_database d WHERE d.datname = current_database()),
            (SELECT jsonb_object_agg(s.name, s.value) FROM pgtrickle.pgt_settings s),
            (SELECT jsonb_agg(jsonb_build_array(i.source_relid::bigint, i.kind, i.message, i.new_relid::bigint))
             FROM pgtrickle.pgt_source_issues(relids) i),
            (SELECT jsonb_agg(jsonb_build_object(
                'pgt_id', s.pgt_id,
                'relid', s.pgt_relid::bigint,
                'relation', pgtrickle.pgt_relation_name(s.pgt_relid),
                'rows', coalesce((SELECT greatest(c.reltuples, 0)::bigint FROM pg_class c WHERE c.oid = s.pgt_relid), 0),
                'canonical_query', s.canonical_query,
                'definition_version', s.definition_version,
                'created_at', s.created_at,
                'plan', s.plan,
                'session_settings', s.session_settings,
                'refresh_mode', s.refresh_mode,
                'effective_mode', s.effective_mode,
                'partition_by', s.partition_by,
                'diamond_consistency', s.diamond_consistency,
                'append_only', s.append_only,
                'status', s.status,
                'is_populated', s.is_populated,
                'reinit_reason', s.reinit_reason,
                'diverged', s.diverged,
                'unsettled', NOT s.is_populated OR s.reinit_reason IS NOT NULL OR s.diverged OR s.fuse_exempt
                    OR s.status IN ('suspended', 'error') OR s.consecutive_errors > 0 OR s.last_error IS NOT NULL
                    OR s.next_attempt_at IS NOT NULL,
                'fuse_mode', s.fuse_mode,
                'fuse_state', s.fuse_state,
                'blow_reason', s.blow_reason,
                'skip_next', coalesce((SELECT x.skip_next FROM pgtrickle.pgt_fuses x WHERE x.pgt_id = s.pgt_id), false),
                'frontier', f.snapshot::text,
                'clock', f.clock::text,
                'upstream', coalesce(f.upstream, '{}'),
                'refresh_no', coalesce(f.refresh_no, 0),
                'version', coalesce(f.version, 0),
                'frontier_valid',
                    coalesce(f.system_identifier = system AND pg_snapshot_xmax(f.snapshot) <= next_xid, false),
                'sequential', pgtrickle.pgt_own_unique(s.pgt_relid),
                'logged', EXISTS (SELECT FROM pgtrickle.pgt_dependencies d WHERE d.source_pgt_id = s.pgt_id),
                'pending', coalesce(pending.parts, '{}'),
                'drift', coalesce(drift.whats, '[]'),
                'lockable', coalesce((SELECT jsonb_object_agg(l.name, l.relid::bigint) FROM
                    pgtrickle.pgt_lockable(s.pgt_id, s.plan -> 'states') l WHERE l.name IS NOT NULL), '{}'),
                'sources', coalesce((
                    SELECT jsonb_agg(jsonb_build_object(
                        'relid', d.source_relid::bigint,
                        'recorded', d.source_name,
                        'name', pgtrickle.pgt_relation_name(d.source_relid),
                        'kind', d.source_kind,
                        'pgt_id', d.source_pgt_id,
                        'columns', d.columns,
                        'refresh_no', (SELECT u.refresh_no FROM pgtrickle.pgt_frontiers u WHERE u.pgt_id = d.source_pgt_id),
                        'mode', (SELECT p.capture_mode FROM pgtrickle.pgt_sources p WHERE p.source_relid = d.source_relid),
                        'buffers', (SELECT jsonb_agg(jsonb_build_array(b.version, b.buffer_name) ORDER BY b.version)
                                    FROM pgtrickle.pgt_buffers b
                                    WHERE b.source_relid = d.source_relid AND NOT b.discard)
                    ) ORDER BY d.source_relid)
                    FROM pgtrickle.pgt_dependencies d WHERE d.pgt_id = s.pgt_id AND d.source_kind <> 'view'
                ), '[]'),
                'past', CASE WHEN p_past AND s.refresh_mode = 'auto' AND s.effective_mode = 'differential' THEN (
                    SELECT jsonb_agg(jsonb_build_array(h.action, h.rows_in, h.duration_ms, h.reason) ORDER BY h.refresh_id DESC)
                    FROM (SELECT * FROM pgtrickle.pgt_refresh_history r
                          WHERE r.pgt_id = s.pgt_id ORDER BY r.refresh_id DESC LIMIT 40) h
                    WHERE h.status = 'completed') END,
                'full', CASE WHEN p_past AND s.refresh_mode = 'auto' AND s.effective_mode = 'differential' THEN (
                    SELECT jsonb_build_array(h.action, h.rows_in, h.duration_ms, h.reason)
                    FROM pgtrickle.pgt_refresh_history h
                    WHERE h.pgt_id = s.pgt_id AND h.action IN ('INITIALIZE', 'FULL', 'REINITIALIZE')
                        AND h.status = 'completed'
                    ORDER BY h.refresh_id DESC LIMIT 1) END
            ) ORDER BY s.pgt_id)
            FROM pgtrickle.pgt_stream_tables s
            LEFT JOIN pgtrickle.pgt_frontiers f ON f.pgt_id = s.pgt_id
            LEFT JOIN pending ON pending.pgt_id = s.pgt_id
            LEFT JOIN drift ON drift.pgt_id = s.pgt_id
            WHERE s.pgt_id = ANY (wanted));
END $$;

-- Take the session locks of stream tables, or none and fail.
CREATE FUNCTION pgtrickle.pgt_hold(p_space int, p_ids bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    number bigint;
BEGIN
    FOREACH number IN ARRAY p_ids LOOP
        IF NOT pg_try_advisory_lock(p_space, hashint8(number)) THEN
            PERFORM pg_advisory_unlock(p_space, hashint8(held)) FROM unnest(p_ids) AS held
            WHERE array_position(p_ids, held) < array_position(p_ids, number);
            RAISE EXCEPTION 'another session refreshes stream table %', number USING ERRCODE = 'PT002';
        END IF;
    END LOOP;
END $$;

-- The compare-and-set that makes a pass the only one that brings in these changes; fails if another was faster. Then the
-- settings that the statements of the refresh run under. Without a search_path of its own, which would take them back.
CREATE FUNCTION pgtrickle.pgt_advance(p_id bigint, p_version bigint, p_snapshot text, p_upstream text, p_system bigint,
    p_settings json) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE pgtrickle.pgt_frontiers f
    SET snapshot = p_snapshot::pg_snapshot, upstream = p_upstream::jsonb, refresh_no = f.refresh_no + 1,
        version = f.version + 1, provisional = false, system_identifier = p_system, clock = now(),
        data_timestamp = now(), last_refresh_at = clock_timestamp()
    WHERE f.pgt_id = p_id AND f.version = p_version;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'stream table % has been refreshed by another session', p_id USING ERRCODE = 'PT003';
    END IF;
    PERFORM set_config(given.key, given.value, true) FROM json_each_text(p_settings) AS given;
END $$;

-- Write a refresh into the history, inside the pass.
CREATE FUNCTION pgtrickle.pgt_record(p_id bigint, p_action text, p_reason text, p_by text, p_rows_in bigint,
    p_inserted bigint, p_updated bigint, p_deleted bigint, p_ms double precision) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pgtrickle.pgt_refresh_history (pgt_id, started_at, ended_at, action, status, reason, initiated_by,
                                               rows_in, inserted, updated, deleted, duration_ms)
    VALUES (p_id, clock_timestamp() - make_interval(secs => p_ms / 1000.0), clock_timestamp(), p_action, 'completed',
            p_reason, p_by, p_rows_in, p_inserted, p_updated, p_deleted, p_ms);
END $$;

-- A number that changes with anything an observation of these stream tables depends on, but for their frontiers and
-- changes. A changed row has another xmin (manual, 5.6): definitions, sources, buffers, markers; the tables, their
-- columns, triggers, indexes and children; views, functions, and the schemas' names.
-- p_ids: stream tables; p_own: their relations; p_members: sources with all children; p_others: buffers, states, views.
CREATE FUNCTION pgtrickle.pgt_stamp(p_ids bigint[], p_own oid[], p_members oid[], p_others oid[], p_functions oid[])
RETURNS numeric
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pgtrickle, pg_temp
SET plan_cache_mode = force_generic_plan SET jit = off AS $$
BEGIN
    RETURN (
        SELECT sum(hashtextextended(part, 0)) FROM (
            SELECT 'table ' || s.pgt_id || ' ' || s.xmin::text FROM pgtrickle.pgt_stream_tables s WHERE s.pgt_id = ANY (p_ids)
            UNION ALL
            SELECT 'reads ' || d.pgt_id || ' ' || d.source_relid || ' ' || d.xmin::text FROM pgtrickle.pgt_dependencies d
            WHERE d.pgt_id = ANY (p_ids) OR d.source_pgt_id = ANY (p_ids)
            UNION ALL
            SELECT 'setting ' || s.name || ' ' || s.xmin::text FROM pgtrickle.pgt_settings s
            UNION ALL
            SELECT 'gate ' || g.pgt_id || ' ' || g.position || ' ' || g.xmin::text FROM pgtrickle.pgt_gates g
            UNION ALL
            SELECT 'fuse ' || f.pgt_id || ' ' || f.xmin::text FROM pgtrickle.pgt_fuses f WHERE f.pgt_id = ANY (p_ids)
            UNION ALL
            SELECT 'source ' || s.source_relid || ' ' || s.xmin::text FROM pgtrickle.pgt_sources s
            WHERE s.source_relid = ANY (p_members)
            UNION ALL
            SELECT 'buffer ' || b.buffer_name || ' ' || b.xmin::text FROM pgtrickle.pgt_buffers b
            WHERE b.source_relid = ANY (p_members)
            UNION ALL
            SELECT 'marker ' || m.source_relid || ' ' || m.xid::text || ' ' || m.xmin::text FROM pgtrickle.pgt_markers m
            WHERE m.source_relid = ANY (p_members)
            UNION ALL
            SELECT 'class ' || c.oid || ' ' || c.xmin::text || ' ' || n.xmin::text
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY (p_own || p_members || p_others)
            UNION ALL
            SELECT 'column ' || a.attrelid || ' ' || a.attnum || ' ' || a.xmin::text FROM pg_attribute a
            WHERE a.attrelid = ANY (p_members) AND a.attnum > 0
            UNION ALL
            SELECT 'trigger ' || t.oid || ' ' || t.xmin::text FROM pg_trigger t WHERE t.tgrelid = ANY (p_members)
            UNION ALL
            SELECT 'index ' || i.indexrelid || ' ' || i.xmin::text FROM pg_index i WHERE i.indrelid = ANY (p_own || p_members)
            UNION ALL
            SELECT 'child ' || i.inhrelid || ' ' || i.inhparent || ' ' || i.xmin::text || i.inhdetachpending::text
            FROM pg_inherits i WHERE i.inhparent = ANY (p_members) OR i.inhrelid = ANY (p_members)
            UNION ALL
            SELECT 'subscribed ' || r.srrelid || ' ' || r.xmin::text FROM pg_subscription_rel r WHERE r.srrelid = ANY (p_members)
            UNION ALL
            SELECT 'rule ' || r.ev_class || ' ' || r.xmin::text FROM pg_rewrite r WHERE r.ev_class = ANY (p_others)
            UNION ALL
            SELECT 'function ' || p.oid || ' ' || p.xmin::text FROM pg_proc p WHERE p.oid = ANY (p_functions)
        ) AS parts (part)
    );
END $$;

-- A dump keeps names and loses oids: after it was restored, the catalog's oids are those of other relations, or of none.
-- Finds stream tables and sources again by the names that were recorded, and takes away the old captures; what reads
-- them is then analysed, captured and brought up to date like after any other change of a source. Returns how many stream
-- tables were found elsewhere; 0 where nothing is wrong, or the whole cluster was copied, oids and all.
CREATE FUNCTION pgtrickle.pgt_rehome() RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, pgtrickle, pg_temp AS $$
#variable_conflict use_column
DECLARE
    homes jsonb;
    reading pgtrickle.pgt_dependencies[];
    source oid;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('pgtrickle rehome', 0));
    -- A stream table is known by its trigger: a plain table that took the name is none.
    SELECT jsonb_object_agg(s.pgt_id, c.oid::bigint) INTO homes
    FROM pgtrickle.pgt_stream_tables s
    JOIN pg_class c ON c.oid = to_regclass(quote_ident(s.pgt_schema) || '.' || quote_ident(s.pgt_name))
    JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = 'pgt_protect'
    LEFT JOIN pgtrickle.pgt_frontiers f ON f.pgt_id = s.pgt_id
    WHERE c.oid <> s.pgt_relid
        AND (f.system_identifier <> pgtrickle.pgt_system_identifier()
             OR NOT EXISTS (SELECT FROM pg_class gone WHERE gone.oid = s.pgt_relid));
    IF homes IS NULL THEN
        RETURN 0;
    END IF;
    -- In two steps, since one may have the oid that another had.
    UPDATE pgtrickle.pgt_stream_tables SET pgt_relid = (4294967295 - pgt_id)::oid WHERE homes ? pgt_id::text;
    UPDATE pgtrickle.pgt_stream_tables SET pgt_relid = (homes ->> pgt_id::text)::oid WHERE homes ? pgt_id::text;
    SELECT array_agg(d) INTO reading FROM pgtrickle.pgt_dependencies d;
    DELETE FROM pgtrickle.pgt_dependencies;
    INSERT INTO pgtrickle.pgt_dependencies (pgt_id, source_relid, source_name, source_kind, source_pgt_id, columns, definition)
    SELECT d.pgt_id, coalesce(to_regclass(d.source_name)::oid, d.source_relid), d.source_name, d.source_kind,
        d.source_pgt_id, d.columns, d.definition
    FROM unnest(reading) d;
    FOR source IN SELECT s.source_relid FROM pgtrickle.pgt_sources s LOOP
        PERFORM pgtrickle.pgt_drop_capture(source);
    END LOOP;
    UPDATE pgtrickle.pgt_stream_tables
    SET plan = plan || '{"stale": "the database was restored from a dump"}'::jsonb;
    RETURN (SELECT count(*) FROM jsonb_object_keys(homes));
END $$;
