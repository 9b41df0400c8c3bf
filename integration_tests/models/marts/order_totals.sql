-- Head of the chain order_totals -> customer_totals -> region_totals, and of the daily diamond.
-- The indexes serve the tables above, which look orders up by customer and by day.
{{ config(indexes=[{'columns': ['customer_id']}, {'columns': ['order_date']}]) }}

select
    o.order_id,
    o.customer_id,
    o.order_date,
    o.priority,
    count(*) as line_count,
    sum(l.quantity) as quantity,
    sum(l.net_price) as revenue
from {{ ref('stg_orders') }} as o
join {{ ref('stg_order_lines') }} as l on l.order_id = o.order_id
group by o.order_id, o.customer_id, o.order_date, o.priority
