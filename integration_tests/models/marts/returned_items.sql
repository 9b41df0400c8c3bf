-- Four tables, after TPC-H query 10.
select
    c.c_custkey as customer_id,
    c.c_name as customer_name,
    n.n_name as nation,
    count(*) as returned_lines,
    sum(l.net_price) as lost_revenue
from {{ source('tpch', 'customer') }} as c
join {{ source('tpch', 'nation') }} as n on n.n_nationkey = c.c_nationkey
join {{ ref('stg_orders') }} as o on o.customer_id = c.c_custkey
join {{ ref('stg_order_lines') }} as l on l.order_id = o.order_id
where l.is_returned
group by c.c_custkey, c.c_name, n.n_name
