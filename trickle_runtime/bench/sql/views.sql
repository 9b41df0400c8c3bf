-- The views, and for each a delta as an expert would write it by hand: statement triggers write signed
-- rows of the columns needed into a logged buffer; one transaction at one snapshot applies them and empties the buffer.
-- The words {mine} and {buffer} are the hand-maintained table and the buffer.

-- name: filter_project_query
SELECT order_id, line, part_id, quantity, price * (1 - discount) AS net_price, ship_date, remark
FROM shop.lines
WHERE ship_mode = 'AIR' AND quantity > 25

-- name: filter_project_apply
MERGE INTO {mine} AS t
USING (
    SELECT DISTINCT ON (order_id, line) *
    FROM (
        SELECT order_id, line, part_id, quantity, price * (1 - discount) AS net_price, ship_date, remark,
               sum(w) AS w
        FROM {buffer}
        WHERE ship_mode = 'AIR' AND quantity > 25
        GROUP BY 1, 2, 3, 4, 5, 6, 7
        HAVING sum(w) <> 0
    ) AS net
    ORDER BY order_id, line, w DESC
) AS d
ON t.order_id = d.order_id AND t.line = d.line
WHEN MATCHED AND d.w < 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET part_id = d.part_id, quantity = d.quantity, net_price = d.net_price,
                             ship_date = d.ship_date, remark = d.remark
WHEN NOT MATCHED AND d.w > 0 THEN
    INSERT VALUES (d.order_id, d.line, d.part_id, d.quantity, d.net_price, d.ship_date, d.remark);
DELETE FROM {buffer};

-- name: join3_query
SELECT o.order_id, o.order_date, o.total, c.name AS customer, n.name AS nation
FROM shop.orders AS o
JOIN shop.customers AS c ON c.customer_id = o.customer_id
JOIN shop.nations AS n ON n.nation_id = c.nation_id
WHERE o.status = 'O' AND n.region IN ('region 1', 'region 3')

-- name: join3_apply
MERGE INTO {mine} AS t
USING (
    SELECT DISTINCT ON (order_id) *
    FROM (
        SELECT b.order_id, b.order_date, b.total, c.name AS customer, n.name AS nation, sum(b.w) AS w
        FROM {buffer} AS b
        JOIN shop.customers AS c ON c.customer_id = b.customer_id
        JOIN shop.nations AS n ON n.nation_id = c.nation_id
        WHERE b.status = 'O' AND n.region IN ('region 1', 'region 3')
        GROUP BY 1, 2, 3, 4, 5
        HAVING sum(b.w) <> 0
    ) AS net
    ORDER BY order_id, w DESC
) AS d
ON t.order_id = d.order_id
WHEN MATCHED AND d.w < 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET order_date = d.order_date, total = d.total, customer = d.customer,
                             nation = d.nation
WHEN NOT MATCHED AND d.w > 0 THEN
    INSERT VALUES (d.order_id, d.order_date, d.total, d.customer, d.nation);
DELETE FROM {buffer};

-- name: group_by_query
SELECT part_id, count(*) AS lines, sum(quantity) AS quantity, sum(price) AS price, avg(price) AS average_price
FROM shop.lines
GROUP BY part_id

-- name: group_by_apply
MERGE INTO {mine} AS t
USING (
    SELECT part_id, sum(w) AS lines, sum(w * quantity) AS quantity, sum(w * price) AS price
    FROM {buffer}
    GROUP BY part_id
) AS d
ON t.part_id = d.part_id
WHEN MATCHED AND t.lines + d.lines = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET lines = t.lines + d.lines, quantity = t.quantity + d.quantity,
                             price = t.price + d.price,
                             average_price = (t.price + d.price) / (t.lines + d.lines)
WHEN NOT MATCHED AND d.lines > 0 THEN
    INSERT VALUES (d.part_id, d.lines, d.quantity, d.price, d.price / d.lines);
DELETE FROM {buffer};

-- name: join_group_by_query
SELECT n.name AS nation, o.order_date, count(*) AS orders, sum(o.total) AS total
FROM shop.orders AS o
JOIN shop.customers AS c ON c.customer_id = o.customer_id
JOIN shop.nations AS n ON n.nation_id = c.nation_id
GROUP BY n.name, o.order_date

-- name: join_group_by_apply
MERGE INTO {mine} AS t
USING (
    SELECT n.name AS nation, b.order_date, sum(b.w) AS orders, sum(b.w * b.total) AS total
    FROM {buffer} AS b
    JOIN shop.customers AS c ON c.customer_id = b.customer_id
    JOIN shop.nations AS n ON n.nation_id = c.nation_id
    GROUP BY 1, 2
) AS d
ON t.nation = d.nation AND t.order_date = d.order_date
WHEN MATCHED AND t.orders + d.orders = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET orders = t.orders + d.orders, total = t.total + d.total
WHEN NOT MATCHED AND d.orders > 0 THEN INSERT VALUES (d.nation, d.order_date, d.orders, d.total);
DELETE FROM {buffer};

-- name: distinct_query
SELECT DISTINCT customer_id, priority FROM shop.orders

-- name: distinct_apply
MERGE INTO {mine} AS t
USING (
    SELECT customer_id, priority, sum(w) AS w FROM {buffer} GROUP BY 1, 2 HAVING sum(w) <> 0
) AS d
ON t.customer_id = d.customer_id AND t.priority = d.priority
WHEN MATCHED AND t.copies + d.w = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET copies = t.copies + d.w
WHEN NOT MATCHED AND d.w > 0 THEN INSERT VALUES (d.customer_id, d.priority, d.w);
DELETE FROM {buffer};

-- name: min_max_query
SELECT customer_id, count(*) AS orders, min(total) AS cheapest, max(total) AS dearest
FROM shop.orders
GROUP BY customer_id

-- name: min_max_apply
MERGE INTO {mine} AS t
USING (
    SELECT d.customer_id, d.w,
           CASE WHEN redo THEN fresh.cheapest ELSE least(old_cheapest, in_min) END AS cheapest,
           CASE WHEN redo THEN fresh.dearest ELSE greatest(old_dearest, in_max) END AS dearest
    FROM (
        SELECT b.*, s.cheapest AS old_cheapest, s.dearest AS old_dearest,
               coalesce(out_min <= s.cheapest OR out_max >= s.dearest, false) AS redo
        FROM (
            SELECT customer_id, sum(w) AS w,
                   min(total) FILTER (WHERE w > 0) AS in_min, max(total) FILTER (WHERE w > 0) AS in_max,
                   min(total) FILTER (WHERE w < 0) AS out_min, max(total) FILTER (WHERE w < 0) AS out_max
            FROM (
                SELECT customer_id, total, sum(w) AS w FROM {buffer} GROUP BY 1, 2 HAVING sum(w) <> 0
            ) AS net
            GROUP BY customer_id
        ) AS b
        LEFT JOIN {mine} AS s USING (customer_id)
    ) AS d
    LEFT JOIN LATERAL (
        SELECT min(total) AS cheapest, max(total) AS dearest
        FROM shop.orders AS o WHERE o.customer_id = d.customer_id AND d.redo
    ) AS fresh ON d.redo
) AS d
ON t.customer_id = d.customer_id
WHEN MATCHED AND t.orders + d.w = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET orders = t.orders + d.w, cheapest = d.cheapest, dearest = d.dearest
WHEN NOT MATCHED AND d.w > 0 THEN INSERT VALUES (d.customer_id, d.w, d.cheapest, d.dearest);
DELETE FROM {buffer};

-- name: left_join_query
SELECT c.customer_id, c.name, o.order_id, o.total
FROM shop.customers AS c
LEFT JOIN shop.orders AS o ON o.customer_id = c.customer_id AND o.status = 'O'

-- name: left_join_apply
MERGE INTO {mine} AS t
USING (
    SELECT DISTINCT ON (customer_id, order_id) customer_id, c.name, net.order_id, net.total, net.w
    FROM (
        SELECT customer_id, order_id, total, sum(w) AS w FROM {buffer} WHERE status = 'O'
        GROUP BY 1, 2, 3 HAVING sum(w) <> 0
    ) AS net
    JOIN shop.customers AS c USING (customer_id)
    ORDER BY customer_id, order_id, w DESC
) AS d
ON t.customer_id = d.customer_id AND t.order_id = d.order_id
WHEN MATCHED AND d.w < 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET total = d.total
WHEN NOT MATCHED AND d.w > 0 THEN INSERT VALUES (d.customer_id, d.name, d.order_id, d.total);
DELETE FROM {mine} AS t
USING (SELECT DISTINCT customer_id FROM {buffer}) AS b
WHERE t.customer_id = b.customer_id AND t.order_id IS NULL
    AND EXISTS (SELECT FROM {mine} AS m WHERE m.customer_id = t.customer_id AND m.order_id IS NOT NULL);
INSERT INTO {mine}
SELECT c.customer_id, c.name
FROM (SELECT DISTINCT customer_id FROM {buffer}) AS b
JOIN shop.customers AS c USING (customer_id)
WHERE NOT EXISTS (SELECT FROM {mine} AS m WHERE m.customer_id = c.customer_id);
DELETE FROM {buffer};

-- name: semi_join_query
SELECT o.order_id, o.total
FROM shop.orders AS o
WHERE EXISTS (SELECT FROM shop.lines AS l WHERE l.order_id = o.order_id AND l.quantity > 45)

-- name: semi_join_apply
MERGE INTO {mine} AS t
USING (
    SELECT order_id, o.total,
           EXISTS (SELECT FROM shop.lines AS l WHERE l.order_id = b.order_id AND l.quantity > 45) AS there
    FROM (SELECT DISTINCT order_id FROM {buffer} WHERE quantity > 45) AS b
    JOIN shop.orders AS o USING (order_id)
) AS d
ON t.order_id = d.order_id
WHEN MATCHED AND NOT d.there THEN DELETE
WHEN NOT MATCHED AND d.there THEN INSERT VALUES (d.order_id, d.total);
DELETE FROM {buffer};

-- name: window_query
SELECT order_id, customer_id, order_date, total,
       row_number() OVER w AS nth, sum(total) OVER w AS so_far
FROM shop.orders
WINDOW w AS (PARTITION BY customer_id ORDER BY order_date, order_id)

-- name: window_apply
DELETE FROM {mine} AS t
USING (SELECT DISTINCT customer_id FROM {buffer}) AS b
WHERE t.customer_id = b.customer_id;
INSERT INTO {mine}
SELECT order_id, customer_id, order_date, total, row_number() OVER w, sum(total) OVER w
FROM shop.orders
WHERE customer_id IN (SELECT customer_id FROM {buffer})
WINDOW w AS (PARTITION BY customer_id ORDER BY order_date, order_id);
DELETE FROM {buffer};

-- name: top_k_query
SELECT order_id, customer_id, total FROM shop.orders ORDER BY total DESC, order_id LIMIT 100

-- name: top_k_apply
WITH top AS MATERIALIZED (
    SELECT order_id, customer_id, total FROM shop.orders ORDER BY total DESC, order_id LIMIT 100
), gone AS (
    DELETE FROM {mine} AS t
    WHERE NOT EXISTS (SELECT FROM top WHERE top.order_id = t.order_id)
)
MERGE INTO {mine} AS t
USING top ON t.order_id = top.order_id
WHEN MATCHED AND (t.customer_id, t.total) IS DISTINCT FROM (top.customer_id, top.total) THEN
    UPDATE SET customer_id = top.customer_id, total = top.total
WHEN NOT MATCHED THEN INSERT VALUES (top.order_id, top.customer_id, top.total);
DELETE FROM {buffer};

-- name: except_query
SELECT customer_id FROM shop.customers EXCEPT SELECT customer_id FROM shop.orders WHERE priority = '5'

-- name: except_apply
MERGE INTO {mine} AS t
USING (
    SELECT customer_id,
           EXISTS (SELECT FROM shop.orders AS o
                   WHERE o.customer_id = b.customer_id AND o.priority = '5') AS there
    FROM (SELECT DISTINCT customer_id FROM {buffer} WHERE priority = '5') AS b
    JOIN shop.customers USING (customer_id)
) AS d
ON t.customer_id = d.customer_id
WHEN MATCHED AND d.there THEN DELETE
WHEN NOT MATCHED AND NOT d.there THEN INSERT VALUES (d.customer_id);
DELETE FROM {buffer};

-- name: fill
CREATE TABLE {mine} AS {query};
CREATE UNIQUE INDEX ON {mine} ({key});
ANALYZE {mine};

-- name: fill_with_copies
CREATE TABLE {mine} AS
SELECT {key}, count(*) AS copies FROM {source} GROUP BY {key};
CREATE UNIQUE INDEX ON {mine} ({key});
ANALYZE {mine};

-- name: capture
CREATE TABLE {buffer} AS SELECT 1::smallint AS w, {columns} FROM {source} LIMIT 0;
ALTER TABLE {buffer} SET (autovacuum_enabled = false);
CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO {buffer} SELECT 1, {columns} FROM new_rows;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO {buffer} SELECT -1, {columns} FROM old_rows;
    ELSE
        INSERT INTO {buffer} SELECT -1, {columns} FROM old_rows UNION ALL SELECT 1, {columns} FROM new_rows;
    END IF;
    RETURN NULL;
END
$body$;
CREATE TRIGGER {trigger}_insert AFTER INSERT ON {source} REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION {function}();
CREATE TRIGGER {trigger}_update AFTER UPDATE ON {source}
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION {function}();
CREATE TRIGGER {trigger}_delete AFTER DELETE ON {source} REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION {function}();

-- name: difference
SELECT count(*) AS n FROM (
    (({query}) EXCEPT ALL SELECT {output} FROM {table})
    UNION ALL
    (SELECT {output} FROM {table} EXCEPT ALL ({query}))
) AS d

-- name: change_orders
WITH picked AS MATERIALIZED (
    SELECT order_id, row_number() OVER () AS nth
    FROM (SELECT order_id FROM shop.orders ORDER BY random() LIMIT 2 * (%(n)s / 3)) AS p
), deleted AS (
    DELETE FROM shop.orders AS o USING picked AS p WHERE p.order_id = o.order_id AND p.nth <= %(n)s / 3
), updated AS (
    UPDATE shop.orders AS o SET total = total + 7, customer_id = 1 + (o.customer_id + 11) %% %(customers)s,
                                priority = 1 + (priority::integer) %% 5
    FROM picked AS p WHERE p.order_id = o.order_id AND p.nth > %(n)s / 3
)
INSERT INTO shop.orders
SELECT m.last + g, 1 + floor(random() * %(customers)s), date '1992-01-01' + floor(random() * 2557)::integer,
       1 + floor(random() * 5)::integer, 'O', round((random() * 100000)::numeric, 2), 'new clerk'
FROM (SELECT max(order_id) AS last FROM shop.orders) AS m, generate_series(1, %(n)s / 3) AS g;

-- name: change_lines
WITH picked AS MATERIALIZED (
    SELECT order_id, line, row_number() OVER () AS nth
    FROM (SELECT order_id, line FROM shop.lines ORDER BY random() LIMIT 2 * (%(n)s / 3)) AS p
), deleted AS (
    DELETE FROM shop.lines AS l USING picked AS p
    WHERE p.order_id = l.order_id AND p.line = l.line AND p.nth <= %(n)s / 3
), updated AS (
    UPDATE shop.lines AS l SET price = price + 7, quantity = 1 + (quantity + 25) %% 50,
                               part_id = 1 + (l.part_id + 11) %% 5000
    FROM picked AS p WHERE p.order_id = l.order_id AND p.line = l.line AND p.nth > %(n)s / 3
)
INSERT INTO shop.lines
SELECT m.last + g, 1, 1 + floor(random() * 5000), 1 + floor(random() * 50),
       round((random() * 10000)::numeric, 2), 0.05, date '1998-01-01' + g %% 100, 'AIR', 'a new line'
FROM (SELECT max(order_id) AS last FROM shop.lines) AS m, generate_series(1, %(n)s / 3) AS g;

-- name: change_one_order
UPDATE shop.orders SET total = total + 1, priority = 1 + priority::integer %% 5
WHERE order_id = (SELECT order_id FROM shop.orders WHERE status = 'O' AND order_id > %(at)s ORDER BY order_id LIMIT 1);

-- name: change_one_line
UPDATE shop.lines SET price = price + 1, quantity = 76 - quantity
WHERE (order_id, line) = (
    SELECT order_id, line FROM shop.lines
    WHERE ship_mode = 'AIR' AND quantity > 25 AND order_id > %(at)s ORDER BY order_id, line LIMIT 1);

-- name: drop
DROP MATERIALIZED VIEW shop.{name}_matview;
DROP TABLE {mine};
DROP FUNCTION shop.{name}_capture() CASCADE;
DROP TABLE {buffer};
