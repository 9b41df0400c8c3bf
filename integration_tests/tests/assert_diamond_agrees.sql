-- A dashboard row whose two arms were read at different times would break one of these.
select d.order_date
from {{ ref('daily_dashboard') }} as d
join {{ ref('daily_revenue') }} as r on r.order_date = d.order_date
join {{ ref('daily_urgent') }} as u on u.order_date = d.order_date
where d.revenue <> r.revenue
   or d.urgent_revenue <> u.urgent_revenue
   or d.urgent_count > d.order_count
