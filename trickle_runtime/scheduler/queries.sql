-- Statements of the daemon. The text "; COMMIT" ends the transaction in the same round trip.

-- name: tick
-- The time, and whether the catalog is as it was: every change gives a row a younger xmin, so with the same number of
-- rows the sum only grows.
SELECT now() AS now,
       EXISTS (SELECT FROM pgtrickle.pgt_requests WHERE status = 'waiting') AS requests,
       (SELECT row(count(*), sum(xmin::text::bigint)) FROM pgtrickle.pgt_stream_tables)::text
       || (SELECT row(count(*), sum(xmin::text::bigint)) FROM pgtrickle.pgt_frontiers)::text
       || (SELECT row(count(*), sum(xmin::text::bigint)) FROM pgtrickle.pgt_dependencies)::text AS version;
COMMIT

-- name: tables
SELECT t.pgt_id, t.pgt_schema || '.' || t.pgt_name AS name, t.schedule, t.tier, t.status, t.diamond_consistency,
       t.fuse_state = 'blown' AS fuse_blown, f.last_refresh_at, t.next_attempt_at, coalesce(d.reads, '{}') AS reads
FROM pgtrickle.pgt_stream_tables AS t
LEFT JOIN pgtrickle.pgt_frontiers AS f USING (pgt_id)
LEFT JOIN (
    SELECT pgt_id, array_agg(coalesce(source_pgt_id, -source_relid::bigint)) AS reads
    FROM pgtrickle.pgt_dependencies
    GROUP BY pgt_id
) AS d USING (pgt_id)
ORDER BY t.pgt_id; COMMIT

-- name: refreshed_since
-- Members that somebody else refreshed, or stopped, after the tick that found them due.
SELECT t.pgt_id
FROM pgtrickle.pgt_stream_tables AS t LEFT JOIN pgtrickle.pgt_frontiers AS f USING (pgt_id)
WHERE t.pgt_id = ANY (%(pgt_ids)s) AND (t.status NOT IN ('active', 'error') OR f.last_refresh_at > %(tick)s); COMMIT

-- name: try_lock
SELECT pg_try_advisory_lock(hashtext('pgtrickle.' || %(kind)s), %(number)s) AS locked; COMMIT

-- name: unlock
SELECT pg_advisory_unlock(hashtext('pgtrickle.' || %(kind)s), %(number)s); COMMIT

-- name: delete_old_history
-- The newest entries of a table stay whatever their age: the fuse and the choice of mode learn
-- from them. Entries of dropped tables go by age alone.
DELETE FROM pgtrickle.pgt_refresh_history
WHERE refresh_id IN (
    SELECT h.refresh_id
    FROM pgtrickle.pgt_refresh_history AS h
    LEFT JOIN pgtrickle.pgt_stream_tables AS t USING (pgt_id)
    WHERE h.started_at < now() - %(age)s::interval
      AND (t.pgt_id IS NULL OR h.refresh_id < (
          SELECT min(newest.refresh_id)
          FROM (
              SELECT n.refresh_id
              FROM pgtrickle.pgt_refresh_history AS n
              WHERE n.pgt_id = h.pgt_id
              ORDER BY n.refresh_id DESC
              LIMIT %(keep)s
          ) AS newest
      ))
    ORDER BY h.refresh_id
    LIMIT %(batch)s
)
RETURNING refresh_id; COMMIT

-- name: listen
-- Functions and procedures notify it with the pgt_id of a table that needs a look, or with nothing.
LISTEN pgtrickle_wake

-- name: waiting_requests
SELECT request_id, verb, arguments, session_settings
FROM pgtrickle.pgt_requests
WHERE status = 'waiting'
ORDER BY request_id; COMMIT

-- name: still_waits
SELECT request_id FROM pgtrickle.pgt_requests
WHERE request_id = %(request_id)s AND status = 'waiting'; COMMIT

-- name: adopt_settings
SELECT set_config(key, value, false) FROM jsonb_each_text(%(settings)s::jsonb); COMMIT

-- name: reset_settings
RESET ALL; COMMIT

-- name: answer_request
UPDATE pgtrickle.pgt_requests
SET status = %(status)s, answer = %(answer)s::jsonb, answered_at = clock_timestamp()
WHERE request_id = %(request_id)s; COMMIT

-- name: delete_old_requests
DELETE FROM pgtrickle.pgt_requests
WHERE requested_at < now() - interval '1 day'
RETURNING request_id; COMMIT

-- name: alert_freshness
SELECT pgtrickle.raise_alert('freshness_violated', %(pgt_id)s, %(facts)s::jsonb, %(repeat)s); COMMIT
