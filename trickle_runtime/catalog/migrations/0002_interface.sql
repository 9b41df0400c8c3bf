-- What people and programs read and call in SQL, without a daemon. See docs/reference/sql.md.
-- Every function runs with the rights of its caller and finds names as the caller's search_path does.

CREATE TABLE pgtrickle.pgt_fuses (                -- the facts of the last blow; state and reason: pgt_stream_tables
    pgt_id bigint PRIMARY KEY REFERENCES pgtrickle.pgt_stream_tables ON DELETE CASCADE,
    pending bigint NOT NULL,
    threshold double precision,
    ceiling bigint,
    mean double precision,
    stddev double precision,
    held boolean NOT NULL DEFAULT false,          -- its changes are still with the tables of its diamond
    skip_next boolean NOT NULL DEFAULT false      -- skip_changes of held changes: done by the next pass
);

CREATE TABLE pgtrickle.pgt_alerts (               -- when an alert that repeats itself was last sent
    pgt_id bigint NOT NULL REFERENCES pgtrickle.pgt_stream_tables ON DELETE CASCADE,
    event text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (pgt_id, event)
);

INSERT INTO pgtrickle.pgt_settings (name, value, description) VALUES
    ('fuse_default_ceiling', '0', 'Ceiling of fuses that have none of their own; 0: no ceiling.');

-- Off means disabled, and a fuse that is switched on is armed, whoever writes the row.
CREATE FUNCTION pgtrickle.keep_fuse_state() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.fuse_mode = 'off' AND (NEW.fuse_state <> 'blown' OR NOT pgtrickle.blown_by_gate(NEW.pgt_id)) THEN
        NEW.fuse_state := 'disabled';
    ELSIF NEW.fuse_state = 'disabled' THEN
        NEW.fuse_state := 'armed';
    END IF;
    IF NEW.fuse_state <> 'blown' THEN
        NEW.blown_at := NULL;
        NEW.blow_reason := NULL;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER keep_fuse_state
BEFORE INSERT OR UPDATE OF fuse_mode, fuse_state ON pgtrickle.pgt_stream_tables
FOR EACH ROW EXECUTE FUNCTION pgtrickle.keep_fuse_state();

CREATE FUNCTION pgtrickle.stream_table_name(pgt_id bigint) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT format('%I.%I', coalesce(n.nspname, s.pgt_schema), coalesce(c.relname, s.pgt_name))
    FROM pgtrickle.pgt_stream_tables s
    LEFT JOIN pg_catalog.pg_class c ON c.oid = s.pgt_relid
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE s.pgt_id = $1
$$;

CREATE FUNCTION pgtrickle.stream_table_id(name text) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    found bigint := (SELECT s.pgt_id FROM pgtrickle.pgt_stream_tables s WHERE s.pgt_relid = to_regclass($1));
BEGIN
    IF found IS NULL THEN
        RAISE EXCEPTION 'there is no stream table %', coalesce($1, 'NULL')
            USING ERRCODE = 'undefined_table',
                  HINT = 'Qualify the name by its schema; the view stream_tables_status lists all.';
    END IF;
    RETURN found;
END
$$;

CREATE FUNCTION pgtrickle.raise_alert(
    event text, pgt_id bigint, facts jsonb DEFAULT '{}', at_most_every interval DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    head jsonb := jsonb_build_object(
        'event', $1, 'stream_table', pgtrickle.stream_table_name($2), 'at', clock_timestamp()
    );
BEGIN
    IF $4 IS NOT NULL THEN
        INSERT INTO pgtrickle.pgt_alerts AS a VALUES ($2, $1, clock_timestamp())
        ON CONFLICT ON CONSTRAINT pgt_alerts_pkey
        DO UPDATE SET at = excluded.at WHERE a.at <= excluded.at - $4;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
    END IF;
    -- A payload has less than 8000 bytes.
    IF octet_length((head || $3)::text) < 7900 THEN
        head := head || $3;
    END IF;
    PERFORM pg_notify('pgtrickle_alert', head::text);
    RETURN true;
END
$$;

-- The adaptive threshold: mean + sensitivity * standard deviation of the changes per refresh over the last 20
-- successful differential refreshes; none below 5 of them. The deviation counts as at least sqrt(mean), what chance
-- alone makes of independent events: otherwise a perfectly regular table blows at the first additional row.
CREATE FUNCTION pgtrickle.fuse_baseline(
    pgt_id bigint, OUT samples int, OUT mean double precision, OUT stddev double precision,
    OUT threshold double precision
)
LANGUAGE sql STABLE AS $$
    SELECT b.samples, b.mean, b.stddev,
           CASE WHEN b.samples >= 5 THEN b.mean + s.fuse_sensitivity * greatest(b.stddev, sqrt(b.mean)) END
    FROM pgtrickle.pgt_stream_tables s
    CROSS JOIN LATERAL (
        SELECT count(*)::int AS samples, avg(rows_in)::double precision AS mean,
               coalesce(stddev_samp(rows_in), 0)::double precision AS stddev
        FROM (
            SELECT h.rows_in
            FROM pgtrickle.pgt_refresh_history h
            WHERE h.pgt_id = s.pgt_id AND h.action = 'DIFFERENTIAL' AND h.status = 'completed'
            ORDER BY h.refresh_id DESC
            LIMIT 20
        ) AS recent
    ) AS b
    WHERE s.pgt_id = $1
$$;

CREATE FUNCTION pgtrickle.fuse_status() RETURNS TABLE (
    stream_table text,
    fuse_mode text,
    fuse_state text,
    fuse_ceiling bigint,
    effective_ceiling bigint,
    fuse_sensitivity double precision,
    samples int,
    mean double precision,
    stddev double precision,
    threshold double precision,
    pending bigint,
    blown_at timestamptz,
    blow_reason text,
    exempt boolean
)
LANGUAGE sql STABLE AS $$
    SELECT pgtrickle.stream_table_name(s.pgt_id), s.fuse_mode, s.fuse_state, s.fuse_ceiling,
           CASE WHEN s.fuse_mode <> 'off'
                THEN coalesce(s.fuse_ceiling, (SELECT nullif(p.value::bigint, 0) FROM pgtrickle.pgt_settings p
                                               WHERE p.name = 'fuse_default_ceiling'))
           END,
           s.fuse_sensitivity, b.samples, b.mean, b.stddev,
           CASE WHEN s.fuse_mode = 'auto' THEN b.threshold END,
           CASE WHEN s.fuse_mode <> 'off' THEN coalesce(now_pending.changes, 0) END,
           s.blown_at, s.blow_reason, s.fuse_exempt
    FROM pgtrickle.pgt_stream_tables s
    CROSS JOIN LATERAL pgtrickle.fuse_baseline(s.pgt_id) AS b
    LEFT JOIN (
        SELECT p.pgt_id, sum(p.changes)::bigint AS changes
        FROM pgtrickle.pgt_pending(ARRAY(
            SELECT fused.pgt_id FROM pgtrickle.pgt_stream_tables fused WHERE fused.fuse_mode <> 'off'
        )) AS p
        GROUP BY p.pgt_id
    ) AS now_pending ON now_pending.pgt_id = s.pgt_id
    ORDER BY 1
$$;

-- A snapshot of now in which the own transaction still runs: what it writes later must not count as seen.
CREATE FUNCTION pgtrickle.snapshot_before_self() RETURNS pg_snapshot
LANGUAGE sql VOLATILE AS $$
    SELECT CASE
        WHEN own IS NULL OR own >= pg_snapshot_xmax(now) THEN now
        ELSE format('%s:%s:%s', least(own, pg_snapshot_xmin(now)), pg_snapshot_xmax(now), (
            SELECT string_agg(x::text, ',' ORDER BY x)
            FROM (SELECT pg_snapshot_xip(now) UNION SELECT own) AS running (x)
        ))::pg_snapshot
    END
    FROM (SELECT pg_current_snapshot(), pg_current_xact_id_if_assigned()) AS t (now, own)
$$;

CREATE FUNCTION pgtrickle.skip_changes(pgt_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    -- One statement: the snapshot and the numbers of the tables below belong together.
    UPDATE pgtrickle.pgt_frontiers f
    SET snapshot = pgtrickle.snapshot_before_self(),
        upstream = f.upstream || coalesce((
            SELECT jsonb_object_agg(d.source_pgt_id::text, below.refresh_no)
            FROM pgtrickle.pgt_dependencies d
            JOIN pgtrickle.pgt_frontiers below ON below.pgt_id = d.source_pgt_id
            WHERE d.pgt_id = $1
        ), '{}'),
        version = f.version + 1
    WHERE f.pgt_id = $1;
    UPDATE pgtrickle.pgt_stream_tables s SET diverged = true WHERE s.pgt_id = $1;
    INSERT INTO pgtrickle.pgt_refresh_history (pgt_id, ended_at, action, status, reason, initiated_by, rows_in)
    SELECT $1, clock_timestamp(), 'SKIP_CHANGES', 'completed', 'reset_fuse', 'manual',
           coalesce((SELECT f.pending FROM pgtrickle.pgt_fuses f WHERE f.pgt_id = $1), 0);
END
$$;

CREATE FUNCTION pgtrickle.reset_fuse(name text, action text DEFAULT 'apply') RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    id bigint := pgtrickle.stream_table_id($1);
    state text;
BEGIN
    IF $2 IS NULL OR $2 NOT IN ('apply', 'reinitialize', 'skip_changes') THEN
        RAISE EXCEPTION 'there is no action % to reset a fuse', coalesce(quote_literal($2), 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Actions: apply, reinitialize, skip_changes.';
    END IF;
    SELECT s.fuse_state INTO state FROM pgtrickle.pgt_stream_tables s WHERE s.pgt_id = id FOR UPDATE;
    IF state <> 'blown' THEN
        RAISE EXCEPTION 'the fuse of % is not blown', pgtrickle.stream_table_name(id)
            USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = format('It is %s.', state);
    END IF;
    UPDATE pgtrickle.pgt_gates g
    SET accepted = CASE $2 WHEN 'apply' THEN greatest(g.accepted, g.found)
                           WHEN 'reinitialize' THEN 0 ELSE g.accepted END,
        found = NULL
    WHERE g.pgt_id = id;
    UPDATE pgtrickle.pgt_stream_tables s
    SET fuse_state = 'armed',
        fuse_exempt = $2 <> 'skip_changes',
        reinit_reason = CASE $2 WHEN 'reinitialize' THEN 'reset_fuse' ELSE s.reinit_reason END,
        next_attempt_at = NULL,
        updated_at = clock_timestamp()
    WHERE s.pgt_id = id;
    IF $2 = 'skip_changes' THEN
        PERFORM pgtrickle.skip_changes(id);
        UPDATE pgtrickle.pgt_fuses f SET skip_next = f.held WHERE f.pgt_id = id;
    END IF;
    PERFORM pg_notify('pgtrickle_wake', id::text);
END
$$;

CREATE FUNCTION pgtrickle.pause_stream_table(name text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    id bigint := pgtrickle.stream_table_id($1);
BEGIN
    UPDATE pgtrickle.pgt_stream_tables s SET status = 'paused', updated_at = clock_timestamp()
    WHERE s.pgt_id = id AND s.status <> 'initializing';
    IF NOT FOUND THEN
        RAISE EXCEPTION '% is being created', pgtrickle.stream_table_name(id)
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END
$$;

CREATE FUNCTION pgtrickle.resume_stream_table(name text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    id bigint := pgtrickle.stream_table_id($1);
BEGIN
    UPDATE pgtrickle.pgt_stream_tables s
    SET status = 'active', consecutive_errors = 0, next_attempt_at = NULL, updated_at = clock_timestamp()
    WHERE s.pgt_id = id AND s.status IN ('paused', 'suspended', 'error');
    IF FOUND THEN
        PERFORM pgtrickle.raise_alert('resumed', id);
        PERFORM pg_notify('pgtrickle_wake', id::text);
    END IF;
END
$$;

CREATE FUNCTION pgtrickle.refresh_history(name text, max_rows int DEFAULT 20) RETURNS TABLE (
    refresh_id bigint,
    started_at timestamptz,
    ended_at timestamptz,
    action text,
    status text,
    reason text,
    initiated_by text,
    rows_in bigint,
    inserted bigint,
    updated bigint,
    deleted bigint,
    duration_ms double precision,
    error_code text,
    error_message text
)
LANGUAGE sql STABLE AS $$
    SELECT h.refresh_id, h.started_at, h.ended_at, h.action, h.status, h.reason, h.initiated_by, h.rows_in,
           h.inserted, h.updated, h.deleted, h.duration_ms, h.error_code, h.error_message
    FROM pgtrickle.pgt_refresh_history h
    WHERE h.pgt_id = pgtrickle.stream_table_id($1)
    ORDER BY h.refresh_id DESC
    LIMIT $2
$$;

-- The class of an error, by SQLSTATE or by the code of our error classes.
CREATE FUNCTION pgtrickle.error_type(code text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN $1 LIKE 'TR1%' OR $1 LIKE 'TR2%' OR $1 LIKE 'TR3%' THEN 'config'
        WHEN $1 LIKE 'TR5%' THEN 'infrastructure'
        WHEN $1 LIKE 'TR%' THEN 'correctness'
        WHEN $1 IN ('42501', '57P01', '57P02', '57P03', '57P05') THEN 'infrastructure'
        WHEN left($1, 2) IN ('40', '53', '54', '55', '57') THEN 'performance'
        WHEN $1 IN ('23505', '21000') THEN 'correctness'
        WHEN left($1, 2) IN ('0A', '22', '23', '2B', '3F', '42') THEN 'config'
        ELSE 'infrastructure'
    END
$$;

CREATE FUNCTION pgtrickle.error_remediation(code text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN $1 = 'TR401' THEN 'Look at the backlog, then reset the fuse: reset_fuse(name, action).'
        WHEN $1 = 'TR405' THEN 'Correct the data, then reset the fuse: reset_fuse(name, ''reinitialize''); or ''apply'', which '
                               'accepts these failures.'
        WHEN $1 = 'TR406' THEN 'Rows of the query violate its unique_key or a constraint: correct the sources, the query or '
                               'the constraint.'
        WHEN $1 = 'TR402' THEN 'Something else wrote to the stream table: trickle-runtime repair NAME.'
        WHEN $1 = 'TR303' THEN 'Grant BYPASSRLS to the runtime''s role, or drop the policies of the source.'
        WHEN $1 LIKE 'TR1%' THEN 'Change the query or the option: trickle-runtime validate names the construct.'
        WHEN $1 LIKE 'TR2%' THEN 'Compare with pgt_stream_tables; trickle-runtime doctor checks the catalog.'
        WHEN $1 LIKE 'TR3%' THEN 'A source changed: restore it, or alter the stream table with a query that fits it.'
        WHEN $1 LIKE 'TR%' THEN 'Run trickle-runtime verify NAME, then repair NAME; report it if it comes back.'
        WHEN $1 = '42501' THEN 'Grant the runtime''s role SELECT and TRIGGER on the sources: trickle-runtime doctor.'
        WHEN $1 = '55P03' THEN 'Another session holds a lock: find it in pg_locks, or raise lock_timeout in pgt_settings.'
        WHEN $1 = '57014' THEN 'The refresh was cancelled or timed out: raise statement_timeout in pgt_settings, or add '
                               'the indexes that trickle-runtime doctor names.'
        WHEN left($1, 2) = '40' THEN 'A concurrent transaction got in the way; the refresh is repeated. If it lasts, '
                                     'lengthen the schedule.'
        WHEN left($1, 2) IN ('53', '54') THEN 'The server ran out of memory, disk or connections: raise its limits, or '
                                              'refresh more often in smaller deltas.'
        WHEN $1 = '23505' THEN 'A unique index on the stream table rejects rows of its query: drop the index, or '
                               'change the query.'
        WHEN left($1, 2) = '22' THEN 'An expression of the query fails for some row: fix the data or the query.'
        WHEN left($1, 2) = '23' THEN 'A constraint on the stream table rejects rows of its query: drop it, or change '
                                     'the query.'
        WHEN left($1, 2) IN ('0A', '2B', '3F', '42') THEN 'The query no longer fits its sources: restore them, or '
                                                          'alter the query.'
        ELSE 'See the server''s log for the time of the error.'
    END
$$;

CREATE FUNCTION pgtrickle.diagnose_errors(name text) RETURNS TABLE (
    event_time timestamptz,
    error_type text,
    error_message text,
    remediation text
)
LANGUAGE sql STABLE AS $$
    SELECT coalesce(h.ended_at, h.started_at), pgtrickle.error_type(coalesce(h.error_code, '')), h.error_message,
           pgtrickle.error_remediation(coalesce(h.error_code, ''))
    FROM pgtrickle.pgt_refresh_history h
    WHERE h.pgt_id = pgtrickle.stream_table_id($1) AND h.status = 'failed'
    ORDER BY h.refresh_id DESC
    LIMIT 5
$$;

-- Everything that is kept for a stream table besides the columns of its query.
CREATE FUNCTION pgtrickle.list_auxiliary_columns(name text) RETURNS TABLE (
    relation text,
    column_name text,
    data_type text,
    purpose text
)
LANGUAGE sql STABLE AS $$
    WITH me AS (
        SELECT s.* FROM pgtrickle.pgt_stream_tables s WHERE s.pgt_id = pgtrickle.stream_table_id($1)
    ),
    kept (position, relid, purpose) AS (
        SELECT 1, to_regclass(state.value ->> 'name')::oid, state.value ->> 'purpose'
        FROM me, jsonb_array_elements(coalesce(me.plan -> 'states', '[]')) AS state
        UNION ALL
        SELECT 2, i.indexrelid, 'row identity: finds the rows that a delta changes'
        FROM me
        JOIN pg_catalog.pg_index i ON i.indrelid = me.pgt_relid
        JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid AND c.relname ^@ 'pgt_identity_'
        UNION ALL
        SELECT 3, c.oid, 'change log: this table''s changes for the stream tables above it'
        FROM me
        JOIN pg_catalog.pg_class c
            ON c.relname = 'log_' || me.pgt_id AND c.relnamespace = 'pgtrickle_changes'::regnamespace
        UNION ALL
        SELECT 4, c.oid, 'change buffer of ' || d.source_name || ', shared by the stream tables that read it'
        FROM me
        JOIN pgtrickle.pgt_dependencies d ON d.pgt_id = me.pgt_id
        JOIN pgtrickle.pgt_buffers b ON b.source_relid = d.source_relid
        JOIN pg_catalog.pg_class c
            ON c.relname = b.buffer_name AND c.relnamespace = 'pgtrickle_changes'::regnamespace
    )
    SELECT format('%I.%I', n.nspname, c.relname), a.attname::text, format_type(a.atttypid, a.atttypmod), k.purpose
    FROM kept k
    JOIN pg_catalog.pg_class c ON c.oid = k.relid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY k.position, 1, a.attnum
$$;

CREATE FUNCTION pgtrickle.change_buffer_stats() RETURNS TABLE (
    source text,
    buffer text,
    version int,
    active boolean,
    captured_columns int,
    changes bigint,
    bytes bigint,
    consumers text[]
)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    b record;
BEGIN
    FOR b IN
        SELECT p.source_relid, p.source_name, p.active_version, u.version, u.columns, c.oid AS relid,
               format('%I.%I', n.nspname, c.relname) AS relation
        FROM pgtrickle.pgt_sources p
        JOIN pgtrickle.pgt_buffers u ON u.source_relid = p.source_relid
        JOIN pg_catalog.pg_class c
            ON c.relname = u.buffer_name AND c.relnamespace = 'pgtrickle_changes'::regnamespace
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        ORDER BY p.source_name, u.version
    LOOP
        source := b.source_name;
        buffer := b.relation;
        version := b.version;
        active := b.version = b.active_version;
        captured_columns := cardinality(b.columns);
        EXECUTE format('SELECT count(*) FROM %s WHERE op <> ''B''', b.relation) INTO changes;
        bytes := pg_total_relation_size(b.relid);
        consumers := ARRAY(
            SELECT pgtrickle.stream_table_name(d.pgt_id)
            FROM pgtrickle.pgt_dependencies d
            WHERE d.source_relid = b.source_relid
            ORDER BY 1
        );
        RETURN NEXT;
    END LOOP;
END
$$;

-- Each source with the stream tables that read it, and so on upwards; a table is listed below each one it reads.
CREATE FUNCTION pgtrickle.dependency_tree() RETURNS TABLE (
    tree_line text,
    node text,
    node_type text,
    depth int,
    status text,
    refresh_mode text
)
LANGUAGE sql STABLE AS $$
    WITH RECURSIVE tree AS (
        SELECT d.source_relid AS relid, min(d.source_name) AS node, min(d.source_kind) AS node_type, 0 AS depth,
               ARRAY[min(d.source_name)] AS path, NULL::bigint AS pgt_id
        FROM pgtrickle.pgt_dependencies d
        WHERE d.source_pgt_id IS NULL AND d.source_kind <> 'view'
        GROUP BY d.source_relid
        UNION ALL
        SELECT s.pgt_relid, pgtrickle.stream_table_name(s.pgt_id), 'stream_table', t.depth + 1,
               t.path || pgtrickle.stream_table_name(s.pgt_id), s.pgt_id
        FROM tree t
        JOIN pgtrickle.pgt_dependencies d ON d.source_relid = t.relid
        JOIN pgtrickle.pgt_stream_tables s ON s.pgt_id = d.pgt_id
    )
    SELECT repeat('  ', t.depth) || t.node, t.node, t.node_type, t.depth, s.status, s.refresh_mode
    FROM tree t
    LEFT JOIN pgtrickle.pgt_stream_tables s ON s.pgt_id = t.pgt_id
    ORDER BY t.path
$$;

-- The stream tables that wait, and for which ones: those above a stopped table, those that share an atomic diamond
-- with it (a table that reaches some relation through two of its inputs, and what lies between), and those above them.
CREATE FUNCTION pgtrickle.waiting_stream_tables() RETURNS TABLE (pgt_id bigint, waiting_for text[])
LANGUAGE sql STABLE AS $$
    WITH RECURSIVE stopped AS (
        SELECT s.pgt_id
        FROM pgtrickle.pgt_stream_tables s
        WHERE s.fuse_state = 'blown' OR s.status IN ('suspended', 'error')
    ),
    reads AS MATERIALIZED (
        SELECT d.pgt_id, d.source_pgt_id, d.source_relid
        FROM pgtrickle.pgt_dependencies d
        WHERE d.source_kind <> 'view' AND EXISTS (SELECT FROM stopped)
    ),
    reach AS (
        SELECT r.pgt_id, r.source_relid AS via, r.source_relid AS relid, r.source_pgt_id AS node FROM reads r
        UNION
        SELECT c.pgt_id, c.via, r.source_relid, r.source_pgt_id
        FROM reach c JOIN reads r ON r.pgt_id = c.node
    ),
    shared AS MATERIALIZED (
        SELECT c.pgt_id, c.relid
        FROM reach c
        JOIN pgtrickle.pgt_stream_tables s ON s.pgt_id = c.pgt_id AND s.diamond_consistency = 'atomic'
        GROUP BY 1, 2
        HAVING count(DISTINCT c.via) > 1
    ),
    pairs AS MATERIALIZED (
        SELECT DISTINCT h.pgt_id AS one, inner_node.node AS other
        FROM shared h
        JOIN reach inner_node ON inner_node.pgt_id = h.pgt_id AND inner_node.node IS NOT NULL
        WHERE inner_node.relid = h.relid
           OR EXISTS (SELECT FROM reach up WHERE up.pgt_id = inner_node.node AND up.relid = h.relid)
    ),
    halted AS (
        SELECT s.pgt_id AS cause, s.pgt_id FROM stopped s
        UNION
        SELECT h.cause, next.pgt_id
        FROM halted h
        CROSS JOIN LATERAL (
            SELECT r.pgt_id FROM reads r WHERE r.source_pgt_id = h.pgt_id
            UNION ALL
            SELECT p.other FROM pairs p WHERE p.one = h.pgt_id
            UNION ALL
            SELECT p.one FROM pairs p WHERE p.other = h.pgt_id
        ) AS next
    )
    SELECT h.pgt_id, array_agg(pgtrickle.stream_table_name(h.cause) ORDER BY pgtrickle.stream_table_name(h.cause))
    FROM halted h
    WHERE h.cause <> h.pgt_id
    GROUP BY h.pgt_id
$$;

CREATE VIEW pgtrickle.stream_tables_status AS
SELECT pgtrickle.stream_table_name(s.pgt_id) AS stream_table,
       s.status,
       w.waiting_for,
       s.refresh_mode,
       s.effective_mode,
       s.schedule,
       s.tier,
       s.is_populated,
       f.last_refresh_at,
       f.data_timestamp,
       now() - f.data_timestamp AS lag,
       s.fuse_mode,
       s.fuse_state,
       s.blow_reason,
       s.diverged,
       s.reinit_reason,
       s.consecutive_errors,
       s.last_error,
       s.next_attempt_at,
       s.partition_by,
       s.pgt_id
FROM pgtrickle.pgt_stream_tables s
LEFT JOIN pgtrickle.pgt_frontiers f ON f.pgt_id = s.pgt_id
LEFT JOIN pgtrickle.waiting_stream_tables() AS w ON w.pgt_id = s.pgt_id;
