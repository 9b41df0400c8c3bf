-- Queries of test_random_changes.py over tables a, b and c; one a line.
SELECT x, y, z, s FROM a WHERE y > 1
SELECT a.x, b.y, a.s FROM a JOIN b ON a.x = b.x
SELECT a.x, b.y, a.s, c.id FROM a JOIN b ON a.x = b.x JOIN c ON c.x = b.y WHERE a.v > 0 OR c.d IS NULL
SELECT a1.x, a2.y FROM a a1 JOIN a a2 ON a1.x = a2.y
SELECT a.x, b.y FROM a, b WHERE a.v < b.v
SELECT a.x, c.id, c.d FROM a JOIN c USING (x)
SELECT id, x, d FROM c WHERE x > 1
SELECT c.id, c2.id AS id2, c.d FROM c JOIN c c2 ON c2.x = c.id % 5
SELECT x, count(*) AS n, sum(v) AS sv, avg(v) AS av, count(v) AS cv FROM a GROUP BY x
SELECT x, count(*) AS n, sum(v) AS sv FROM a GROUP BY x
SELECT x, y, min(v) AS lo, max(s) AS hi, count(*) AS n FROM a GROUP BY x, y
SELECT count(*) AS n, sum(v) AS sv, min(y) AS lo, max(s) AS hi FROM a
SELECT count(*) AS n, sum(v) AS sv FROM a WHERE y = 2
SELECT x, sum(z) AS sz, avg(z) AS az FROM a GROUP BY x
SELECT x, stddev(v) AS sd, variance(v) AS vv, var_pop(y) AS vp, bool_and(y > 1) AS ba, bool_or(y > 2) AS bo FROM a GROUP BY x
SELECT x, string_agg(s, ',' ORDER BY s, y) AS sa, array_agg(y ORDER BY y NULLS FIRST) AS ar FROM a GROUP BY x
SELECT x, count(DISTINCT y) AS cd, sum(DISTINCT y) AS sd, avg(DISTINCT y) AS ad, count(*) AS n, sum(v) AS sv FROM a GROUP BY x
SELECT count(DISTINCT s) AS cd, count(DISTINCT y) AS cy FROM a
SELECT x, sum(v) FILTER (WHERE y > 1) AS f1, count(*) FILTER (WHERE s = 'a') AS f2, min(v) FILTER (WHERE y = 2) AS f3 FROM a GROUP BY x
SELECT x, sum(v) AS sv FROM a GROUP BY x HAVING sum(v) > 5
SELECT x, sum(CASE WHEN s = 'a' THEN v ELSE 0 END) AS q, 100.00 * sum(CASE WHEN s = 'a' THEN v ELSE 0 END) / nullif(sum(v), 0) AS pc FROM a GROUP BY x
SELECT DISTINCT x, s FROM a
SELECT x FROM a UNION ALL SELECT y FROM b UNION ALL SELECT id FROM c
SELECT x, s FROM a UNION SELECT y, s FROM b
SELECT a.x, sum(b.v) AS sv, count(*) AS n FROM a JOIN b ON a.x = b.x JOIN c ON c.x = a.y GROUP BY a.x
SELECT q.x, b.s, q.sv FROM (SELECT x, sum(v) AS sv FROM a GROUP BY x) q JOIN b ON b.x = q.x
SELECT avg(t) AS a, count(*) AS n, max(t) AS m FROM (SELECT x, sum(v) AS t FROM a GROUP BY x) q
SELECT q.n, count(*) AS c FROM (SELECT x, count(*) AS n FROM a GROUP BY x) q GROUP BY q.n
WITH w AS (SELECT x, count(*) AS n FROM a GROUP BY x) SELECT w1.x, w2.n FROM w w1 JOIN w w2 ON w1.n = w2.x
SELECT x + y AS k, count(*) AS n, min(v) AS lo FROM a GROUP BY x + y
SELECT date_trunc('month', d) AS m, count(*) AS n FROM c GROUP BY 1
SELECT a.j, b.s FROM a JOIN b ON a.x = b.y
SELECT j, x FROM a
SELECT f, x, z FROM a
SELECT count(*) AS n FROM (SELECT DISTINCT x, y FROM a) q
SELECT c.id, c.x, count(*) AS n FROM c JOIN b ON b.x = c.x GROUP BY c.id
SELECT d1.x, d2.n FROM (SELECT DISTINCT x FROM a) d1 JOIN (SELECT y, count(*) AS n FROM b GROUP BY y) d2 ON d1.x = d2.y JOIN c ON c.x = d1.x
SELECT u.k, count(*) AS n, sum(u.v) AS sv FROM (SELECT x AS k, v FROM a UNION ALL SELECT y, v FROM b) u GROUP BY u.k
SELECT u.k, c.id FROM (SELECT x AS k FROM a UNION ALL SELECT y FROM b) u JOIN c ON c.x = u.k
SELECT a.x, b.x AS bx, c.id, a2.y AS y2, b2.s FROM a JOIN b ON a.x = b.x JOIN c ON c.x = b.y JOIN a a2 ON a2.y = c.x JOIN b b2 ON b2.x = a2.x WHERE a.y < 3 AND b2.y < 2
SELECT 100 / count(*) AS h, x FROM a GROUP BY x
SELECT x, sum(v) / count(y) AS r FROM a GROUP BY x HAVING count(y) > 0
SELECT x FROM a GROUP BY x
SELECT count(*) AS n FROM a JOIN b ON a.x = b.x
SELECT max(v) AS m FROM a WHERE x = 1
SELECT x, min(y) AS lo FROM a GROUP BY x HAVING min(y) < 2
SELECT v.x, v.s FROM (SELECT x, s, v FROM a WHERE y IS NOT NULL) v WHERE v.v > 1
