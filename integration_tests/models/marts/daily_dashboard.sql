-- Foot of the diamond: both arms come from order_totals and always agree.
select
    r.order_date,
    r.order_count,
    u.urgent_count,
    r.revenue,
    u.urgent_revenue
from {{ ref('daily_revenue') }} as r
join {{ ref('daily_urgent') }} as u on u.order_date = r.order_date
