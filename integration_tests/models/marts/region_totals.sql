select
    region,
    nation,
    count(*) as customer_count,
    sum(order_count) as order_count,
    sum(revenue) as revenue
from {{ ref('customer_totals') }}
group by region, nation
