-- Refresh functions after TPC-H 2.5: each block is one piece of a batch; the caller owns the transaction.
-- Random keys come from a MATERIALIZED list: a volatile function in a join condition can't use an index.

-- name: seed
SELECT setseed(%(seed)s);

-- name: new_orders
WITH bounds AS MATERIALIZED (
    SELECT (SELECT max(o_orderkey) FROM tpch.orders) AS last_order,
           (SELECT max(c_custkey) FROM tpch.customer) AS last_customer,
           (SELECT max(p_partkey) FROM tpch.part) AS last_part
), drawn AS MATERIALIZED (
    SELECT last_order + g AS orderkey,
           1 + floor(random() * last_customer)::integer AS customer,
           %(first_day)s::date + floor(random() * (1 + %(last_day)s::date - %(first_day)s::date))::integer
               AS orderdate,
           1 + floor(random() * 5)::integer AS priority,
           1 + floor(random() * 7)::integer AS lines
    FROM bounds, generate_series(1, %(n)s) AS g
), drawn_lines AS MATERIALIZED (
    SELECT d.orderkey, d.orderdate, l.line,
           1 + floor(random() * b.last_part)::integer AS part,
           floor(random() * 4)::integer AS nth_supplier,
           1 + floor(random() * 50)::integer AS quantity,
           floor(random() * 11) / 100 AS discount,
           floor(random() * 9) / 100 AS tax,
           1 + floor(random() * 121)::integer AS ship_days,
           30 + floor(random() * 61)::integer AS commit_days,
           1 + floor(random() * 30)::integer AS receipt_days,
           random() < 0.5 AS returned,
           1 + floor(random() * 4)::integer AS instruction,
           1 + floor(random() * 7)::integer AS mode
    FROM bounds AS b, drawn AS d, LATERAL generate_series(1, d.lines) AS l (line)
), lines AS MATERIALIZED (
    SELECT l.*, s.ps_suppkey AS supplier, p.p_partkey,
           l.orderdate + ship_days AS shipdate,
           l.orderdate + ship_days + receipt_days AS receiptdate,
           round(l.quantity * p.p_retailprice, 2) AS extendedprice
    FROM drawn_lines AS l
    CROSS JOIN LATERAL (
        SELECT p_partkey, p_retailprice FROM tpch.part
        WHERE p_partkey >= l.part ORDER BY p_partkey LIMIT 1
    ) AS p
    CROSS JOIN LATERAL (
        SELECT ps_suppkey FROM tpch.partsupp
        WHERE ps_partkey = p.p_partkey ORDER BY ps_suppkey
        OFFSET l.nth_supplier %% (SELECT count(*) FROM tpch.partsupp WHERE ps_partkey = p.p_partkey)
        LIMIT 1
    ) AS s
), new_orders AS (
    INSERT INTO tpch.orders
    SELECT d.orderkey, c.c_custkey, 'O',
           coalesce((SELECT round(sum(extendedprice * (1 - discount::numeric) * (1 + tax::numeric)), 2)
                     FROM lines AS l WHERE l.orderkey = d.orderkey), 0),
           d.orderdate,
           ('{1-URGENT,2-HIGH,3-MEDIUM,4-NOT SPECIFIED,5-LOW}'::text[])[d.priority],
           'Clerk#' || lpad((1 + d.orderkey %% 1000)::text, 9, '0'), 0, 'refresh function 1'
    FROM drawn AS d
    CROSS JOIN LATERAL (
        SELECT c_custkey FROM tpch.customer
        WHERE c_custkey >= d.customer ORDER BY c_custkey LIMIT 1
    ) AS c
    RETURNING o_orderkey
)
INSERT INTO tpch.lineitem
SELECT orderkey, p_partkey, supplier, line, quantity, extendedprice, discount, tax,
       CASE WHEN receiptdate > date '1995-06-17' THEN 'N' WHEN returned THEN 'R' ELSE 'A' END,
       CASE WHEN shipdate > date '1995-06-17' THEN 'O' ELSE 'F' END,
       shipdate, orderdate + commit_days, receiptdate,
       ('{DELIVER IN PERSON,COLLECT COD,NONE,TAKE BACK RETURN}'::text[])[instruction],
       ('{AIR,FOB,MAIL,RAIL,REG AIR,SHIP,TRUCK}'::text[])[mode],
       'refresh function 1'
FROM lines
WHERE orderkey IN (SELECT o_orderkey FROM new_orders);

-- name: delete_orders
WITH drawn AS MATERIALIZED (
    SELECT floor(random() * (SELECT max(o_orderkey) FROM tpch.orders))::integer AS at
    FROM generate_series(1, %(n)s)
), gone AS MATERIALIZED (
    SELECT DISTINCT o.o_orderkey
    FROM drawn
    CROSS JOIN LATERAL (
        SELECT o_orderkey FROM tpch.orders WHERE o_orderkey > at ORDER BY o_orderkey LIMIT 1
    ) AS o
), gone_lines AS (
    DELETE FROM tpch.lineitem USING gone WHERE l_orderkey = o_orderkey
)
DELETE FROM tpch.orders USING gone WHERE orders.o_orderkey = gone.o_orderkey;

-- name: reprice_lines
WITH drawn AS MATERIALIZED (
    SELECT floor(random() * (SELECT max(o_orderkey) FROM tpch.orders))::integer AS at,
           floor(random() * 11) / 100 AS discount
    FROM generate_series(1, %(n)s)
), hit AS MATERIALIZED (
    SELECT DISTINCT ON (o.o_orderkey) o.o_orderkey, discount
    FROM drawn
    CROSS JOIN LATERAL (
        SELECT o_orderkey FROM tpch.orders WHERE o_orderkey > at ORDER BY o_orderkey LIMIT 1
    ) AS o
)
UPDATE tpch.lineitem
SET l_discount = hit.discount,
    l_extendedprice = round(l_extendedprice * 1.02, 2)
FROM hit WHERE l_orderkey = o_orderkey;

-- name: advance_orders
WITH drawn AS MATERIALIZED (
    SELECT floor(random() * (SELECT max(o_orderkey) FROM tpch.orders))::integer AS at
    FROM generate_series(1, %(n)s)
), hit AS MATERIALIZED (
    SELECT DISTINCT o.o_orderkey
    FROM drawn
    CROSS JOIN LATERAL (
        SELECT o_orderkey FROM tpch.orders WHERE o_orderkey > at ORDER BY o_orderkey LIMIT 1
    ) AS o
)
UPDATE tpch.orders
SET o_orderstatus = CASE o_orderstatus WHEN 'O' THEN 'P' WHEN 'P' THEN 'F' ELSE 'O' END,
    o_orderpriority = CASE WHEN o_orderpriority = '1-URGENT' THEN '5-LOW' ELSE '1-URGENT' END
FROM hit WHERE orders.o_orderkey = hit.o_orderkey;

-- name: return_lines
WITH drawn AS MATERIALIZED (
    SELECT floor(random() * (SELECT max(o_orderkey) FROM tpch.orders))::integer AS at
    FROM generate_series(1, %(n)s)
), hit AS MATERIALIZED (
    SELECT DISTINCT o.o_orderkey
    FROM drawn
    CROSS JOIN LATERAL (
        SELECT o_orderkey FROM tpch.orders WHERE o_orderkey > at ORDER BY o_orderkey LIMIT 1
    ) AS o
)
UPDATE tpch.lineitem
SET l_returnflag = CASE l_returnflag WHEN 'R' THEN 'A' ELSE 'R' END,
    l_shipdate = l_shipdate + 7,
    l_receiptdate = l_receiptdate + 7
FROM hit WHERE l_orderkey = o_orderkey;

-- name: move_customers
UPDATE tpch.customer
SET c_nationkey = (c_nationkey + 1) %% 25,
    c_mktsegment = CASE c_mktsegment WHEN 'BUILDING' THEN 'MACHINERY' ELSE 'BUILDING' END,
    c_acctbal = c_acctbal - 10
WHERE c_custkey IN (SELECT c_custkey FROM tpch.customer ORDER BY random() LIMIT %(n)s);

-- name: move_suppliers
UPDATE tpch.supplier
SET s_nationkey = (s_nationkey + 1) %% 25
WHERE s_suppkey IN (SELECT s_suppkey FROM tpch.supplier ORDER BY random() LIMIT %(n)s);

-- name: change_costs
UPDATE tpch.partsupp
SET ps_supplycost = round(ps_supplycost * 1.05, 2)
WHERE ps_partkey IN (SELECT p_partkey FROM tpch.part ORDER BY random() LIMIT %(n)s);

-- name: relabel_parts
UPDATE tpch.part
SET p_type = CASE WHEN p_type LIKE 'PROMO%%' THEN 'ECONOMY ANODIZED STEEL' ELSE 'PROMO PLATED TIN' END,
    p_name = CASE WHEN p_name LIKE '%%green%%' THEN replace(p_name, 'green', 'red')
                  ELSE 'green ' || left(p_name, 40) END,
    p_brand = CASE p_brand WHEN 'Brand#12' THEN 'Brand#23' WHEN 'Brand#23' THEN 'Brand#34' ELSE 'Brand#12' END
WHERE p_partkey IN (SELECT p_partkey FROM tpch.part ORDER BY random() LIMIT %(n)s);

-- name: new_parts
WITH bounds AS MATERIALIZED (
    SELECT max(p_partkey) AS last_part FROM tpch.part
), suppliers AS MATERIALIZED (
    SELECT s_suppkey, row_number() OVER (ORDER BY random()) AS nth
    FROM tpch.supplier ORDER BY random() LIMIT 4
), made AS (
    INSERT INTO tpch.part
    SELECT last_part + g, 'green new part', 'Manufacturer#1', 'Brand#12', 'PROMO PLATED TIN',
           1 + g %% 5, 'SM CASE', 1000 + g, 'new'
    FROM bounds, generate_series(1, %(n)s) AS g
    RETURNING p_partkey
)
INSERT INTO tpch.partsupp
SELECT p_partkey, s_suppkey, 100, 300 + nth, 'new' FROM made, suppliers;

-- name: new_customers
INSERT INTO tpch.customer
SELECT m.last_customer + g, 'Customer#' || lpad((m.last_customer + g)::text, 9, '0'), 'new street',
       g %% 25, '13-555-000-' || lpad((g %% 10000)::text, 4, '0'), 100, 'BUILDING', 'new'
FROM (SELECT max(c_custkey) AS last_customer FROM tpch.customer) AS m, generate_series(1, %(n)s) AS g;

-- name: retire_customers
WITH gone AS MATERIALIZED (
    SELECT c_custkey FROM tpch.customer ORDER BY random() LIMIT %(n)s
), gone_orders AS MATERIALIZED (
    SELECT o_orderkey FROM tpch.orders JOIN gone ON o_custkey = c_custkey
), deleted_lines AS (
    DELETE FROM tpch.lineitem USING gone_orders WHERE l_orderkey = o_orderkey
), deleted_orders AS (
    DELETE FROM tpch.orders USING gone WHERE o_custkey = c_custkey
)
DELETE FROM tpch.customer USING gone WHERE customer.c_custkey = gone.c_custkey;

-- name: retire_suppliers
WITH gone AS MATERIALIZED (
    SELECT s_suppkey FROM tpch.supplier ORDER BY random() LIMIT %(n)s
), deleted_lines AS (
    DELETE FROM tpch.lineitem USING gone WHERE l_suppkey = s_suppkey
), deleted_supplies AS (
    DELETE FROM tpch.partsupp USING gone WHERE ps_suppkey = s_suppkey
)
DELETE FROM tpch.supplier USING gone WHERE supplier.s_suppkey = gone.s_suppkey;

-- name: retire_parts
WITH gone AS MATERIALIZED (
    SELECT p_partkey FROM tpch.part ORDER BY random() LIMIT %(n)s
), deleted_lines AS (
    DELETE FROM tpch.lineitem USING gone WHERE l_partkey = p_partkey
), deleted_supplies AS (
    DELETE FROM tpch.partsupp USING gone WHERE ps_partkey = p_partkey
)
DELETE FROM tpch.part USING gone WHERE part.p_partkey = gone.p_partkey;

-- name: touch_lines
UPDATE tpch.lineitem SET l_extendedprice = round(l_extendedprice * 1.01, 2)
WHERE l_orderkey %% 1000 < %(n)s;

-- name: touch_order
WITH hit AS MATERIALIZED (
    SELECT o_orderkey FROM tpch.orders
    WHERE o_orderkey > (SELECT floor(random() * max(o_orderkey))::integer FROM tpch.orders)
    ORDER BY o_orderkey LIMIT 1
), touched AS (
    UPDATE tpch.orders SET o_totalprice = o_totalprice + 1,
        o_orderpriority = CASE WHEN o_orderpriority = '1-URGENT' THEN '5-LOW' ELSE '1-URGENT' END
    WHERE o_orderkey = (SELECT o_orderkey FROM hit)
)
UPDATE tpch.lineitem SET l_extendedprice = round(l_extendedprice * 1.01, 2)
WHERE l_orderkey = (SELECT o_orderkey FROM hit);
