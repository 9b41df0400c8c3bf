-- Nexmark's queries as SQL on tables: windows are computed columns, the event time is a column.
-- name: q0
SELECT auction, bidder, price, date_time, extra FROM bid
-- name: q1
SELECT auction, bidder, 0.908 * price AS price, date_time, extra FROM bid
-- name: q2
SELECT auction, price FROM bid WHERE auction % 3 = 0
-- name: q3
SELECT p.name, p.city, p.state, a.id FROM auction a JOIN person p ON a.seller = p.id
WHERE a.category = 1 AND p.state IN ('OR', 'ID', 'CA')
-- name: q4
SELECT q.category, avg(q.final) AS price
FROM (SELECT max(b.price) AS final, a.category FROM auction a JOIN bid b ON a.id = b.auction
      WHERE b.date_time BETWEEN a.date_time AND a.expires GROUP BY a.id, a.category) q
GROUP BY q.category
-- name: q5
SELECT ab.auction, ab.num FROM
 (SELECT auction, count(*) AS num, date_bin('10 s', date_time, '2026-01-01') AS start FROM bid
  GROUP BY auction, date_bin('10 s', date_time, '2026-01-01')) ab
JOIN (SELECT max(c.num) AS maxn, c.start FROM
      (SELECT count(*) AS num, date_bin('10 s', date_time, '2026-01-01') AS start FROM bid
       GROUP BY auction, date_bin('10 s', date_time, '2026-01-01')) c GROUP BY c.start) m
ON ab.start = m.start AND ab.num >= m.maxn
-- name: q6
SELECT seller, avg(final) OVER (PARTITION BY seller ORDER BY date_time, id
                                ROWS BETWEEN 10 PRECEDING AND CURRENT ROW) AS average
FROM (SELECT DISTINCT ON (a.id) a.id, a.seller, b.price AS final, b.date_time
      FROM auction a JOIN bid b ON a.id = b.auction AND b.date_time BETWEEN a.date_time AND a.expires
      ORDER BY a.id, b.price DESC, b.date_time, b.bidder) q
-- name: q7
SELECT b.auction, b.price, b.bidder, b.date_time FROM bid b
JOIN (SELECT max(price) AS maxprice, date_bin('10 s', date_time, '2026-01-01') AS start FROM bid
      GROUP BY date_bin('10 s', date_time, '2026-01-01')) m
ON b.price = m.maxprice AND b.date_time >= m.start AND b.date_time < m.start + interval '10 s'
-- name: q8
SELECT p.id, p.name, p.start FROM
 (SELECT id, name, date_bin('10 s', date_time, '2026-01-01') AS start FROM person GROUP BY 1, 2, 3) p
JOIN (SELECT seller, date_bin('10 s', date_time, '2026-01-01') AS start FROM auction GROUP BY 1, 2) a
ON p.id = a.seller AND p.start = a.start
-- name: q9
SELECT id, item, seller, category, bidder, price FROM
 (SELECT a.*, b.bidder, b.price, row_number() OVER
    (PARTITION BY a.id ORDER BY b.price DESC, b.date_time, b.bidder) AS rank
  FROM auction a JOIN bid b ON a.id = b.auction AND b.date_time BETWEEN a.date_time AND a.expires) q
WHERE rank <= 1
-- name: q10
SELECT auction, bidder, price, to_char(date_time, 'YYYY-MM-DD') AS day, to_char(date_time, 'HH24:MI') AS minute FROM bid
-- name: q11
SELECT bidder, count(*) AS bids, min(date_time) AS starts, max(date_time) AS ends FROM
 (SELECT bidder, date_time, sum(fresh) OVER (PARTITION BY bidder ORDER BY date_time, auction, price) AS session FROM
   (SELECT *, CASE WHEN date_time - lag(date_time) OVER (PARTITION BY bidder ORDER BY date_time, auction, price)
                        <= interval '10 s' THEN 0 ELSE 1 END AS fresh FROM bid) f) s
GROUP BY bidder, session
-- name: q12
SELECT bidder, count(*) AS bids, date_bin('10 s', date_time, '2026-01-01') AS start FROM bid GROUP BY bidder, 3
-- name: q13
SELECT b.auction, b.bidder, b.price, s.value FROM bid b JOIN side s ON b.auction % 4 = s.key
-- name: q14
SELECT auction, bidder, 0.908 * price AS price,
 CASE WHEN extract(hour FROM date_time) BETWEEN 8 AND 18 THEN 'day'
      WHEN extract(hour FROM date_time) <= 6 OR extract(hour FROM date_time) >= 20 THEN 'night' ELSE 'other' END AS kind,
 length(extra) - length(replace(extra, 'c', '')) AS c_counts
FROM bid WHERE 0.908 * price > 10 AND 0.908 * price < 500
-- name: q15
SELECT to_char(date_time, 'YYYY-MM-DD') AS day, count(*) AS bids,
 count(*) FILTER (WHERE price < 100) AS low, count(DISTINCT bidder) AS bidders,
 count(DISTINCT bidder) FILTER (WHERE price >= 100) AS high_bidders, count(DISTINCT auction) AS auctions
FROM bid GROUP BY to_char(date_time, 'YYYY-MM-DD')
-- name: q16
SELECT channel, to_char(date_time, 'YYYY-MM-DD') AS day, max(to_char(date_time, 'HH24:MI')) AS minute, count(*) AS bids,
 count(*) FILTER (WHERE price < 100) AS low, count(DISTINCT bidder) FILTER (WHERE price < 100) AS low_bidders,
 count(DISTINCT auction) AS auctions
FROM bid GROUP BY channel, to_char(date_time, 'YYYY-MM-DD')
-- name: q17
SELECT auction, to_char(date_time, 'YYYY-MM-DD') AS day, count(*) AS bids, min(price) AS low, max(price) AS high,
 avg(price) AS average, sum(price) AS total FROM bid GROUP BY auction, to_char(date_time, 'YYYY-MM-DD')
-- name: q18
SELECT auction, bidder, price, channel, date_time FROM
 (SELECT *, row_number() OVER (PARTITION BY bidder, auction ORDER BY date_time DESC, price DESC, channel) AS rank FROM bid) q
WHERE rank <= 1
-- name: q19
SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY auction ORDER BY price DESC, date_time, bidder, channel) AS rank FROM bid) q
WHERE rank <= 10
-- name: q20
SELECT b.auction, b.bidder, b.price, b.channel, b.date_time, a.item, a.seller, a.category
FROM bid b JOIN auction a ON b.auction = a.id WHERE a.category = 2
-- name: q21
SELECT auction, bidder, price, channel,
 CASE WHEN lower(channel) = 'apple' THEN '0' WHEN lower(channel) = 'google' THEN '1'
      ELSE (regexp_match(url, '(&|^)channel_id=([^&]*)'))[2] END AS channel_id
FROM bid WHERE (regexp_match(url, '(&|^)channel_id=([^&]*)'))[2] IS NOT NULL OR lower(channel) IN ('apple', 'google')
-- name: q22
SELECT auction, bidder, price, channel, split_part(url, '/', 4) AS dir1, split_part(url, '/', 5) AS dir2 FROM bid
