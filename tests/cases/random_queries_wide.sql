-- Outer joins, subqueries, set operations, windows and limits over tables a, b and c; one a line.
select a.x, a.s, b.y, b.s as bs from a a left join b b on a.x=b.x
select a.x, b.y from a a left join b b on a.x=b.x and b.v > 1
select a.x, b.y from a a left join b b on a.x=b.x and a.y > b.y
select a.x, b.y from a a left join b b on a.y > b.y
select a.x, b.y from a a left join b b on b.y = 2
select a.x, b.y from a a left join b b on a.y = 2
select a.x, b.y, a.s from a a right join b b on a.x=b.x
select a.x, b.y, a.s, b.s as bs from a a full join b b on a.x=b.x
select x, a.y, b.y as by from a a full join b b using (x)
select c.id, c2.id as id2 from c c left join c c2 on c2.id = c.x
select a.x, b.y, c.id from a a left join (b b join c c on c.x=b.y) on a.x=b.x
select a.x, b.y, c.id from a a left join b b on a.x=b.x left join c c on c.x=b.y
select a.x, b.y, c.id from a a join b b on a.x=b.x left join c c on c.x=b.y where c.id is null
select a.x, count(b.y) n, sum(b.v) sv from a a left join b b on a.x=b.x group by a.x
select a.x, q.n from a a left join (select x, count(*) n from b group by x) q on q.x=a.x
select q.x, b.y from (select x, count(*) n from a group by x) q left join b b on b.x=q.n
select a.x, b.y, c.id from c c left join a a on a.x = c.x full join b b on b.y=a.y
select a.x, b.y from a a left join b b on a.x is not distinct from b.x
select a.x, a2.y from a a left join a a2 on a.x=a2.y
select a.x, a.s from a a where exists (select 1 from b b where b.x = a.x)
select a.x, a.s from a a where not exists (select 1 from b b where b.x = a.x and b.v > 1)
select a.x, a.s from a a where exists (select 1 from b b where b.x = a.x and b.y > a.y)
select a.x, a.s from a a where not exists (select 1 from b where y = 2)
select a.x, a.s from a a where a.x in (select b.x from b b where b.y = a.y)
select a.x, a.s from a a where (a.x, a.y) in (select b.x, b.y from b b)
select a.x, a.s from a a where a.x not in (select b.x from b b)
select a.x, a.s from a a where a.x not in (select b.x from b b where b.y = a.y)
select a.x, a.s from a a where (a.x, a.y) not in (select b.x, b.y from b b)
select a.x, a.s from a a where a.x > all (select b.x from b b)
select a.x, a.s from a a where a.x > any (select b.x from b b)
select a.x, a.s from a a where not (a.x > all (select b.x from b b))
select a.x, a.s from a a where not (a.x > any (select b.x from b b where b.y=a.y))
select a.x from a a where a.x in (select x from b group by x having count(*) > 1)
select c.id from c c where c.x in (select b.x from b b where b.y in (select a.x from a a where a.v > 0))
select a.x, count(*) n from a a where exists (select 1 from b b where b.x=a.x) group by a.x
select a.x, b.y from a a join b b on a.x=b.x where not exists (select 1 from c c where c.x = b.y and c.id > a.y)
select a.x, (select max(b.v) from b b) m from a a
select a.x, (select coalesce(sum(b.v),0) + count(*) from b b where b.x = a.x and b.y > 0) m from a a
select a.x, a.v from a a where a.v > (select avg(b.v) from b b)
select a.x, a.v from a a where a.v >= (select min(b.v) from b b where b.x = a.x)
select a.x, sum(a.v) sv from a a group by a.x having sum(a.v) > (select sum(v)*0.1 from b)
select a.x, a.s from a a where a.v < (select 0.5 * avg(a2.v) from a a2 where a2.x = a.x)
select c.id from c c where c.id not in (select id from c where x > 1)
select a.x, a.s from a a where a.x in (select b.x from b b union select c.x from c c)
select x, s from a intersect select y, s from b
select x from a intersect all select y from b
select x, s from a except select y, s from b
select x from a except all select y from b
select x from a union all select y from b intersect select id from c
select x from a intersect all (select y from b except all select x from c)
select q.x, c.id from (select x from a except all select x from b) q join c c on c.x=q.x
select x, s, count(*) n, sum(v) sv from a group by rollup(x, s)
select x, s, grouping(x, s) g, count(*) n from a group by cube(x, s) having count(*) > 1
select x, y, count(*) n, max(x) mx from a group by grouping sets ((x), (y), ())
select id, x, row_number() over (partition by x order by id) rn from c
select id, x, sum(id) over (partition by x order by id rows between 1 preceding and current row) s1, count(*) over () n from c
select id, lag(d) over (partition by x order by id) l, lead(id, 1, 0) over (order by id) nx, rank() over (partition by d order by id) rk from c
select q.id from (select id, row_number() over (partition by x order by id desc) rn from c) q where q.rn = 1
select x, sum(count(*)) over (order by x nulls first) cum from a group by x
select c.id, b.y, count(*) over (partition by b.y) n from c c join b b on b.x=c.x
select distinct on (x) x, id, d from c order by x, id desc
select id, x from c order by id limit 3
select id, x from c order by x desc, id limit 2 offset 1
select x from c order by x fetch first 2 rows with ties
select x, count(*) n from a group by x order by count(*) desc, x nulls last limit 2
select q.id, b.y from (select id, x from c order by id desc limit 2) q join b b on b.x=q.x
select x from a union select y from b order by 1 limit 3
select distinct x from a order by x desc limit 2
select a.x, b.y from a a left join (select distinct on (x) x, y from b order by x, y) b on a.x=b.x
