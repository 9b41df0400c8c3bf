-- Two tables; MIN and MAX under updates and deletes.
select
    p.p_brand as brand,
    p.p_size as size,
    min(ps.ps_supplycost) as cheapest,
    max(ps.ps_supplycost) as dearest,
    count(*) as offer_count
from {{ source('tpch', 'part') }} as p
join {{ source('tpch', 'partsupp') }} as ps on ps.ps_partkey = p.p_partkey
group by p.p_brand, p.p_size
