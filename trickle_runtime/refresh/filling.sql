-- Statements of trickle_runtime.refresh.filling.

-- name: enter
INSERT INTO pgtrickle.pgt_fills AS f (pgt_id, phase, expected_bytes, expected_rows)
VALUES (%(pgt_id)s, %(phase)s, %(bytes)s, %(rows)s)
ON CONFLICT (pgt_id) DO UPDATE
SET pid = excluded.pid, phase = excluded.phase, expected_bytes = excluded.expected_bytes,
    expected_rows = excluded.expected_rows,
    started_at = CASE WHEN f.pid = excluded.pid THEN f.started_at ELSE excluded.started_at END

-- name: left
DELETE FROM pgtrickle.pgt_fills WHERE pgt_id = %(pgt_id)s

-- name: estimate
EXPLAIN (FORMAT JSON) {query}

-- name: progress
SELECT schema, name, phase, seconds, bytes, expected_bytes, done FROM pgtrickle.fill_progress()
