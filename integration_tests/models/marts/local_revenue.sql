-- Six tables, after TPC-H query 5: customer and supplier of the same nation.
select
    c.region,
    c.nation,
    sum(l.net_price) as revenue
from {{ ref('stg_customers') }} as c
join {{ ref('stg_orders') }} as o on o.customer_id = c.customer_id
join {{ ref('stg_order_lines') }} as l on l.order_id = o.order_id
join {{ source('tpch', 'supplier') }} as s
    on s.s_suppkey = l.supplier_id and s.s_nationkey = c.nation_id
group by c.region, c.nation
