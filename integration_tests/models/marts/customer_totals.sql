select
    c.customer_id,
    c.customer_name,
    c.segment,
    c.nation,
    c.region,
    count(*) as order_count,
    sum(t.revenue) as revenue,
    min(t.order_date) as first_order,
    max(t.order_date) as last_order
from {{ ref('stg_customers') }} as c
join {{ ref('order_totals') }} as t on t.customer_id = c.customer_id
group by c.customer_id, c.customer_name, c.segment, c.nation, c.region
