-- Statements of the fuse; trickle_runtime.refresh.fuse. What it computes is a function of the catalog, for fuse_status().

-- name: inputs
SELECT s.pgt_id, s.fuse_mode, s.fuse_state, s.fuse_exempt, s.blow_reason,
       coalesce(s.fuse_ceiling, (SELECT nullif(p.value::bigint, 0) FROM pgtrickle.pgt_settings p
                                 WHERE p.name = 'fuse_default_ceiling')) AS ceiling,
       b.samples, b.mean, b.stddev, b.threshold,
       (SELECT sum(greatest(c.reltuples, 0)) FROM pg_catalog.pg_class c
        WHERE c.oid = s.pgt_relid AND c.relkind <> 'p'
           OR c.oid IN (SELECT relid FROM pg_partition_tree(s.pgt_relid) WHERE isleaf))::bigint AS stored_rows,
       coalesce(f.skip_next, false) AS skip_next
FROM pgtrickle.pgt_stream_tables s
LEFT JOIN LATERAL pgtrickle.fuse_baseline(s.pgt_id) AS b ON s.fuse_mode = 'auto'
LEFT JOIN pgtrickle.pgt_fuses f ON f.pgt_id = s.pgt_id
WHERE s.pgt_id = ANY (%(pgt_ids)s::bigint[])

-- name: blow
-- Fields that may be NULL (no ceiling, no baseline) are sent as null.
WITH blown AS (
    UPDATE pgtrickle.pgt_stream_tables s
    SET fuse_state = 'blown', blown_at = clock_timestamp(), blow_reason = %(reason)s, updated_at = clock_timestamp()
    WHERE s.pgt_id = %(pgt_id)s AND s.fuse_state = 'armed'
    RETURNING s.pgt_id
), facts AS (
    INSERT INTO pgtrickle.pgt_fuses AS f (pgt_id, pending, threshold, ceiling, mean, stddev, held)
    SELECT blown.pgt_id, %(pending)s, %(threshold)s, %(ceiling)s, %(mean)s, %(stddev)s, %(held)s FROM blown
    ON CONFLICT (pgt_id) DO UPDATE
    SET pending = excluded.pending, threshold = excluded.threshold, ceiling = excluded.ceiling,
        mean = excluded.mean, stddev = excluded.stddev, held = excluded.held, skip_next = false
    RETURNING f.*
)
SELECT pgtrickle.raise_alert('fuse_blown', facts.pgt_id, jsonb_build_object(
    'pending', facts.pending, 'threshold', facts.threshold, 'ceiling', facts.ceiling,
    'mean', facts.mean, 'stddev', facts.stddev, 'reason', %(reason)s::text
))
FROM facts

-- name: skipped
-- Held changes have arrived and were skipped: nothing of them was applied.
WITH done AS (
    UPDATE pgtrickle.pgt_fuses SET skip_next = false, held = false WHERE pgt_id = %(pgt_id)s
)
UPDATE pgtrickle.pgt_stream_tables SET diverged = true WHERE pgt_id = %(pgt_id)s

-- name: reset
SELECT pgtrickle.reset_fuse(%(name)s, %(action)s)
