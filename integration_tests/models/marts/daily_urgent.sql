select
    order_date,
    count(*) as urgent_count,
    sum(revenue) as urgent_revenue
from {{ ref('order_totals') }}
where priority in ('1-URGENT', '2-HIGH')
group by order_date
