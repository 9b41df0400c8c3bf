-- LATERAL, functions that return sets, recursion, the time, VALUES, correlated queries of every
-- shape, a materialized view: one query per line; tables a, b, c, e, g, mv.
select e.id, u from e, unnest(e.arr) u
select e.id, u.x, u.n from e, unnest(e.arr) with ordinality u(x, n)
select e.id, g from e, generate_series(1, e.k) g
select e.id, q.v from e cross join lateral jsonb_array_elements(e.doc->'l') q(v)
select e.id, q.a, q.b from e, jsonb_to_recordset(e.doc->'r') as q(a int, b text)
select e.id, r.p, r.q from e, rows from (unnest(e.arr), generate_series(1, e.k)) as r(p, q)
select e.id, r from e left join lateral unnest(e.arr) r on r > 1
select e.id, unnest(e.arr) u from e
select e.id, unnest(e.arr) u, generate_series(1, e.k) g from e
select e.id, generate_series(1, e.k) + 1 g from e
select distinct unnest(e.arr) u from e
select u, count(*) n from e, unnest(e.arr) u group by u
select e.id, q.key, q.value from e, jsonb_each(e.doc) q
select e.id, m.m from e, regexp_matches(e.s, 'a.', 'g') m(m)
select a.x, l.m from a, lateral (select max(b.v) m from b where b.x = a.x) l
select a.x, l.m, l.n from a, lateral (select max(b.v) m, count(*) n from b where b.x = a.x and b.y > a.y) l
select a.x, l.y from a left join lateral (select b.y, b.v from b where b.x = a.x order by b.v nulls last, b.y nulls last limit 2) l on true
select c.id, l.y from c, lateral (select b.y from b where b.x = c.x order by b.y desc nulls first limit 1) l
select c.id, l.z from c, lateral (select c.x + 1 as z) l
select c.id, l.z from c, lateral (values (c.x), (c.id)) l(z)
select c.id, l.s from c, lateral (select sum(g) s from generate_series(1, c.x) g) l
select c.id, (select sum(g) from generate_series(1, c.x) g) s from c
select v.k, v.t, a.x from (values (1,'one'),(2,'two'),(null,'none')) v(k,t) left join a on a.x = v.k
values (1, 'a'), (2, 'b')
select 1 as one, 'x' as t
select x from a union all select 7 union all values (8)
select a.x, a.s from a where a.x = 1 or exists (select 1 from b where b.x = a.x)
select a.x, a.s from a where not (a.y = 1 and exists (select 1 from b where b.x = a.x and b.y = a.y))
select a.x, exists (select 1 from b where b.x = a.x) e from a
select a.x, a.x in (select b.x from b) e from a
select a.x, a.x not in (select b.x from b where b.y = a.y) e from a
select a.x, (a.x, a.y) in (select b.x, b.y from b) e from a
select a.x, case when a.x in (select y from b) then 'in' when a.x not in (select y from b) then 'out' else 'null' end e from a
select a.x, a.x > all (select b.x from b) g, a.x <= any (select b.y from b where b.x = a.y) l from a
select a.x from a where a.x > any (select b.y from b) or a.y < all (select c.x from c)
select a.x, (select b.s from b where b.x = a.x order by b.y nulls last, b.s nulls last, b.v limit 1) f from a
select c.id, (select d.x from c d where d.id = c.id + 1) nxt from c
select c.id, (select d.d from c d where d.id = c.x limit 1) nxt from c
select c.id, (select count(*) from a where a.x > c.x) n from c
select c.id, (select count(*) from a where a.x > c.x and a.y is not distinct from c.x) n from c
select c.id, (select string_agg(s, ',' order by s) from (select distinct b.s from b where b.x = c.x) q) t from c
select c.id, array(select b.y from b where b.x = c.x order by b.y nulls first) ys from c
select a.x, sum(a.v) s from a group by a.x having exists (select 1 from b where b.x = a.x)
select a.x, sum(a.v) s, (select count(*) from b where b.x = a.x) n from a group by a.x
select a.x, sum(a.v) s from a group by a.x having sum(a.v) > (select avg(b.v) from b where b.x = a.x)
select a.x, count(*) filter (where a.y in (select b.y from b)) n from a group by a.x
select count(*) n, sum((select count(*) from b where b.x = a.x)) t from a
select a.x, b.y from a left join b on a.x = b.x and exists (select 1 from c where c.x = b.y)
select a.x, b.y from a join b on a.x = b.x and (b.y = 1 or a.y in (select c.x from c))
select id from c order by x, id limit 3
select id, x from c order by x desc, id limit 3 offset 1
select id, x from c order by x fetch first 2 rows with ties
select x, n from (select x, count(*) n from a group by x) q order by n desc, x nulls last limit 2
select id from c order by d nulls first, id limit 0
select id from c order by x, id offset 2
select distinct on (x) x, id, d from c order by x, id desc
select distinct on (c.x) c.x, b.y, b.v from c join b on b.x = c.x order by c.x, b.v desc nulls last, b.y nulls last, b.s
select q.x, q.id, b.y from (select distinct on (x) x, id from c order by x, id) q left join b on b.x = q.x
select q.id, a.s from (select id, x from c order by id limit 4) q join a on a.x = q.x
select x from a where x in (select y from b order by y nulls last limit 3)
select a.x, a.v from a where a.v > (select avg(v) from b) and a.y < (select max(x) from c)
select a.x, a.v from a where a.v between (select min(v) from b) and (select max(v) from b)
select c.id, c.d from c where c.d > (select min(d) from c) - 3
with recursive r(src, dst) as (select src, dst from g union select r.src, g.dst from r join g on g.src = r.dst) select * from r
with recursive r(n) as (select 0 union select g.dst from r join g on g.src = r.n) select n from r
with recursive r(n, p) as (select src, array[src] from g where src = 0 union all select g.dst, r.p || g.dst from r join g on g.src = r.n where g.dst <> all (r.p)) select n, p from r
with recursive r(src, dst) as (select src, dst from g union select r.src, g.dst from r join g on g.src = r.dst) select r.src, count(*) n from r join c on c.x = r.dst group by r.src
with q as (select x, count(*) n from a group by x) select q1.x, q1.n, q2.n as m from q q1 join q q2 on q2.x = q1.n
with q as materialized (select x, y from a where y > 0) select q.x, (select count(*) from q p where p.x = q.y) n from q
select x, y, count(*) n from a group by grouping sets ((x, y), (x), ()) having count(*) > 1
select distinct x, count(*) n from a group by rollup (x)
select x, array_agg(y order by y nulls last) filter (where y > 0) ys, json_agg(y order by y nulls first) j from a group by x
select x, percentile_cont(0.5) within group (order by v) p, mode() within group (order by y) m, rank(1) within group (order by y) r from a where y is not null group by x
select x, regr_count(v, y) n, corr(v, y) c, bit_and(y) b, range_agg(int4range(y, y + 1)) r from a group by x
select id, ntile(2) over (order by id) t, first_value(d) over w f, nth_value(id, 2) over (w rows between unbounded preceding and unbounded following) n from c window w as (partition by x order by id)
select id, sum(id) over (order by x groups between 1 preceding and current row exclude ties) s, cume_dist() over (partition by x order by d) cd from c
select x, row_number() over (order by x nulls last) rn, sum(sum(v)) over () t from a where v is not null group by x
select c.id, to_jsonb(c) j from c
select c.id, row_to_json(c) j from c where c.x > 0
select count(c) n from c
select c.id, b.y from c join lateral (select * from b where b.x = c.x) b on b.y > c.x
select c.id, q.n from c left join lateral (select count(*) n from b where b.x = c.x) q on q.n > 1
select c.id from c where c.x in (select b.x from b where b.y > (select min(a.y) from a where a.x = b.x))
select c.id from c where exists (select 1 from b where b.x = c.x and b.v > (select avg(a.v) from a where a.x = c.x))
select c.id from c where exists (select b.x from b where b.y = c.x group by b.x having count(*) > 1)
select c.id, (select count(*) from (select b.x from b where b.y = c.x union select a.x from a where a.y = c.x) q) n from c
select c.id, (select max(q.n) from (select count(*) n from b where b.y = c.x group by b.x) q) m from c
select a.s, a.z from a where exists (select 1 from b where b.s = a.z::text)
select a.x, a.z from a left join b on b.v = a.z
select e.id from e where e.doc->>'a' in (select b.s from b)
select e.id from e where e.t > now() - interval '1 hour'
select e.k, count(*) n from e where e.t between current_timestamp - interval '2 days' and now() + interval '1 day' group by e.k
select mv.x, mv.n, a.s from mv left join a on a.x = mv.x
select ca.id, q.x from c ca, (select x, count(*) n from a group by x having count(*) > (select count(*) from g)) q where q.n > ca.x
select c.id from c where exists (select 1 from b where b.x = c.x limit 1)
select c.id, (select count(*) from b where b.x = c.x limit 1) n from c
select a.x, count(*) n from a group by a.x having count(*) in (select c.x from c)
select a.x, count(*) in (select c.x from c where c.id > a.x) e from a group by a.x
select x from (select a.x, b.y from a full join b using (x)) q where x in (select c.x from c) or y is null
select c.id, (select q.v from (values (c.x, 'p'), (c.id, 'q')) q(k, v) join a on a.x = q.k order by q.v, a.y limit 1) f from c
select c.id from c where (select count(*) from b where b.x = c.x) > (select count(*) from a where a.x = c.x)
select c.id, l.k, l.n from c, lateral (select b.s k, count(*) n from b where b.x = c.x group by b.s) l
select c.id, l.rn from c, lateral (select row_number() over (order by b.y, b.v, b.s) rn from b where b.x = c.x) l
select c.id, l.x from c, lateral (select b.x from b where b.y = c.x union all select a.x from a where a.y = c.x) l
select c.id, l.x from c, lateral (select b.x from b where b.y = c.x except select a.x from a where a.y = c.x) l
select c.id, l.x from c, lateral (select distinct b.x from b where b.y > c.x) l
select c.id, (select max(b.v) from b where b.x = c.x and b.y in (select a.y from a where a.x = c.x)) m from c
select c.id, (select max(b.v) from b where b.x = c.x having count(*) > 1) m from c
select c.id, (select coalesce(sum(b.v), -1) + c.x from b where b.x = c.x) m from c
with recursive t(id, x, d) as (select id, x, 0 from c where id < 10 union select c.id, c.x, t.d + 1 from t join c on c.id = t.x where t.d < 3) select * from t
with recursive t(x) as (select x from a where x is not null union select b.y from t join b on b.x = t.x where not exists (select 1 from c where c.x = b.y)) select * from t
with recursive t(x, y) as (select x, y from a union select t.x, b.y from t left join b on b.x = t.y) select * from t
select a.x, b.y from a join b on a.x = b.x or a.y = b.y
select a.x, b.y from a left join b on a.x = b.x or (a.x is null and b.x is null)
