-- Verbs that need the compiler, for people who have SQL only: a procedure leaves a request and waits for the answer of a
-- running daemon. They are procedures because the request must be committed before anybody else can see it.
-- Whoever may write pgt_requests acts with the rights of the daemon's role: grant the schema accordingly.

CREATE TABLE pgtrickle.pgt_requests (
    request_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    verb text NOT NULL CHECK (verb IN (
        'create_stream_table', 'alter_stream_table', 'drop_stream_table', 'refresh_stream_table', 'validate_query',
        'explain_query_rewrite'
    )),
    arguments jsonb NOT NULL,
    session_settings jsonb NOT NULL,        -- of the session that asks: names and literals mean what they mean there
    status text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'done', 'failed')),
    answer jsonb,                           -- of a failure: code, message, detail, hint
    requested_by name NOT NULL DEFAULT session_user,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    answered_at timestamptz
);
CREATE INDEX ON pgtrickle.pgt_requests (request_id) WHERE status = 'waiting';

CREATE FUNCTION pgtrickle.daemon_is_running() RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM pgtrickle.pgt_workers WHERE heartbeat_at > clock_timestamp() - interval '30 seconds'
    )
$$;

CREATE FUNCTION pgtrickle.leave_request(verb text, arguments jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    id bigint;
BEGIN
    IF NOT pgtrickle.daemon_is_running() THEN
        RAISE EXCEPTION '% needs a running daemon, and there is none', $1
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Start trickle-runtime serve, or use the command line, Python or dbt.';
    END IF;
    INSERT INTO pgtrickle.pgt_requests (verb, arguments, session_settings)
    SELECT $1, jsonb_strip_nulls($2), jsonb_object_agg(s.name, current_setting(s.name))
    FROM unnest(ARRAY['TimeZone', 'DateStyle', 'IntervalStyle', 'extra_float_digits', 'bytea_output', 'lc_monetary',
                      'lc_numeric', 'lc_time', 'default_text_search_config', 'xmloption', 'search_path']) AS s (name)
    RETURNING request_id INTO id;
    PERFORM pg_notify('pgtrickle_wake', '');
    RETURN id;
END
$$;

CREATE FUNCTION pgtrickle.raise_failure(failure jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING
        MESSAGE = format('[%s] %s', $1 ->> 'code', $1 ->> 'message'),
        DETAIL = coalesce($1 ->> 'detail', ''),
        HINT = coalesce($1 ->> 'hint', '');
END
$$;

CREATE PROCEDURE pgtrickle.request(verb text, arguments jsonb, INOUT answer jsonb DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
    id bigint := pgtrickle.leave_request($1, $2);
    state text;
BEGIN
    COMMIT;
    LOOP
        SELECT r.status, r.answer INTO state, answer FROM pgtrickle.pgt_requests r WHERE r.request_id = id;
        COMMIT;  -- waiting must not hold back the cleanup of the whole database
        EXIT WHEN state IS DISTINCT FROM 'waiting';
        IF NOT pgtrickle.daemon_is_running() THEN
            DELETE FROM pgtrickle.pgt_requests r WHERE r.request_id = id AND r.status = 'waiting';
            COMMIT;
            RAISE EXCEPTION 'the daemon stopped before it answered'
                USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Start trickle-runtime serve, and repeat.';
        END IF;
        PERFORM pg_sleep(0.02);
    END LOOP;
    IF state = 'failed' THEN
        PERFORM pgtrickle.raise_failure(answer);
    END IF;
END
$$;

CREATE PROCEDURE pgtrickle.create_stream_table(
    name text,
    query text,
    schedule text DEFAULT NULL,
    refresh_mode text DEFAULT NULL,
    initialize boolean DEFAULT NULL,
    partition_by text DEFAULT NULL,
    fuse text DEFAULT NULL,
    fuse_ceiling bigint DEFAULT NULL,
    fuse_sensitivity double precision DEFAULT NULL,
    tier text DEFAULT NULL,
    cdc_mode text DEFAULT NULL,
    diamond_consistency text DEFAULT NULL,
    append_only boolean DEFAULT NULL,
    unique_key text[] DEFAULT NULL
)
LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb;
BEGIN
    CALL pgtrickle.request('create_stream_table', jsonb_build_object(
        'name', $1, 'query', $2, 'schedule', $3, 'refresh_mode', $4, 'initialize', $5, 'partition_by', $6, 'fuse', $7,
        'fuse_ceiling', $8, 'fuse_sensitivity', $9, 'tier', $10, 'cdc_mode', $11, 'diamond_consistency', $12,
        'append_only', $13, 'unique_key', $14), answer);
END
$$;

CREATE PROCEDURE pgtrickle.alter_stream_table(
    name text,
    query text DEFAULT NULL,
    schedule text DEFAULT NULL,
    refresh_mode text DEFAULT NULL,
    status text DEFAULT NULL,
    partition_by text DEFAULT NULL,
    fuse text DEFAULT NULL,
    fuse_ceiling bigint DEFAULT NULL,
    fuse_sensitivity double precision DEFAULT NULL,
    tier text DEFAULT NULL,
    cdc_mode text DEFAULT NULL,
    diamond_consistency text DEFAULT NULL,
    append_only boolean DEFAULT NULL,
    unique_key text[] DEFAULT NULL
)
LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb;
BEGIN
    CALL pgtrickle.request('alter_stream_table', jsonb_build_object(
        'name', $1, 'query', $2, 'schedule', $3, 'refresh_mode', $4, 'status', $5, 'partition_by', $6, 'fuse', $7,
        'fuse_ceiling', $8, 'fuse_sensitivity', $9, 'tier', $10, 'cdc_mode', $11, 'diamond_consistency', $12,
        'append_only', $13, 'unique_key', $14), answer);
END
$$;

CREATE PROCEDURE pgtrickle.drop_stream_table(name text, cascade boolean DEFAULT false)
LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb;
BEGIN
    CALL pgtrickle.request('drop_stream_table', jsonb_build_object('name', $1, 'cascade', $2), answer);
END
$$;

CREATE PROCEDURE pgtrickle.refresh_stream_table(name text)
LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb;
BEGIN
    CALL pgtrickle.request('refresh_stream_table', jsonb_build_object('name', $1), answer);
END
$$;

CREATE PROCEDURE pgtrickle.validate_query(query text, INOUT result jsonb DEFAULT NULL)
LANGUAGE plpgsql AS $$
BEGIN
    CALL pgtrickle.request('validate_query', jsonb_build_object('query', $1), result);
END
$$;

CREATE PROCEDURE pgtrickle.explain_query_rewrite(query text, INOUT result jsonb DEFAULT NULL)
LANGUAGE plpgsql AS $$
BEGIN
    CALL pgtrickle.request('explain_query_rewrite', jsonb_build_object('query', $1), result);
END
$$;
