-- Many small stream tables over few sources, for `bench idle` and `bench memory`.

-- name: sources
CREATE SCHEMA many;
CREATE TABLE many.customers (id integer PRIMARY KEY, nation integer NOT NULL);
CREATE TABLE many.orders (
    id integer PRIMARY KEY,
    customer integer NOT NULL REFERENCES many.customers,
    amount numeric(12, 2) NOT NULL
);
INSERT INTO many.customers SELECT g, g % 25 FROM generate_series(1, 100) AS g;
INSERT INTO many.orders SELECT g, 1 + g % 100, g FROM generate_series(1, 1000) AS g;
CREATE INDEX ON many.orders (customer);
ANALYZE many.customers, many.orders;

-- name: query
SELECT c.nation, count(*) AS orders, sum(o.amount) AS amount
FROM many.orders AS o
JOIN many.customers AS c ON c.id = o.customer
WHERE o.id % {tables} = {number}
GROUP BY c.nation

-- name: change
UPDATE many.orders SET amount = amount + 1 WHERE id <= 100

-- name: refreshes
SELECT count(*) AS n FROM pgtrickle.pgt_refresh_history WHERE initiated_by = 'scheduler' AND status = 'completed'
