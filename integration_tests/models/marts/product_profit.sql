-- Six tables, after TPC-H query 9.
select
    s.nation,
    extract(year from o.order_date) as order_year,
    sum(l.net_price - ps.ps_supplycost * l.quantity) as profit
from {{ source('tpch', 'part') }} as p
join {{ ref('stg_order_lines') }} as l on l.part_id = p.p_partkey
join {{ ref('stg_suppliers') }} as s on s.supplier_id = l.supplier_id
join {{ source('tpch', 'partsupp') }} as ps on ps.ps_partkey = l.part_id and ps.ps_suppkey = l.supplier_id
join {{ ref('stg_orders') }} as o on o.order_id = l.order_id
where p.p_name like '%green%'
group by s.nation, extract(year from o.order_date)
