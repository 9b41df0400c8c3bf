-- Statements of trickle_runtime.refresh.gate.

-- name: stored
SELECT position, name, query, reads, missing, accepted, found
FROM pgtrickle.pgt_gates WHERE pgt_id = %(pgt_id)s ORDER BY position

-- name: drop_probe
ROLLBACK TO SAVEPOINT trickle_gate;
RELEASE SAVEPOINT trickle_gate

-- name: probe
-- A view may not have two columns of one name; a test may.
SAVEPOINT trickle_gate;
CREATE TEMPORARY VIEW trickle_gate_probe AS SELECT count(*) AS failures FROM (
{query}
) AS test

-- name: reads
-- The stream tables that the probe reads, below all views, and which of them are above the one of the gate.
WITH RECURSIVE reads (relid) AS (
    SELECT 'pg_temp.trickle_gate_probe'::regclass::oid
    UNION
    SELECT d.refobjid
    FROM reads
    JOIN pg_rewrite r ON r.ev_class = reads.relid
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> reads.relid
), above (pgt_id) AS (
    SELECT %(pgt_id)s::bigint
    UNION
    SELECT d.pgt_id FROM above JOIN pgtrickle.pgt_dependencies d ON d.source_pgt_id = above.pgt_id
)
SELECT s.pgt_id, s.pgt_id IN (SELECT a.pgt_id FROM above a) AS above
FROM reads JOIN pgtrickle.pgt_stream_tables s ON s.pgt_relid = reads.relid
WHERE s.pgt_id <> %(pgt_id)s
ORDER BY s.pgt_id

-- name: put
-- A fuse that was blown by a test which is no longer there is whole again.
DELETE FROM pgtrickle.pgt_gates WHERE pgt_id = %(pgt_id)s;
INSERT INTO pgtrickle.pgt_gates (pgt_id, position, name, query, reads, missing, accepted, found)
SELECT %(pgt_id)s, t.position, t.name, t.query, t.reads, t.missing, t.accepted, t.found
FROM jsonb_to_recordset(%(tests)s::jsonb) AS t (position int, name text, query text, reads bigint[], missing text,
                                                accepted float8, found float8);
UPDATE pgtrickle.pgt_stream_tables s
SET fuse_state = 'armed', updated_at = clock_timestamp()
WHERE s.pgt_id = %(pgt_id)s AND s.fuse_state = 'blown' AND %(was_found)s AND NOT pgtrickle.blown_by_gate(s.pgt_id)

-- name: run
-- A column named failures says how many; else they are counted.
SELECT count(*)::float8 AS rows, max((to_jsonb(test) ->> 'failures')::float8) AS failures FROM (
{query}
) AS test

-- name: lower
UPDATE pgtrickle.pgt_gates SET accepted = %(accepted)s WHERE pgt_id = %(pgt_id)s AND position = %(position)s

-- name: passed
UPDATE pgtrickle.pgt_gates SET found = NULL WHERE pgt_id = %(pgt_id)s AND found IS NOT NULL

-- name: found
UPDATE pgtrickle.pgt_gates
SET found = (%(failures)s::jsonb ->> position::text)::float8
WHERE pgt_id = %(pgt_id)s

-- name: blow
WITH blown AS (
    UPDATE pgtrickle.pgt_stream_tables s
    SET fuse_state = 'blown', blown_at = clock_timestamp(), blow_reason = %(reason)s, last_error = %(reason)s,
        last_error_code = %(code)s, updated_at = clock_timestamp()
    WHERE s.pgt_id = %(pgt_id)s AND s.fuse_state <> 'blown'
    RETURNING s.pgt_id
), history AS (
    INSERT INTO pgtrickle.pgt_refresh_history (pgt_id, ended_at, action, status, reason, initiated_by, rows_in,
                                               error_code, error_message)
    SELECT pgt_id, clock_timestamp(), %(action)s, 'failed', %(why)s, %(initiated_by)s, %(rows_in)s, %(code)s, %(reason)s
    FROM blown
), facts AS (
    INSERT INTO pgtrickle.pgt_fuses AS f (pgt_id, pending, held)
    SELECT pgt_id, %(rows_in)s, %(held)s FROM blown
    ON CONFLICT (pgt_id) DO UPDATE
    SET pending = excluded.pending, threshold = NULL, ceiling = NULL, mean = NULL, stddev = NULL,
        held = excluded.held, skip_next = false
)
SELECT pgtrickle.raise_alert('fuse_blown', blown.pgt_id, jsonb_build_object(
    'pending', %(rows_in)s, 'threshold', NULL, 'ceiling', NULL, 'mean', NULL, 'stddev', NULL,
    'reason', %(reason)s::text, 'tests', (
        SELECT jsonb_agg(jsonb_build_object('name', g.name, 'failures', g.found) ORDER BY g.position)
        FROM pgtrickle.pgt_gates g WHERE g.pgt_id = blown.pgt_id AND g.found IS NOT NULL)
))
FROM blown
