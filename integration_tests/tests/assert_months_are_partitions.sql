-- Every month with revenue has a partition of its own: none fell into the default partition.
select r.tableoid::regclass as partition, count(distinct date_trunc('month', r.order_date)) as months
from {{ ref('daily_revenue') }} as r
group by r.tableoid
having count(distinct date_trunc('month', r.order_date)) <> 1
