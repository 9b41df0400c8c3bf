-- Three tables, after TPC-H query 3.
select
    l.order_id,
    o.order_date,
    sum(l.net_price) as revenue
from {{ source('tpch', 'customer') }} as c
join {{ ref('stg_orders') }} as o on o.customer_id = c.c_custkey
join {{ ref('stg_order_lines') }} as l on l.order_id = o.order_id
where c.c_mktsegment = 'BUILDING'
  and o.order_date < date '1995-03-15'
  and l.ship_date > date '1995-03-15'
group by l.order_id, o.order_date
