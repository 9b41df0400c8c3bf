-- Gates: tests that new content must pass before readers see it. trickle_runtime.refresh.gate.

CREATE TABLE pgtrickle.pgt_gates (
    pgt_id bigint NOT NULL REFERENCES pgtrickle.pgt_stream_tables ON DELETE CASCADE,
    position int NOT NULL,
    name text NOT NULL,
    query text NOT NULL,                    -- gives the failures; no row: passed
    reads bigint[] NOT NULL DEFAULT '{}',   -- other stream tables that it reads
    missing text,                           -- why it is not run yet: a relation that it reads is missing
    accepted double precision NOT NULL DEFAULT 0,   -- failures that reset_fuse('apply') has let through
    found double precision,                 -- failures that blew the fuse; NULL: it did not
    PRIMARY KEY (pgt_id, position)
);

-- The given stream tables (NULL: all), those below them, and those that their gates read: a gate is judged at one
-- snapshot.
CREATE FUNCTION pgtrickle.pgt_with_gates(p_ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pgtrickle, pg_temp AS $$
BEGIN
    IF p_ids IS NULL OR NOT EXISTS (SELECT FROM pgtrickle.pgt_gates WHERE reads <> '{}') THEN
        RETURN p_ids;
    END IF;
    RETURN ARRAY(
        WITH RECURSIVE wanted (pgt_id) AS (
            SELECT unnest(p_ids)
            UNION
            SELECT more.pgt_id
            FROM wanted CROSS JOIN LATERAL (
                SELECT d.source_pgt_id FROM pgtrickle.pgt_dependencies d
                WHERE d.pgt_id = wanted.pgt_id AND d.source_pgt_id IS NOT NULL
                UNION ALL
                SELECT unnest(g.reads) FROM pgtrickle.pgt_gates g WHERE g.pgt_id = wanted.pgt_id
            ) more (pgt_id)
        )
        SELECT w.pgt_id FROM wanted w
    );
END $$;

CREATE FUNCTION pgtrickle.blown_by_gate(pgt_id bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM pgtrickle.pgt_gates g WHERE g.pgt_id = $1 AND g.found IS NOT NULL)
$$;

-- A gate blows the fuse of a table that has none of its own, too.
CREATE OR REPLACE FUNCTION pgtrickle.keep_fuse_state() RETURNS trigger
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

-- As before, and for the gate: 'apply' accepts the failures that were found, 'reinitialize' accepts none.
CREATE OR REPLACE FUNCTION pgtrickle.reset_fuse(name text, action text DEFAULT 'apply') RETURNS void
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

-- As before, and what to do about gates and constraints.
CREATE OR REPLACE FUNCTION pgtrickle.error_remediation(code text) RETURNS text
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

-- Constraints that authors ask for; trickle_runtime.refresh.constraints.
CREATE TABLE pgtrickle.pgt_constraints (
    pgt_id bigint NOT NULL REFERENCES pgtrickle.pgt_stream_tables ON DELETE CASCADE,
    position int NOT NULL,
    kind text NOT NULL CHECK (kind IN ('not_null', 'check', 'unique', 'primary_key')),
    columns text[] NOT NULL,
    expression text,                        -- of a check
    name text,                              -- as its author wants it
    actual text,                            -- as it is on the table; a not_null has no name
    PRIMARY KEY (pgt_id, position)
);

-- Creations under way, committed before each phase so that others can see them; trickle_runtime.refresh.filling.
CREATE TABLE pgtrickle.pgt_fills (
    pgt_id bigint PRIMARY KEY REFERENCES pgtrickle.pgt_stream_tables ON DELETE CASCADE,
    pid int NOT NULL DEFAULT pg_backend_pid(),
    phase text NOT NULL CHECK (phase IN ('capturing', 'filling')),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expected_bytes bigint,                  -- by the planner's estimate of the query
    expected_rows double precision
);

-- How far creations are. What a fill has written is not visible to others, but the size of its files is.
CREATE FUNCTION pgtrickle.fill_progress() RETURNS TABLE (
    schema text,
    name text,                              -- that it will have, also while it is built beside another relation
    phase text,                             -- capturing, filling, indexing; interrupted: create it again to go on
    seconds double precision,
    bytes bigint,
    expected_bytes bigint,
    done double precision                   -- of this phase, 0 to 1; NULL: not known
)
LANGUAGE sql VOLATILE SET lock_timeout = '100ms' AS $$
    SELECT s.pgt_schema::text, s.pgt_name::text,
           CASE WHEN a.pid IS NULL THEN 'interrupted' WHEN i.pid IS NOT NULL THEN 'indexing' ELSE f.phase END,
           extract(epoch FROM clock_timestamp() - f.started_at)::double precision,
           size.bytes,
           f.expected_bytes,
           CASE WHEN a.pid IS NULL OR f.phase = 'capturing' THEN NULL
                WHEN i.pid IS NOT NULL THEN i.blocks_done::double precision / nullif(i.blocks_total, 0)
                WHEN size.bytes > 0 THEN least(0.99, size.bytes::double precision / nullif(f.expected_bytes, 0)) END
    FROM pgtrickle.pgt_fills f
    JOIN pgtrickle.pgt_stream_tables s ON s.pgt_id = f.pgt_id
    LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = f.pid AND a.backend_start < f.started_at
    LEFT JOIN pg_catalog.pg_stat_progress_create_index i ON i.pid = f.pid
    CROSS JOIN LATERAL (
        SELECT sum(pg_relation_size(t.relid))::bigint AS bytes FROM pg_partition_tree(s.pgt_relid) t WHERE t.isleaf
    ) size
    ORDER BY 1, 2
$$;

-- Whether a query is the one that is stored, and still gives the columns of a table. The text decides if it is the same;
-- otherwise PostgreSQL prints both in its canonical form, in which comments and blanks are gone. Columns are compared in
-- any case: SELECT * changes its meaning with the tables that it reads. Leaves nothing behind: what it makes is undone.
CREATE FUNCTION pgtrickle.pgt_same_query(p_relid oid, p_stored text, p_query text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    ends CONSTANT text := '^\s+|[\s;]+$';
    stored text := regexp_replace(p_stored, ends, '', 'g');
    query text := regexp_replace(p_query, ends, '', 'g');
    same boolean;
BEGIN
    BEGIN
        EXECUTE format(E'CREATE TEMPORARY VIEW trickle_probe AS (\n%s\n)', query);
        same := pgtrickle.pgt_column_list(to_regclass('pg_temp.trickle_probe'))
            = pgtrickle.pgt_column_list(p_relid);
        IF same AND stored <> query THEN
            BEGIN
                EXECUTE format(E'CREATE TEMPORARY VIEW trickle_stored AS (\n%s\n)', stored);
                same := pg_get_viewdef(to_regclass('pg_temp.trickle_stored'))
                    = pg_get_viewdef(to_regclass('pg_temp.trickle_probe'));
            EXCEPTION WHEN OTHERS THEN
                same := false;  -- what is stored has become invalid
            END;
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'TRK00';
    EXCEPTION WHEN SQLSTATE 'TRK00' THEN
        NULL;
    END;
    RETURN same;
END
$$;

CREATE FUNCTION pgtrickle.pgt_column_list(p_relid oid) RETURNS text[]
LANGUAGE sql STABLE AS $$
    SELECT array_agg(a.attname::text || ' ' || format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum)
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
$$;
