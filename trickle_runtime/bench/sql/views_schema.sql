-- Data of the same kind as in the study that set the goals: orders with about 4.4 lines each.
CREATE SCHEMA shop;
CREATE TABLE shop.nations (nation_id integer PRIMARY KEY, name text NOT NULL, region text NOT NULL);
CREATE TABLE shop.customers (
    customer_id integer PRIMARY KEY,
    name text NOT NULL,
    nation_id integer NOT NULL,
    segment text NOT NULL,
    balance numeric(12, 2) NOT NULL
);
CREATE TABLE shop.orders (
    order_id integer PRIMARY KEY,
    customer_id integer NOT NULL,
    order_date date NOT NULL,
    priority text NOT NULL,
    status text NOT NULL,
    total numeric(12, 2) NOT NULL,
    clerk text NOT NULL
);
CREATE TABLE shop.lines (
    order_id integer NOT NULL,
    line integer NOT NULL,
    part_id integer NOT NULL,
    quantity integer NOT NULL,
    price numeric(12, 2) NOT NULL,
    discount numeric(4, 2) NOT NULL,
    ship_date date NOT NULL,
    ship_mode text NOT NULL,
    remark text NOT NULL,
    PRIMARY KEY (order_id, line)
);
INSERT INTO shop.nations
SELECT n, 'nation ' || n, 'region ' || n % 5 FROM generate_series(0, 24) AS n;
SELECT setseed(0.42);
INSERT INTO shop.customers
SELECT n, 'customer ' || lpad(n::text, 8, '0'), floor(random() * 25),
       ('{AUTO,BUILDING,FURNITURE,HOUSEHOLD,MACHINERY}'::text[])[1 + floor(random() * 5)::integer],
       round((random() * 10000)::numeric, 2)
FROM generate_series(1, {customers}) AS n;
INSERT INTO shop.orders
SELECT n, 1 + floor(random() * {customers}), date '1992-01-01' + floor(random() * 2557)::integer,
       ('{1,2,3,4,5}'::text[])[1 + floor(random() * 5)::integer],
       ('{F,O,O,P}'::text[])[1 + floor(random() * 4)::integer],
       round((random() * 100000)::numeric, 2), 'clerk ' || floor(random() * 1000)
FROM generate_series(1, 10 * {customers}) AS n;
INSERT INTO shop.lines
SELECT order_id, line, 1 + floor(random() * 5000), 1 + floor(random() * 50),
       round((random() * 10000)::numeric, 2), round((random() / 10)::numeric, 2),
       order_date + floor(random() * 120)::integer,
       ('{AIR,FOB,MAIL,RAIL,SHIP,TRUCK}'::text[])[1 + floor(random() * 6)::integer],
       'some words about line ' || line
FROM shop.orders, LATERAL generate_series(1, 1 + order_id % 7 + order_id % 2) AS line
WHERE line < 8;
CREATE INDEX ON shop.orders (customer_id);
CREATE INDEX ON shop.orders (total DESC, order_id);
CREATE INDEX ON shop.customers (nation_id);
CREATE INDEX ON shop.lines (part_id);
