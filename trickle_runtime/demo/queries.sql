-- The demo's own questions to the catalog.

-- name: last_rows
SELECT s.pgt_id, coalesce(h.rows, 0) AS rows
FROM pgtrickle.pgt_stream_tables AS s
LEFT JOIN LATERAL (
    SELECT inserted + updated + deleted AS rows
    FROM pgtrickle.pgt_refresh_history
    WHERE pgt_id = s.pgt_id AND status = 'completed'
    ORDER BY refresh_id DESC
    LIMIT 1
) AS h ON true

-- name: clock
SELECT clock_timestamp() AS at

-- name: totals
SELECT s.pgt_schema || '.' || s.pgt_name AS name,
       s.canonical_query AS query,
       count(h.refresh_id) AS refreshes,
       coalesce(sum(h.rows_in), 0)::bigint AS changes,
       coalesce(sum(h.inserted + h.updated + h.deleted), 0)::bigint AS rows,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY h.duration_ms) AS differential_ms
FROM pgtrickle.pgt_stream_tables AS s
LEFT JOIN pgtrickle.pgt_refresh_history AS h
    ON h.pgt_id = s.pgt_id AND h.action = 'DIFFERENTIAL' AND h.status = 'completed'
    AND h.started_at BETWEEN %(since)s AND %(until)s
GROUP BY s.pgt_id
ORDER BY s.pgt_id

-- name: partitions
SELECT count(*) AS n FROM pg_inherits WHERE inhparent = %(name)s::regclass

-- name: line_count
SELECT count(*) AS n FROM tpch.lineitem
