-- Catalog, change buffers' and states' schemas. See docs/reference/catalog.md.
-- The names pgtrickle, pgtrickle_changes and pgtrickle_state are replaced by the configured prefix when loaded.

CREATE TABLE pgtrickle.pgt_settings (
    name text PRIMARY KEY,
    value text NOT NULL,
    description text NOT NULL
);
INSERT INTO pgtrickle.pgt_settings (name, value, description) VALUES
    ('block_source_ddl', 'on', 'Dropping or retyping a column that a stream table uses is an error; so is attaching a foreign partition.'),
    ('history_retention', '7 days', 'How long refreshes stay in pgt_refresh_history.'),
    ('lock_timeout', '400ms', 'How long a refresh, and an installation of capture triggers, waits for a lock.'),
    ('max_consecutive_errors', '3', 'A stream table is suspended after this many permanent errors in a row.'),
    ('max_grouping_sets', '64', 'Largest number of grouping sets of one query.'),
    ('max_parse_depth', '64', 'Deepest nesting of a query.'),
    ('statement_timeout', '0', 'How long one statement of a refresh may run; 0 is without limit.');

CREATE TABLE pgtrickle.pgt_stream_tables (
    pgt_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pgt_relid oid NOT NULL UNIQUE,          -- the key: names lie as soon as someone renames
    pgt_schema name NOT NULL,               -- for people; the truth is pg_class
    pgt_name name NOT NULL,
    query text NOT NULL,                    -- as the user wrote it
    canonical_query text NOT NULL,          -- pg_get_viewdef, views expanded: FULL and verify run this
    definition_version int NOT NULL DEFAULT 1,
    plan jsonb NOT NULL DEFAULT '{}',       -- columns, key, states, storage (compiler.result as JSON)
    session_settings jsonb NOT NULL DEFAULT '{}',   -- TimeZone, DateStyle, search_path … at creation
    schedule text NOT NULL DEFAULT '1m',
    refresh_mode text NOT NULL DEFAULT 'auto',      -- requested: auto, differential, full, immediate
    effective_mode text NOT NULL DEFAULT 'full',    -- resolved: differential, full
    mode_reasons jsonb NOT NULL DEFAULT '[]',
    partition_by text,
    tier text NOT NULL DEFAULT 'hot',
    cdc_mode text NOT NULL DEFAULT 'auto',
    diamond_consistency text NOT NULL DEFAULT 'atomic',
    append_only boolean NOT NULL DEFAULT false,
    unique_key text[],
    status text NOT NULL DEFAULT 'initializing'
        CHECK (status IN ('initializing', 'active', 'paused', 'suspended', 'error')),
    is_populated boolean NOT NULL DEFAULT false,
    reinit_reason text,                     -- not null: the next refresh is a difference to the full query
    diverged boolean NOT NULL DEFAULT false, -- skip_changes was used; until the next full refresh
    fuse_mode text NOT NULL DEFAULT 'off' CHECK (fuse_mode IN ('off', 'on', 'auto')),
    fuse_state text NOT NULL DEFAULT 'disabled' CHECK (fuse_state IN ('armed', 'blown', 'disabled')),
    fuse_ceiling bigint,
    fuse_sensitivity double precision NOT NULL DEFAULT 3.0,
    fuse_exempt boolean NOT NULL DEFAULT false,      -- one-shot, set by reset_fuse(action => 'apply')
    blown_at timestamptz,
    blow_reason text,
    consecutive_errors int NOT NULL DEFAULT 0,
    last_error text,
    last_error_code text,
    next_attempt_at timestamptz,            -- back-off after a transient error
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Written only by the pass that refreshes the table, first thing inside its savepoint, by compare-and-set on version.
CREATE TABLE pgtrickle.pgt_frontiers (
    pgt_id bigint PRIMARY KEY REFERENCES pgtrickle.pgt_stream_tables ON DELETE CASCADE,
    snapshot pg_snapshot NOT NULL,
    upstream jsonb NOT NULL DEFAULT '{}',   -- pgt_id of a stream table below -> its refresh_no consumed
    refresh_no bigint NOT NULL DEFAULT 0,   -- number of this table's own last refresh that changed rows
    version bigint NOT NULL DEFAULT 1,
    provisional boolean NOT NULL DEFAULT true,
    system_identifier bigint NOT NULL,      -- pgt_system_identifier(): a restored or cloned database has another
    clock timestamptz,                      -- now() of that snapshot's transaction: bounds that move with the time
    data_timestamp timestamptz,             -- the snapshot time the content corresponds to; null: it has none yet
    last_refresh_at timestamptz
);

CREATE TABLE pgtrickle.pgt_dependencies (
    pgt_id bigint NOT NULL REFERENCES pgtrickle.pgt_stream_tables ON DELETE CASCADE,
    source_relid oid NOT NULL,
    source_name text NOT NULL,              -- to find it again after drop and create, or swap by rename
    source_kind text NOT NULL,              -- table, partitioned, stream_table, matview, foreign, view
    source_pgt_id bigint,                   -- of a stream table
    columns smallint[] NOT NULL DEFAULT '{}',
    definition text,                        -- of a view: canonical text
    PRIMARY KEY (pgt_id, source_relid)
);
CREATE INDEX ON pgtrickle.pgt_dependencies (source_relid);

-- One row per captured table.
CREATE TABLE pgtrickle.pgt_sources (
    source_relid oid PRIMARY KEY,
    source_name text NOT NULL,
    capture_mode text NOT NULL,             -- statement, row, poll (read by difference)
    poll_reason text,
    active_version int NOT NULL DEFAULT 0,
    fingerprint jsonb NOT NULL DEFAULT '{}',  -- pgt_source_state() when the capture was built
    captured_at pg_snapshot,                -- when it was built: failures that it sees are mended
    system_identifier bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Buffers of a source: one active, older ones until they are drained.
CREATE TABLE pgtrickle.pgt_buffers (
    source_relid oid NOT NULL REFERENCES pgtrickle.pgt_sources ON DELETE CASCADE,
    version int NOT NULL,
    buffer_name name NOT NULL,              -- in pgtrickle_changes
    columns smallint[] NOT NULL,            -- attnums; the buffer's columns are named c<attnum>
    retired_at pg_snapshot,                 -- snapshot after the last writer left it
    discard boolean NOT NULL DEFAULT false, -- nobody needs its rows: every consumer does a difference
    PRIMARY KEY (source_relid, version)
);

-- TRUNCATE ('T'), capture failures ('X') and rebuilt captures ('R'); a fixed table, so that it survives a broken
-- buffer. A consumer whose frontier does not see the marker answers with a difference to its full query.
CREATE TABLE pgtrickle.pgt_markers (
    source_relid oid NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind "char" NOT NULL CHECK (kind IN ('T', 'X', 'R')),
    message text,
    at timestamptz NOT NULL DEFAULT now()
);
-- It has no key, and a FOR ALL TABLES publication would make the cleanup's DELETE fail.
ALTER TABLE pgtrickle.pgt_markers REPLICA IDENTITY FULL;

CREATE TABLE pgtrickle.pgt_refresh_history (
    refresh_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pgt_id bigint NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    action text NOT NULL,                   -- INITIALIZE, DIFFERENTIAL, FULL, REINITIALIZE, SKIP_CHANGES
    status text NOT NULL,                   -- completed, failed, skipped
    reason text,
    initiated_by text NOT NULL DEFAULT 'scheduler',   -- scheduler, manual, dbt, initial
    rows_in bigint NOT NULL DEFAULT 0,      -- pending changes at the start; an UPDATE is one
    inserted bigint NOT NULL DEFAULT 0,
    updated bigint NOT NULL DEFAULT 0,
    deleted bigint NOT NULL DEFAULT 0,
    duration_ms double precision NOT NULL DEFAULT 0,
    error_code text,
    error_message text
);
CREATE INDEX ON pgtrickle.pgt_refresh_history (pgt_id, refresh_id DESC);

-- Compiled statements per set of changed sources ('16401,16407', sorted oids; 'full' for the difference).
CREATE TABLE pgtrickle.pgt_compiled (
    pgt_id bigint NOT NULL REFERENCES pgtrickle.pgt_stream_tables ON DELETE CASCADE,
    changed text NOT NULL,
    definition_version int NOT NULL,
    compiler_version text NOT NULL,
    steps jsonb NOT NULL,
    PRIMARY KEY (pgt_id, changed)
);

CREATE TABLE pgtrickle.pgt_workers (
    worker_id text PRIMARY KEY,
    host text NOT NULL,
    pid int NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now()
);

-- Which cluster and database this is: oids and transaction ids mean nothing in another. pg_control_system() is open
-- to everyone in 15-18, but some services revoke it; the database then has to do, and a restored one is noticed by its
-- relations' oids and by its lower transaction ids.
CREATE FUNCTION pgtrickle.pgt_system_identifier() RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    this_database bigint := (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
BEGIN
    RETURN (SELECT system_identifier FROM pg_control_system()) # this_database;
EXCEPTION WHEN insufficient_privilege OR undefined_function THEN
    RETURN this_database;
END $$;

-- The last resort of a capture trigger: note the failure and let the writer's statement go on. One marker is enough
-- until the capture is rebuilt, which tells every consumer. Called by trigger functions that run as their owner.
CREATE FUNCTION pgtrickle.pgt_capture_failed(p_relid oid, p_sqlstate text, p_message text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pgtrickle, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pgtrickle.pgt_markers m LEFT JOIN pgtrickle.pgt_sources s ON s.source_relid = m.source_relid
        WHERE m.source_relid = p_relid AND m.kind = 'X'
            AND (m.xid = pg_current_xact_id() OR NOT pg_visible_in_snapshot(m.xid, s.captured_at))
    ) THEN
        INSERT INTO pgtrickle.pgt_markers (source_relid, kind, message)
        VALUES (p_relid, 'X', p_sqlstate || ': ' || p_message);
    END IF;
END $$;

-- What a capture rests on, as one value to compare. xmin of pg_attribute and pg_trigger shows what leaves no other
-- trace: ALTER TYPE … USING to the same type, or DISABLE, load, ENABLE. In plpgsql, whose plans a session keeps: every
-- pass asks.
CREATE FUNCTION pgtrickle.pgt_source_state(p_relids oid[]) RETURNS TABLE (source_relid oid, state jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pgtrickle, pg_temp
SET plan_cache_mode = force_generic_plan SET jit = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH RECURSIVE tree (root, member, parent, link) AS (
        SELECT s.source_relid, s.source_relid, NULL::oid, NULL::text
        FROM pgtrickle.pgt_sources s WHERE s.source_relid = ANY (p_relids) AND s.capture_mode <> 'poll'
        UNION ALL
        SELECT tree.root, i.inhrelid, i.inhparent, i.inhdetachpending::text || ' ' || i.xmin::text
        FROM tree JOIN pg_inherits i ON i.inhparent = tree.member
        WHERE tree.link IS NULL OR tree.link NOT LIKE 'true %'  -- being detached
    ), members AS (
        SELECT root, jsonb_object_agg(member::text, parent::text || ' ' || link)
            FILTER (WHERE parent IS NOT NULL) AS value,
            bool_or(EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = tree.member
                AND NOT EXISTS (SELECT FROM tree own WHERE own.root = tree.root AND own.member = i.inhparent))) AS child
        FROM tree GROUP BY root
    ), triggers AS (
        SELECT tree.root, string_agg(t.tgrelid::text || ' ' || t.tgname || ' ' || t.oid::text || ' '
            || t.tgfoid::oid::text || ' ' || t.tgenabled::text || ' ' || t.xmin::text, ', ' ORDER BY t.tgrelid, t.tgname) AS value
        FROM (SELECT DISTINCT root, member FROM tree) tree JOIN pg_trigger t ON t.tgrelid = tree.member
        WHERE starts_with(t.tgname::text, 'pgtrickle' || '_' || tree.root || '_')
        GROUP BY tree.root
    ), columns AS (
        SELECT b.source_relid AS root, string_agg(a.attnum::text || ' ' || quote_ident(a.attname) || ' '
            || a.atttypid::text || ' ' || a.atttypmod::text || ' ' || a.attcollation::text || ' ' || a.xmin::text,
            ', ' ORDER BY a.attnum) AS value
        FROM pgtrickle.pgt_sources s
        JOIN pgtrickle.pgt_buffers b ON b.source_relid = s.source_relid AND b.version = s.active_version
        JOIN pg_attribute a ON a.attrelid = b.source_relid AND a.attnum = ANY (b.columns) AND NOT a.attisdropped
        WHERE b.source_relid = ANY (p_relids)
        GROUP BY b.source_relid
    )
    SELECT c.oid, jsonb_build_object(
        'columns', columns.value, 'triggers', triggers.value, 'partitions', members.value,
        'kind', concat_ws(' ', c.relkind, c.relpersistence,
            CASE WHEN members.child THEN 'child' END,
            CASE WHEN c.relkind = 'p' AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique)
                THEN 'unique' END,
            CASE WHEN EXISTS (SELECT FROM pg_subscription_rel r JOIN tree ON tree.member = r.srrelid
                WHERE tree.root = c.oid) THEN 'subscribed' END),
        'started', CASE c.relpersistence WHEN 'u' THEN pg_postmaster_start_time() END)
    FROM members JOIN pg_class c ON c.oid = members.root
    LEFT JOIN triggers ON triggers.root = members.root LEFT JOIN columns ON columns.root = members.root;
END $$;

-- Sources whose capture can't be trusted at this snapshot; p_relids NULL means all that stream tables read.
CREATE FUNCTION pgtrickle.pgt_source_issues(p_relids oid[] DEFAULT NULL)
RETURNS TABLE (source_relid oid, kind text, message text, new_relid oid)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pgtrickle, pg_temp
SET plan_cache_mode = force_generic_plan SET jit = off AS $$
#variable_conflict use_column
DECLARE
    r record;
    this_system bigint := pgtrickle.pgt_system_identifier();
    next_xid xid8 := pg_snapshot_xmax(pg_current_snapshot());
BEGIN
    FOR r IN
        WITH used AS (
            SELECT d.source_relid AS relid, min(d.source_name) AS name,
                bool_or(f.system_identifier <> this_system OR pg_snapshot_xmax(f.snapshot) > next_xid) AS alien
            FROM pgtrickle.pgt_dependencies d LEFT JOIN pgtrickle.pgt_frontiers f ON f.pgt_id = d.pgt_id
            WHERE d.source_kind NOT IN ('stream_table', 'view')
                AND (p_relids IS NULL OR d.source_relid = ANY (p_relids))
            GROUP BY d.source_relid
            UNION ALL
            SELECT s.source_relid, s.source_name, false FROM pgtrickle.pgt_sources s
            WHERE s.source_relid = ANY (p_relids)
                AND NOT EXISTS (SELECT FROM pgtrickle.pgt_dependencies d
                    WHERE d.source_relid = s.source_relid AND d.source_kind NOT IN ('stream_table', 'view'))
        ), state AS MATERIALIZED (
            SELECT * FROM pgtrickle.pgt_source_state((SELECT array_agg(relid) FROM used))
        ), found AS (
            SELECT used.relid, used.name, c.oid IS NOT NULL AS present,
                quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS now, s.capture_mode, s.fingerprint, state.state,
                -- Both ways of quoting a name: only where needed, and always.
                used.name IN (quote_ident(n.nspname) || '.' || quote_ident(c.relname),
                    '"' || replace(n.nspname, '"', '""') || '"."' || replace(c.relname, '"', '""') || '"') AS in_place,
                used.alien OR s.system_identifier <> this_system
                    OR pg_snapshot_xmax(s.captured_at) > next_xid AS alien,
                c.relrowsecurity AND row_security_active(c.oid) AS secured,
                (SELECT m.message FROM pgtrickle.pgt_markers m
                 WHERE m.source_relid = used.relid AND m.kind = 'X'
                    AND NOT pg_visible_in_snapshot(m.xid, s.captured_at) LIMIT 1) AS failure
            FROM used
            LEFT JOIN pg_class c ON c.oid = used.relid
            LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN pgtrickle.pgt_sources s ON s.source_relid = used.relid
            LEFT JOIN state ON state.source_relid = used.relid
        )
        SELECT * FROM found f
        WHERE (f.in_place AND NOT f.alien AND NOT f.secured AND f.failure IS NULL
            AND (f.capture_mode = 'poll' OR f.state = f.fingerprint)) IS NOT TRUE
    LOOP
        source_relid := r.relid;
        new_relid := NULL;
        -- to_regclass() is asked only where the name may have moved: it fails on schemas closed to us.
        IF r.in_place IS NOT TRUE THEN
            new_relid := nullif(to_regclass(r.name)::oid, r.relid);
        END IF;
        SELECT found.kind, found.message INTO kind, message FROM (VALUES
            (new_relid IS NOT NULL, 'swapped', r.name || ' is another relation now'),
            (NOT r.present, 'gone', r.name || ' does not exist any more'),
            (NOT r.in_place, 'renamed', r.name || ' is ' || r.now || ' now'),
            (r.secured, 'row_security', 'row security policies of ' || r.name || ' apply to us'),
            (r.alien, 'foreign_cluster', 'the frontier or the capture was made in another cluster'),
            (r.capture_mode IS NULL, 'trigger_changed', 'changes of ' || r.name || ' are not captured'),
            (r.failure IS NOT NULL, 'marker_failure', r.failure),
            (r.state -> 'columns' IS DISTINCT FROM r.fingerprint -> 'columns', 'columns_changed',
                'a captured column of ' || r.name || ' was renamed, dropped or altered'),
            (r.state -> 'partitions' IS DISTINCT FROM r.fingerprint -> 'partitions', 'partitions_changed',
                'a partition or child of ' || r.name || ' was attached, detached, created or dropped'),
            (r.state -> 'triggers' IS DISTINCT FROM r.fingerprint -> 'triggers', 'trigger_changed',
                'a capture trigger on ' || r.name || ' was dropped, disabled or altered'),
            (r.state -> 'kind' IS DISTINCT FROM r.fingerprint -> 'kind', 'trigger_changed',
                r.name || ' changed its persistence or unique index, got a parent, or is the target of a subscription'),
            (r.state -> 'started' IS DISTINCT FROM r.fingerprint -> 'started', 'unlogged_restart',
                'the server was restarted and may have emptied the unlogged table ' || r.name)
        ) AS found (applies, kind, message)
        WHERE found.applies AND (r.capture_mode IS DISTINCT FROM 'poll'
            OR found.kind IN ('swapped', 'gone', 'renamed', 'row_security', 'foreign_cluster'))
        LIMIT 1;
        IF kind IS NOT NULL THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END $$;

-- Pending changes, a row for each place they come from; use pgt_pending. Buffers are mostly empty, so the size of
-- their files is looked at before anything is planned.
CREATE FUNCTION pgtrickle.pgt_pending_parts(p_ids bigint[])
RETURNS TABLE (pgt_id bigint, source_relid oid, changes bigint, marker text, message text, polled boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pgtrickle, pg_temp
SET plan_cache_mode = force_generic_plan SET jit = off AS $$
#variable_conflict use_column
DECLARE
    r record;
BEGIN
    FOR r IN
        SELECT b.source_relid, b.buffer_name
        FROM pgtrickle.pgt_buffers b
        JOIN pg_class c ON c.relname = b.buffer_name AND c.relnamespace = 'pgtrickle_changes'::regnamespace
        WHERE NOT b.discard AND pg_relation_size(c.oid) > 0
            AND EXISTS (SELECT FROM pgtrickle.pgt_dependencies d WHERE d.source_relid = b.source_relid
                AND (p_ids IS NULL OR d.pgt_id = ANY (p_ids)))
    LOOP
        -- Few stream tables have frontiers of their own, and a transaction has few rows or very many. A buffer that is
        -- gone by now was dropped with the last stream table that reads it.
        BEGIN
            RETURN QUERY EXECUTE format($q$
                WITH wanted AS MATERIALIZED (
                    SELECT f.pgt_id, f.snapshot, f.snapshot::text AS image
                    FROM pgtrickle.pgt_frontiers f JOIN pgtrickle.pgt_dependencies d ON d.pgt_id = f.pgt_id
                    WHERE d.source_relid = $1 AND ($2 IS NULL OR f.pgt_id = ANY ($2))
                ), transactions AS MATERIALIZED (
                    SELECT b.xid, count(*) FILTER (WHERE b.op <> 'A') AS changes
                    FROM pgtrickle_changes.%I b GROUP BY b.xid
                ), counted AS (
                    SELECT w.image, sum(t.changes)::bigint AS changes
                    FROM (SELECT DISTINCT ON (image) image, snapshot FROM wanted ORDER BY image) w
                    JOIN transactions t ON NOT pg_visible_in_snapshot(t.xid, w.snapshot)
                    GROUP BY w.image
                )
                SELECT w.pgt_id, $1, c.changes, NULL, NULL, false FROM counted c JOIN wanted w ON w.image = c.image
            $q$, r.buffer_name) USING r.source_relid, p_ids;
        EXCEPTION WHEN undefined_table THEN NULL;
        END;
    END LOOP;

    -- A change log has no updates: the larger of what came and what went counts each of them once.
    FOR r IN
        SELECT d.pgt_id, d.source_relid, d.source_pgt_id, c.relname,
            coalesce((f.upstream ->> d.source_pgt_id::text)::bigint, 0) AS consumed
        FROM pgtrickle.pgt_dependencies d
        JOIN pgtrickle.pgt_frontiers f ON f.pgt_id = d.pgt_id
        JOIN pg_class c ON c.relname = ('log_' || d.source_pgt_id)::name
            AND c.relnamespace = 'pgtrickle_changes'::regnamespace
        WHERE (p_ids IS NULL OR d.pgt_id = ANY (p_ids)) AND pg_relation_size(c.oid) > 0
    LOOP
        BEGIN
            RETURN QUERY EXECUTE format($q$
                SELECT $1, $2, sum(n)::bigint, NULL, NULL, false FROM (
                    SELECT greatest(sum(l.__pgt_w) FILTER (WHERE l.__pgt_w > 0), -sum(l.__pgt_w) FILTER (WHERE l.__pgt_w < 0)) AS n
                    FROM pgtrickle_changes.%I l WHERE l.__pgt_refresh > $3 GROUP BY l.__pgt_refresh
                ) refreshes HAVING count(*) > 0
            $q$, r.relname) USING r.pgt_id, r.source_relid, r.consumed;
        EXCEPTION WHEN undefined_table THEN NULL;
        END;
    END LOOP;

    RETURN QUERY
        SELECT d.pgt_id, d.source_relid, 0::bigint, m.kind::text, m.message, false
        FROM pgtrickle.pgt_markers m
        JOIN pgtrickle.pgt_dependencies d ON d.source_relid = m.source_relid
        JOIN pgtrickle.pgt_frontiers f ON f.pgt_id = d.pgt_id
        WHERE (p_ids IS NULL OR d.pgt_id = ANY (p_ids)) AND NOT pg_visible_in_snapshot(m.xid, f.snapshot)
        UNION ALL
        SELECT d.pgt_id, d.source_relid, 0, NULL, s.poll_reason, true
        FROM pgtrickle.pgt_dependencies d
        JOIN pgtrickle.pgt_sources s ON s.source_relid = d.source_relid AND s.capture_mode = 'poll'
        WHERE p_ids IS NULL OR d.pgt_id = ANY (p_ids);
END $$;

-- Changes that each stream table has not consumed, of each of its sources that has any; an UPDATE is one.
CREATE FUNCTION pgtrickle.pgt_pending(p_ids bigint[] DEFAULT NULL)
RETURNS TABLE (pgt_id bigint, source_relid oid, changes bigint, truncated boolean, failed boolean, polled boolean,
    message text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pgtrickle, pg_temp
SET plan_cache_mode = force_generic_plan SET jit = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT p.pgt_id, p.source_relid, sum(p.changes)::bigint, coalesce(bool_or(p.marker = 'T'), false),
        coalesce(bool_or(p.marker IN ('X', 'R')), false), bool_or(p.polled), max(p.message)
    FROM pgtrickle.pgt_pending_parts(p_ids) p GROUP BY p.pgt_id, p.source_relid;
END $$;

-- Remove the triggers, functions, buffers and registrations of a source. Dropping a function drops its triggers,
-- which needs no ownership of the source.
CREATE FUNCTION pgtrickle.pgt_drop_capture(p_relid oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pgtrickle, pg_temp AS $$
#variable_conflict use_column
DECLARE
    r record;
BEGIN
    FOR r IN
        SELECT p.proname FROM pg_proc p WHERE p.pronamespace = to_regnamespace('pgtrickle_changes')
            AND p.proname ~ ('^capture_' || p_relid || '_') ORDER BY p.proname
    LOOP
        EXECUTE format('DROP FUNCTION pgtrickle_changes.%I() CASCADE', r.proname);
    END LOOP;
    EXECUTE format('DROP VIEW IF EXISTS pgtrickle_changes.%I', 'changes_' || p_relid);
    FOR r IN
        SELECT c.relname FROM pg_class c WHERE c.relnamespace = to_regnamespace('pgtrickle_changes')
            AND c.relkind = 'r' AND c.relname ~ ('^changes_' || p_relid || '_[0-9]+$') ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE pgtrickle_changes.%I', r.relname);
    END LOOP;
    DELETE FROM pgtrickle.pgt_markers m WHERE m.source_relid = p_relid;
    DELETE FROM pgtrickle.pgt_sources s WHERE s.source_relid = p_relid;
END $$;
