-- Five tables.
select
    c.c_mktsegment as segment,
    n.n_name as nation,
    p.p_brand as brand,
    count(*) as line_count,
    avg(l.quantity) as average_quantity,
    sum(l.net_price) as revenue
from {{ source('tpch', 'customer') }} as c
join {{ source('tpch', 'nation') }} as n on n.n_nationkey = c.c_nationkey
join {{ ref('stg_orders') }} as o on o.customer_id = c.c_custkey
join {{ ref('stg_order_lines') }} as l on l.order_id = o.order_id
join {{ source('tpch', 'part') }} as p on p.p_partkey = l.part_id
where p.p_container = 'LG BOX'
group by c.c_mktsegment, n.n_name, p.p_brand
