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
